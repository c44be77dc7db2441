"""Tasks, records, errors, tables, figures, the gate and the command line: how accurate networks are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vanbench.compare.declare.task import Architecture, Run, Suite, Task, load_suite
    from vanbench.compare.judge.evaluation import evaluate
    from vanbench.compare.run.record import Record, records
    from vanbench.compare.run.suite import run_suite

__all__ = [
    "Architecture",
    "Record",
    "Run",
    "Suite",
    "Task",
    "evaluate",
    "load_suite",
    "records",
    "run_suite",
]
# Imported at first use: pytest loads ``compare.pytest_plugin`` in every project of the environment.
PLACES = {"evaluate": "judge.evaluation", "Record": "run.record", "records": "run.record", "run_suite": "run.suite"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{PLACES.get(name, 'declare.task')}", __name__), name)
