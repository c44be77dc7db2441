"""How contestants, networks with their trackers, stand: errors relative to the best of each case, over families."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vanbench.compare.declare.task import Suite
from vanbench.compare.judge.collect import MIN_SEEDS, last_times
from vanbench.compare.studies.standing.submissions import FINISHED

CASE = ["question", "shape", "s"]
DRAWS, SEED = 1000, 27  # of the bootstrap over seeds
FLOOR = 1e-12  # an error below it is rounding


def cases(frame: pd.DataFrame, suite: Suite) -> pd.DataFrame:
    """The rows that are ranked: at the last time, in the quantity that each task is judged by; with their ``group``."""
    tasks = {task.name: task for task in suite.tasks}
    asked = {name: task.quantities[-1 if task.s == [0.0] else 0] for name, task in tasks.items()}
    rows = last_times(frame)
    rows = rows[rows.quantity == rows.task.map(asked)]
    label = [f"{network}, {tracker}" for network, tracker in zip(rows.architecture, rows.tracker)]
    done = rows.error.where(rows.ended == FINISHED)
    return rows.assign(contestant=label, group=[tasks[name].description for name in rows.task], error=done)


def leaderboard(rows: pd.DataFrame) -> pd.DataFrame:
    """For each contestant of one group: ``relative``, the median over cases of its error over the smallest one there,
    with its 95 % interval from the seeds (``low``, ``high``; NaN where a contestant of its cases has fewer than three);
    ``solved`` of ``asked`` cases; medians of ``error`` and
    ``cpu_s``.

    A case that a contestant did not finish within its budget, or in which it diverged, counts as infinitely worse.
    """
    contestants, errors = _by_seed(rows)
    medians = _medians(errors.mean(-1))
    rng = np.random.default_rng(SEED)
    seeds = errors.shape[-1]
    picks = rng.integers(seeds, size=(DRAWS, *errors.shape))
    drawn = [_medians(np.take_along_axis(errors, pick, -1).mean(-1)) for pick in picks]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0, method="nearest")
    fewest = rows.groupby([*CASE, "contestant"]).size().groupby(CASE).min()
    out = []
    for k, name in enumerate(contestants):
        own = rows[rows.contestant == name]
        entered = own.groupby(CASE).error.agg(lambda values: values.notna().all())
        known = 1.0 if (fewest[entered.index] >= MIN_SEEDS).all() else np.nan
        out.append(
            {
                "contestant": name,
                "relative": medians[k],
                "low": known * low[k],
                "high": known * high[k],
                "solved": int(entered.sum()),
                "asked": len(entered),
                "error": own.error.median(),
                "cpu_s": own.cpu_s.median(),
                "parameters": own.parameters.median(),
            }
        )
    return pd.DataFrame(out).sort_values(["relative", "error"], ignore_index=True)


def advice(rows: pd.DataFrame) -> pd.DataFrame:
    """For each case: the contestant with the smallest mean error, and the cheapest within twice of it."""
    out = []
    for (_, shape, s), own in rows.groupby(CASE, sort=False):
        mean = own.groupby("contestant").agg(error=("error", _whole_mean), cpu_s=("cpu_s", "mean")).dropna()
        if mean.empty:
            continue
        best = mean.error.idxmin()
        near = mean[mean.error <= 2 * max(mean.error[best], FLOOR)]
        frugal = near.cpu_s.idxmin()
        case = {"task": own.task.iloc[0], "shape": shape, "n_sites": own.n_sites.iloc[0], "s": s}
        answer = {"best": best, "error": mean.error[best], "frugal": frugal, "cpu_s": mean.cpu_s[frugal]}
        out.append({**case, **answer})
    return pd.DataFrame(out)


def _whole_mean(errors: pd.Series) -> float:
    return float(errors.mean()) if errors.notna().all() else float("nan")


def _by_seed(rows: pd.DataFrame) -> tuple[list[str], np.ndarray]:
    """The contestants, and their errors ``(contestant, case, seed)``: infinite where none came, NaN where a contestant
    did not enter; of one with fewer seeds these are repeated."""
    errors = rows.error.clip(lower=FLOOR).fillna(np.inf)
    grouped = errors.groupby([rows.contestant, *(rows[name] for name in CASE)], sort=False).agg(list).unstack(CASE)
    most = int(rows.groupby(["contestant", *CASE]).size().max())
    cells = [
        [np.resize(seeds if isinstance(seeds, list) else [np.nan], most) for seeds in line] for line in grouped.values
    ]
    return list(grouped.index), np.array(cells)


def _medians(means: np.ndarray) -> np.ndarray:
    """Of ``means`` ``(contestant, case)`` relative to the smallest of each case, over the cases that each contestant
    entered and somebody solved; the lower of two middle ones, which may be infinite."""
    best = np.fmin.reduce(means, axis=0)
    solved = np.isfinite(best)
    out = []
    for row in means[:, solved] / best[solved]:
        entered = np.sort(row[~np.isnan(row)])
        out.append(entered[(len(entered) - 1) // 2] if len(entered) else np.inf)
    return np.array(out)
