"""(e) The published algorithm: errors over time, what its settings change, what a run costs, and who is best.

The *network's error* is that against the exact vector that takes the same Euler steps, the error the study reports;
the *total* is against continuous time. The *excess loss* is how far the loss stays above its minimum, summed over the
steps: the divergence of each fit from its target, in nats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.run.record import Record
from vanbench.compare.run.stored import damaged, read_table
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import label as safe
from vanbench.compare.studies.tang2024.values import NAMES, title
from vanbench.exact import InputError
from vanbench.exact.statistics import standard_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANKING = "ranking-"
OVER_TIME = "over-time-"
BASE = ("epochs-40", "3x3", "made")  # the run that every other setting is compared with
CLAIMS = [  # published: the first is at least as good as the second, or faster
    ("1D FA: GRU better than MADE", "ranking-fa-1d", "gru", "made"),
    ("1D East: GRU better than MADE", "ranking-east-1d", "gru", "made"),
    ("2D: gated PixelCNN as good as 2D GRU", "ranking-south-east", "gated-pixelcnn", "gru2d"),
    ("2D: gated PixelCNN faster than 2D GRU", "ranking-south-east", "gated-pixelcnn", "gru2d"),
    ("3D: MADE is enough: as good as GRU", "ranking-south-east-front", "made", "gru"),
    ("3D: MADE is enough: as good as a transformer", "ranking-south-east-front", "made", "transformer"),
]
LAYERS = "width-and-depth"
OPTIONS = ("dt", "epochs", "first_epochs", "learning_rate")
WORDS = ("system", "shape", "network", "task")
NUMBERS = ("seed", "parameters", "epochs", "rate", "t", "error", "total", "scheme", "excess loss", "cpu_s",
           "ms per epoch")  # fmt: skip
MEASURES = {"loss": "excess loss (nats)", "error": "network's error of ln Z"}
LIMITS = (1e-6, 1e-1)
SIGNIFICANT = 2.0  # standard errors of a difference


def table(stored: Sequence[Record]) -> pd.DataFrame:
    """One row for each run and time: the errors of ``ln Z`` (relative), the excess loss, the settings, the cost."""
    return pd.DataFrame([row for record in stored for row in _rows(record)])


def with_stored(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """``rows``, and those of the CSV ``path`` of other tasks. Raises ``InputError`` where both are empty."""
    old = _read(path) if path.exists() else pd.DataFrame({"task": []})
    both = pd.concat([old[~old.task.isin(rows.task if len(rows) else [])], rows], ignore_index=True)
    if both.empty:
        raise InputError(f"there is no {str(path)!r}: give folders that `vanbench run tang2024-e` wrote.")
    return both


def _read(path: Path) -> pd.DataFrame:
    rows = read_table(path, NUMBERS, WORDS)
    for system, shape, network, task in rows[[*WORDS]].drop_duplicates().itertuples(index=False):
        if (system, str(shape).count("x") + 1) not in NAMES or (task == LAYERS and not _hidden(network)):
            raise damaged(path, f"has rows of {task}, {system} {shape}, {network} that no run leaves")
    return rows


def _rows(record: Record) -> list[dict[str, Any]]:
    errors, rows = record.frame("errors", "quantity", "scheme", "exact", "error"), record.frame("rows")
    errors = errors[errors.quantity == "ln_Z"]
    if not errors[["scheme", "exact"]].abs().gt(0).all(axis=None):
        raise record.unfit("has no exact ln Z of the time steps beside that of continuous time")
    options = record.task.tracker_options
    if not all(type(options.get(name)) in (int, float) and options[name] > 0 for name in OPTIONS):
        raise record.unfit(f"has not all of the options {', '.join(OPTIONS)}")
    if record.task.name == LAYERS and not _hidden(record.label):
        raise record.unfit("is of a network without hidden=")
    bounds = {name: rows[rows.quantity == f"ln_Z:{name}"].set_index("t").value for name in ("loss", "log_mean_exp")}
    return list(_each(record, errors, bounds))


def _hidden(network: object) -> list[int]:
    """Units of each layer, as the label of a network has them."""
    told = re.search(r"hidden=(\d[\d,]*)", str(network))
    return [int(units) for units in told[1].split(",") if units] if told else []


def _each(record: Record, errors: pd.DataFrame, bounds: dict[str, pd.Series]) -> Iterator[dict[str, Any]]:
    options = record.task.tracker_options
    steps = round(max(record.task.times) / options["dt"])
    epochs = options["first_epochs"] + (steps - 1) * options["epochs"]
    for error in errors.itertuples():
        low, high = (own.to_numpy()[np.isclose(own.index, error.t)] for own in (bounds["loss"], bounds["log_mean_exp"]))
        if not (len(low) and len(high)):
            raise record.unfit("has not ln_Z:loss and ln_Z:log_mean_exp at each time")
        yield {
            "task": record.task.name,
            "system": record.system,
            "shape": shape_text(record.run.shape),
            "network": record.label,
            "seed": record.run.replica,
            "parameters": record.diagnostics.get("n_parameters"),
            "epochs": options["epochs"],
            "rate": options["learning_rate"],
            "t": error.t,
            "error": abs(error.value - error.scheme) / abs(error.scheme),
            "total": error.error,
            "scheme": abs(error.scheme - error.exact) / abs(error.exact),
            "excess loss": high[0] - low[0],
            "cpu_s": record.cpu_s,
            "ms per epoch": 1e3 * (record.cpu_s or np.nan) / epochs,
        }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Over the seeds, at the last time: mean and standard error of the network's error, and the cost."""
    keys = ["task", "system", "shape", "network", "parameters", "epochs", "rate"]
    last = rows[rows.t == rows.groupby("task").t.transform("max")]
    groups = last.groupby([*keys, "t"], sort=False)
    out = groups.agg(
        seeds=("seed", "nunique"),
        error=("error", "mean"),
        error_se=("error", standard_error),
        total=("total", "mean"),
        loss=("excess loss", "mean"),
        loss_se=("excess loss", standard_error),
        cpu_s=("cpu_s", "mean"),
        cpu_s_se=("cpu_s", standard_error),
        ms_per_epoch=("ms per epoch", "mean"),
    )
    return out.reset_index()


