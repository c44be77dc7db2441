"""Records of a folder as one table, and its summary over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.judge.errors import PARTS, VECTORS
from vanbench.compare.run.record import Record, records
from vanbench.compare.show.warned import BETWEEN, of_row, over_seeds, rows_of
from vanbench.exact import InputError
from vanbench.exact.statistics import standard_error

MIXED = "code: its seeds were run by {} states of the code or of its libraries: run them again with one"
MIN_SEEDS = 3  # fewer seeds give no standard error that can be trusted
Cells = dict[str, list[Any]]  # a table by column
CASE = ["task", "task_hash", "tracker", "architecture", "shape", "n_sites", "quantity", "s", "t", "site", "distance"]


def collect(folder: Path) -> pd.DataFrame:
    """Every compared value of every record under ``folder``: the columns of ``errors.errors``, what was run, its cost.

    ``note`` says what is missing, ``warning`` what may be wrong (see `warned`). Raises ``InputError`` where there are
    no records, for one that cannot be read, and for two of one run, which would shrink every standard error.
    """
    held: list[Cells] = []
    seen: dict[tuple, Path] = {}
    for path, record in records(folder):
        first = seen.setdefault((record.task_hash, record.label, record.run.shape, record.run.seed), path)
        if first is not path:
            raise InputError(
                f"{str(first)!r} and {str(path)!r} are records of the same run: a seed counts once, delete one."
            )
        held.append(cells(record, str(path.relative_to(folder))))
    return joined(held)


def cells(record: Record, name: str) -> Cells:
    """The compared values of one record by column, with what was run and what it cost; ``name``: of its file."""
    rows = list(rows_of(record.errors))
    of_run = {
        "task": record.task.name,
        "task_hash": record.task_hash,
        "system": record.system,
        "architecture": record.label,
        "tracker": record.method,
        "shape": shape_text(record.run.shape),
        "n_sites": record.n_sites,
        "seed": record.run.seed,
        "family": record.label if record.imported else record.run.architecture.name,
        "question": question(record),
        "samples": _number(record.task.options.get("samples")),
        "parameters": record.diagnostics.get("n_parameters"),
        "negative": record.diagnostics.get("negative_targets"),
        "wall_s": record.wall_s,
        "cpu_s": record.cpu_s,
        "memory_mib": record.peak_memory_mib,
        "record": name,
        "code": record.code,
    }
    return {
        **record.errors,
        **_ess(record.log, rows),
        "warning": [of_row(record.warnings, row) for row in rows],
        **{column: [value] * len(rows) for column, value in of_run.items()},
    }


def joined(held: Sequence[Cells]) -> pd.DataFrame:
    """One table of the `cells` of several records, with every column that `summarise` reads; null is NaN."""
    lengths = [len(next(iter(columns.values()))) for columns in held]
    both = pd.DataFrame()
    for name in dict.fromkeys(name for columns in held for name in columns):
        nulls = ([None] * length for length in lengths)
        column = list(chain.from_iterable(columns.get(name, null) for columns, null in zip(held, nulls)))
        if any(value is not None for value in column):
            both[name] = [np.nan if value is None else value for value in column]
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


def _number(value: Any) -> Any:
    """None for what is no number: an option of somebody's own tracker may bear this name."""
    return value if isinstance(value, int | float) else None


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


def _ess(log: Cells, rows: Sequence[dict[str, Any]]) -> Cells:
    """The effective sample size at the time of each row, where it was logged."""
    if "ess" not in log:
        return {}
    at = {_at(row): row["ess"] for row in rows_of(log)}
    return {"ess": [at.get(_at(row)) for row in rows]}


def _at(row: dict[str, Any]) -> tuple[float, str]:
    return float(row["s"]), f"{np.nan if row['t'] is None else row['t']:.9g}"
