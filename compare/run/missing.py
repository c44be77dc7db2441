"""What a folder's suite declares and its records do not have: runs to come, or that ended early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vanbench.compare.declare.task import Suite, Task
from vanbench.compare.run.record import Record, unfinished
from vanbench.compare.run.stored import read_json
from vanbench.exact import InputError


def sentence(folder: Path, recorded_runs: Sequence[Record]) -> str:
    """How many runs are missing; empty where none is, or where the folder has no suite.

    A network that the suite does not name (`vanbench run --architecture`) is expected in all of its tasks, and where
    only such have left records, the suite's own are not.
    """
    try:
        suite = Suite.model_validate(read_json(folder / "suite.json"))
    except (OSError, InputError, ValueError):
        return ""  # a folder of single runs, or an older declaration
    declared = {(task.name, architecture.label) for task in suite.tasks for architecture in task.architectures}
    recorded = {(record.task.name, record.run.architecture.label) for record in recorded_runs}
    others = {label for _, label in recorded - declared}
    pairs = {(task.name, label) for task in suite.tasks for label in others}
    if declared & recorded or not others:
        pairs |= declared
    done = {_key(record) for record in recorded_runs}
    asked = {key for task in suite.tasks for key in _asked(task, {label for name, label in pairs if name == task.name})}
    lacking = asked - done
    if not lacking:
        return ""
    early = sum(1 for record in unfinished(folder) if _key(record) in lacking)
    ended = f", {early} of them ended early" if early else ""
    return f"{len(lacking)} of {len(asked)} runs of the suite {suite.name!r} have left no record here{ended}."


def _asked(task: Task, labels: set[str]) -> Iterable[tuple]:
    return [(task.name, shape, label, k) for shape in task.shapes for label in labels for k in range(task.seeds)]


def _key(record: Record) -> tuple:
    return record.task.name, record.run.shape, record.run.architecture.label, record.run.replica