def claims(summary: pd.DataFrame) -> pd.DataFrame:
    """Whether the published ranking holds here: the two values with standard errors, and what they say."""
    rows = []
    for text, task, first, second in CLAIMS:
        pair = [
            summary[(summary.task == task) & summary.network.str.split("(").str[0].eq(name)] for name in (first, second)
        ]
        if any(part.empty for part in pair):
            continue
        for measure, name in {"cpu_s": "CPU s"}.items() if "faster" in text else MEASURES.items():
            (a, a_se), (b, b_se) = ((part[measure].iloc[0], part[f"{measure}_se"].iloc[0]) for part in pair)
            verdict = _verdict(a - b, SIGNIFICANT * float(np.hypot(a_se, b_se)), "as good as" in text)
            rows.append([text, name, f"{a:.2g} ± {a_se:.1g}", f"{b:.2g} ± {b_se:.1g}", verdict])
    return pd.DataFrame(rows, columns=["published", "measure", "first", "second", "holds here"])


def _verdict(difference: float, noise: float, equal_will_do: bool) -> str:
    if not np.isfinite(noise):
        return "too few seeds"
    if abs(difference) <= noise:
        return "yes" if equal_will_do else "not told apart"
    return "yes" if difference < 0 else "no"


def over_time(rows: pd.DataFrame) -> Figure:
    """Each ranked system, by its longer runs where it has some: the error of each network over time, and that of the
    exact Euler steps."""
    long = rows[rows.task.str.startswith(OVER_TIME)]
    known = set(zip(long.system, long["shape"]))
    ranked = rows[rows.task.str.startswith(RANKING)]
    apart = [pair not in known for pair in zip(ranked.system, ranked["shape"])]
    short = ranked[pd.Series(apart, ranked.index, dtype=bool)]
    tasks = [*long.task.unique(), *short.task.unique()]
    drawn, axes = canvas.new(max(len(tasks), 1), 1, 3.6, 3.2)
    for axis, task in zip(axes[0], tasks):
        mine = rows[rows.task == task]
        for colour, (name, group) in zip(canvas.COLOURS, mine.groupby("network", sort=False)):
            mean = group.groupby("t")[["error", "total"]].mean()
            axis.plot(mean.index, mean.error, "o-", color=colour, ms=4, label=safe(name))
            axis.plot(mean.index, mean.total, "x", color=colour, ms=4)
        scheme = mine.groupby("t").scheme.mean()
        axis.plot(scheme.index, scheme, "k--", lw=1)
        first = mine.iloc[0]
        shape = tuple(int(n) for n in str(first["shape"]).split("x"))
        axis.set(xscale="log", yscale="log", xlabel="t", title=title(first.system, shape), ylim=LIMITS)
        canvas.plain_ticks(axis.xaxis, mine.t.unique())
        axis.legend(loc="lower right", title="against exact Euler", title_fontsize=7)
    axes[0, 0].set_ylabel("relative error of ln Z")
    drawn.suptitle("dashed: exact Euler against continuous time; crosses: networks against continuous time", fontsize=8)
    return drawn


