"""Records of a folder as one table, and its summary over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.judge.errors import PARTS, VECTORS
from vanbench.compare.run.record import Record, records
from vanbench.compare.show.warned import BETWEEN, of_row, over_seeds
from vanbench.exact import InputError
from vanbench.exact.statistics import standard_error

MIXED = "code: its seeds were run by {} states of the code or of its libraries: run them again with one"
MIN_SEEDS = 3  # fewer seeds give no standard error that can be trusted
CASE = ["task", "task_hash", "tracker", "architecture", "shape", "n_sites", "quantity", "s", "t", "site", "distance"]


def collect(folder: Path) -> pd.DataFrame:
    """Every compared value of every record under ``folder``: the columns of ``errors.errors``, what was run, its cost.

    ``note`` says what is missing, ``warning`` what may be wrong (see `warned`). Raises ``InputError`` where there are
    no records, for one that cannot be read, and for two of one run, which would shrink every standard error.
    """
    frames = []
    seen: dict[tuple, Path] = {}
    for path, record in records(folder):
        first = seen.setdefault((record.task_hash, record.label, record.run.shape, record.run.seed), path)
        if first is not path:
            raise InputError(
                f"{str(first)!r} and {str(path)!r} are records of the same run: a seed counts once, delete one."
            )
        frames.append(rows_of(record, str(path.relative_to(folder))))
    return joined(frames)


def rows_of(record: Record, name: str) -> pd.DataFrame:
    """The compared values of one record, with what was run and what it cost; ``name``: of its file."""
    frame = record.frame("errors")
    log = record.frame("log")
    if "ess" in log:
        frame = _with_ess(frame, log)
    return frame.assign(
        warning=[of_row(record.warnings, row) for row in frame.to_dict("records")],
        task=record.task.name,
        task_hash=record.task_hash,
        system=record.system,
        architecture=record.label,
        tracker=record.method,
        shape=shape_text(record.run.shape),
        n_sites=record.n_sites,
        seed=record.run.seed,
        family=record.label if record.imported else record.run.architecture.name,
        question=question(record),
        samples=record.task.options.get("samples"),
        parameters=record.diagnostics.get("n_parameters"),
        negative=record.diagnostics.get("negative_targets"),
        wall_s=record.wall_s,
        cpu_s=record.cpu_s,
        memory_mib=record.peak_memory_mib,
        record=name,
        code=record.code,
    )


def joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of the rows of several records, with every column that `summarise` reads."""
    both = pd.concat([f.dropna(axis=1, how="all") for f in frames], ignore_index=True)
    for name in (
        "value",
        "site",
        "distance",
        "stderr",
        "ess",
        "samples",
        "parameters",
        "negative",
        "wall_s",
        "cpu_s",
        "memory_mib",
        "exact",
        "uncertainty",
        "scheme",
        "summed",
        "error",
        "error_per_site",
        "scale",
        *PARTS,
    ):
        if name not in both:
            both[name] = np.nan
    if "note" not in both:
        both["note"] = ""
    both["source"] = both.get("source", pd.Series(index=both.index, dtype=object)).fillna(VECTORS)
    return both


def question(record: Record) -> str:
    """What was asked, whatever it was answered by: tasks that differ in the tracker and its options share it."""
    asked = {"system": record.system, "dimensions": len(record.run.shape), **record.params}
    asked |= {"counted": record.task.observable, "target": record.task.target}
    return ", ".join(f"{name} = {value}" for name, value in asked.items())


def summarise(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a case, averaged over seeds: ``X`` the mean and ``X_se`` its standard error (from 3 seeds on).
    ``record`` is the file of the first seed.

    ``error`` and ``error_per_site`` are means of absolute values; the parts are means of ``|part| / scale``.
    """
    work = frame.copy()
    for part in PARTS:
        work[part] = work[part].abs() / work["scale"]
    averaged = ["value", "error", "error_per_site", *PARTS, "ess", "wall_s", "cpu_s", "memory_mib"]
    groups = work.groupby(CASE, dropna=False, sort=True)
    out = groups[averaged].mean()
    spread = groups[averaged].agg(_standard_error)
    for name in averaged:
        out[f"{name}_se"] = spread[name]
    out["seeds"] = groups["seed"].nunique()
    for name in ("exact", "source", "uncertainty", "scheme", "scale", "parameters"):
        out[name] = groups[name].first()
    out["stderr"] = groups["stderr"].agg(lambda v: float(np.sqrt((v**2).mean())))
    out["negative"] = groups["negative"].sum()
    for name in ("system", "family", "question", "samples", "record"):
        if name in work:
            out[name] = groups[name].first()
    out["note"] = groups["note"].agg(lambda notes: "; ".join(sorted({n for n in notes if isinstance(n, str) and n})))
    own = (out["uncertainty"] / out["scale"]).where(out["source"] != VECTORS)  # of the reference, on the error's scale
    out["error_se"] = np.hypot(out["error_se"].fillna(own * 0), own).fillna(out["error_se"])
    if "warning" in work:
        out["warning"] = groups["warning"].agg(over_seeds)
    if "code" in work:
        mixed = groups["code"].nunique()
        told = mixed.map(lambda states: MIXED.format(states) if states > 1 else "")
        out["warning"] = [BETWEEN.join(filter(None, pair)) for pair in zip(out["warning"], told)]
    return out.reset_index()


def scalars(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of quantities that are one number: without a site and without a distance."""
    kept = [name for name in ("site", "distance") if name in frame]  # older stored tables have no distance
    return frame[frame[kept].isna().all(axis=1)]


def last_times(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows at the last time of each task."""
    return frame[frame.t == frame.groupby(["task", "task_hash"]).t.transform("max")]


def task_names(frame: pd.DataFrame) -> pd.Series:
    """The name of each row's task; with its hash where a folder holds two declarations of one name."""
    several = frame.groupby("task").task_hash.transform("nunique") > 1
    return frame.task.where(~several, frame.task + "@" + frame.task_hash.str[:6])


def _standard_error(values: pd.Series) -> float:
    values = values.dropna()
    return standard_error(values) if len(values) >= MIN_SEEDS else float("nan")


def _with_ess(frame: pd.DataFrame, log: pd.DataFrame) -> pd.DataFrame:
    at = {(float(row.s), float(f"{row.t:.9g}")): float(row.ess) for row in log.itertuples()}
    ess = [at.get((float(row.s), float(f"{row.t:.9g}")), np.nan) for row in frame.itertuples()]
    return frame.assign(ess=ess)
