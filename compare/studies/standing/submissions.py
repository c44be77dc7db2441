"""What enters the standing table: records of its suite, whose errors are taken anew against references of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from vanbench.compare.declare.columns import columns
from vanbench.compare.declare.parse import shape_text
from vanbench.compare.declare.task import Suite, load_suite
from vanbench.compare.judge.collect import cells, joined, scalars
from vanbench.compare.judge.errors import errors
from vanbench.compare.run.record import Record, records, unfinished
from vanbench.compare.run.references import reference
from vanbench.compare.run.stored import read_table
from vanbench.compare.show.escape import csv, no_formula
from vanbench.exact import InputError
from vanbench.exact.files import write_text

SUITE = "standing"
TABLE = "runs.csv"
RUN = ["task_hash", "architecture", "shape", "seed"]  # what tells runs apart
FINISHED = "finished"
KEPT = [
    "task", "task_hash", "system", "question", "tracker", "architecture", "family", "shape", "n_sites", "seed",
    "quantity", "s", "t", "value", "stderr", "error_estimate", "exact", "source", "uncertainty", "scheme", "summed",
    "error", "error_per_site", "scale", "total", "discretisation", "projection", "sampling", "network", "ess",
    "samples", "parameters", "negative", "cpu_s", "wall_s", "memory_mib", "note", "warning", "code", "ended",
]  # fmt: skip

WORDS = [
    "task", "task_hash", "system", "question", "tracker", "architecture", "family", "shape", "quantity", "source",
    "note", "warning", "code", "ended",
]  # fmt: skip


def stored(folder: Path) -> pd.DataFrame:
    """The runs in the table of ``folder``, a row a value; without rows where there is none yet."""
    path = folder / TABLE
    if not path.exists():
        return pd.DataFrame(columns=KEPT)
    numbers = [name for name in KEPT if name not in WORDS]
    frame = read_table(path, numbers, WORDS, keep_default_na=False, na_values=[""])
    for name in ("note", "warning", "source"):
        frame[name] = frame[name].fillna("")
    return frame.assign(site=float("nan"), distance=float("nan"), record="")


def add(folders: list[Path], folder: Path) -> tuple[int, int]:
    """Judge the records under ``folders`` and put them into the table of ``folder``; how many are new, and were there.

    A record must answer a task of the suite as it is declared today, by its hash; its references and errors are
    computed here. Raises ``InputError`` for what does not, and for other values of a run that the table has; then
    nothing is written.
    """
    suite, held = load_suite(SUITE), stored(folder)
    there = {tuple(map(str, key)) for key in held[RUN].drop_duplicates().itertuples(index=False)}
    new: list[pd.DataFrame] = []
    known = 0
    for place in folders:
        for record in [*(record for _, record in records(place)), *unfinished(place)]:
            _check(record, suite)
            label = str(no_formula(record.label))  # as the table has it
            key = (record.task_hash, label, shape_text(record.run.shape), str(record.run.seed))
            rows = judged(record, folder)
            if key not in there:
                there.add(key)
                new.append(rows)
            elif _same(held, key, rows):
                known += 1
            else:
                raise InputError(
                    f"{record.task.name}, {record.label}, seed {key[3]}: the table has other values of it."
                )
    if new:
        table = pd.concat([f.dropna(axis=1, how="all") for f in (held, *new) if len(f)], ignore_index=True)
        table = table.sort_values(["task", "architecture", "n_sites", "seed", "quantity", "s", "t"])
        write_text(folder / TABLE, csv(table.reindex(columns=KEPT), float_format="%.9g"), folder)
    return len(new), known


def judged(record: Record, folder: Path) -> pd.DataFrame:
    """The rows of ``record``, its errors against the references kept in ``folder``; one without a value where it ended
    before its first report."""
    known = reference(record.task, record.run.shape, folder)
    rows = record.frame("rows")
    ended = str(record.diagnostics.get("ended") or FINISHED)
    if rows.empty:
        rows = pd.DataFrame([{"quantity": _asked(record), "s": record.task.s[0], "t": record.task.times[-1]}])
        rows = rows.assign(value=float("nan"))
    compared = errors(rows, known.continuous, known.scheme, record.n_sites, known.scheme_notes)
    record.errors = columns(compared)
    return scalars(joined([cells(record, "")])).assign(ended=ended)


def _asked(record: Record) -> str:
    """What the task is judged by: ln Z, or where nothing is counted what it asks besides."""
    return record.task.quantities[-1 if record.task.s == [0.0] else 0]


def _check(record: Record, suite: Suite) -> None:
    today = {task.hash: task for task in suite.tasks}
    if record.task_hash not in today or record.task.hash not in today:
        raise record.unfit(
            f"is of no task of the suite {suite.name!r} as it is declared now (hash {record.task.hash}; "
            f"`vanbench run {suite.name}`)"
        )
    task = today[record.task.hash]
    if tuple(record.run.shape) not in task.shapes:
        raise record.unfit(f"has the shape {shape_text(record.run.shape)}, which {task.name} does not ask")


def _same(held: pd.DataFrame, key: tuple[str, ...], rows: pd.DataFrame) -> bool:
    mine = held[(held[RUN].astype(str) == list(key)).all(axis=1)]
    values = {(row.quantity, row.s, row.t): row.value for row in mine.itertuples()}
    held_values = [values.get((row.quantity, row.s, row.t), np.nan) for row in rows.itertuples()]
    return bool(np.allclose(held_values, rows.value, rtol=1e-8, atol=0.0, equal_nan=True))  # the table has nine digits