def settings(summary: pd.DataFrame) -> Figure:
    """The network's error and the excess loss against each setting, the others as in the base run."""
    panels = list(_panels(summary))
    drawn, axes = canvas.new(len(panels), 2, 2.5, 2.5)
    for column, (label, values, part) in enumerate(panels):
        order = np.argsort(values)
        x, sorted_part = values[order], part.iloc[order]
        for axis, value in zip(axes[:, column], ("error", "loss")):
            axis.errorbar(x, sorted_part[value], sorted_part[f"{value}_se"], fmt="o-", capsize=2)
            axis.set(yscale="log", xlabel=label)
            if label != "layers of 16":
                axis.set_xscale("log")
            canvas.plain_ticks(axis.xaxis, x)
    for row, name in zip(axes, ("network's error of ln Z", "excess loss (nats)")):
        ends = np.array([axis.get_ylim() for axis in row])
        for axis in row:  # one scale, so that the settings can be compared
            axis.set_ylim(ends[:, 0].min(), ends[:, 1].max())
        row[0].set_ylabel(name)
    drawn.suptitle("2D South-East 3x3 (N: 2x2, 3x3, 4x4), MADE, t = 0.5; bars: standard error over 3 seeds", fontsize=8)
    return drawn


def _panels(summary: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, pd.DataFrame]]:
    base = (summary["shape"] == BASE[1]) & (summary.network == BASE[2])
    plain = summary[base & (summary.system == "east")]
    epochs = plain[plain.task.str.startswith("epochs-")]
    yield "epochs a step", epochs.epochs.to_numpy(), epochs
    rates = plain[plain.task.str.startswith("rate-") | (plain.task == BASE[0])]
    yield "learning rate", rates.rate.to_numpy(), rates
    shaped = summary[summary.task == LAYERS]
    hidden = shaped.network.map(_hidden)
    width, depth = hidden.str[0].to_numpy(float), hidden.str.len().to_numpy()
    yield "units of one layer", width[depth == 1], shaped[depth == 1]
    yield "layers of 16", depth[width == 16], shaped[width == 16]
    sizes = summary[summary.task == BASE[0]]
    n = sizes["shape"].str.split("x").map(lambda lengths: int(np.prod([int(v) for v in lengths])))
    yield "N", n.to_numpy(), sizes
