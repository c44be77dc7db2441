"""What a folder's suite declares and its records do not have: runs to come, or that ended early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from vanbench.compare.declare.task import Suite, Task, checked
from vanbench.compare.run.record import Record, unfinished
from vanbench.compare.run.stored import read_json
from vanbench.exact import InputError

Key = tuple[str, tuple[int, ...], str, int]  # task, shape, network, number of the seed


def sentence(folder: Path, recorded_runs: Sequence[Record]) -> str:
    """How many runs are missing; empty where none is, or where the folder has no suite.

    A network that the suite does not name (`vanbench run --architecture`) is expected in all of its tasks, and where
    only such have left records, the suite's own are not. What was imported is no run.
    """
    suite = suite_of(folder)
    recorded_runs = [record for record in recorded_runs if not record.imported]
    if suite is None:
        return ""
    asked = expected(suite, recorded_runs)
    lacking = asked - {key(record) for record in recorded_runs}
    if not lacking:
        return ""
    early = sum(1 for record in unfinished(folder) if key(record) in lacking)
    verb = "has" if len(lacking) == 1 else "have"
    ended = f", {early} of them ended early" if early else ""
    return f"{len(lacking)} of {len(asked)} runs of the suite {suite.name!r} {verb} left no record here{ended}."


def suite_of(folder: Path) -> Suite | None:
    """The suite that was run into ``folder``; None for a folder of single runs, or an older declaration."""
    try:
        return stored_suite(folder)
    except InputError:
        return None


def stored_suite(folder: Path) -> Suite:
    """The same; raises ``InputError`` where there is none or it cannot be read."""
    path = folder / "suite.json"
    return checked(Suite, read_json(path), str(path), stored=True)


def expected(suite: Suite, recorded_runs: Sequence[Record]) -> set[Key]:
    """The runs that a folder with these records is to have: see `sentence`."""
    declared = {(task.name, architecture.label) for task in suite.tasks for architecture in task.architectures}
    recorded = {(record.task.name, record.run.architecture.label) for record in recorded_runs}
    others = {label for _, label in recorded - declared}
    pairs = {(task.name, label) for task in suite.tasks for label in others}
    if declared & recorded or not others:
        pairs |= declared
    return {
        wanted for task in suite.tasks for wanted in _asked(task, {label for name, label in pairs if name == task.name})
    }


def _asked(task: Task, labels: set[str]) -> Iterable[Key]:
    return [(task.name, shape, label, k) for shape in task.shapes for label in labels for k in range(task.seeds)]


def key(record: Record) -> Key:
    return record.task.name, record.run.shape, record.run.architecture.label, record.run.replica
