"""Records with known numbers, made without training, for the tests of what reads records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from vanbench.compare.declare.columns import columns
from vanbench.compare.declare.task import Run, Task
from vanbench.compare.judge.errors import errors
from vanbench.compare.run.record import FOLDER, Record

EXACT = {4: -0.40, 6: -0.60, 8: -0.80}  # ln Z at t = 1 by size; half of it at t = 0.5
EULER_SHIFT = -0.01  # what the time steps add to ln Z at t = 1


def example(
    length: int = 4,
    replica: int = 0,
    value: float | None = None,
    architecture: str = "made",
    task: str = "example",
    s: float = 0.1,
    **changes: object,
) -> Record:
    """A run whose ln Z at t = 1 is ``value``; with ``s = 0`` the exact ln Z is zero."""
    declared = Task.model_validate(
        {
            "name": task,
            "system": "east",
            "shapes": [[length]],
            "s": [s],
            "times": [0.5, 1.0],
            "architectures": [architecture],
            "tracker": "kl",
            **changes,
        }
    )
    exact = EXACT[length] if s else 0.0
    value = exact + 1.5 * EULER_SHIFT if value is None else value
    table = {"exact": exact, "scheme": exact + EULER_SHIFT, "ln_Z_summed": exact + 1.2 * EULER_SHIFT, "ln_Z": value}

    def rows(*names: str, quantity: str | None = None) -> pd.DataFrame:
        cells = [(quantity or n, t, table[n] * t) for n in names for t in (0.5, 1.0)]
        return pd.DataFrame([{"quantity": q, "s": s, "t": t, "value": v, "sampling_stderr": 1e-3} for q, t, v in cells])

    network = rows("ln_Z", "ln_Z_summed")
    compared = errors(network, rows("exact", quantity="ln_Z"), rows("scheme", quantity="ln_Z"), length)
    log = pd.DataFrame([{"s": s, "t": t, "ess": 0.9} for t in (0.5, 1.0)])
    seeded = {"shape": (length,), "architecture": declared.architectures[0], "replica": replica, "seed": 1000 + replica}
    return Record(
        run=Run(task=declared, **seeded),
        task_hash=declared.hash,
        system="east",
        params={"c": 0.5},
        rows=columns(network),
        errors=columns(compared),
        distances={},
        log=columns(log),
        diagnostics={"n_parameters": 100, "negative_targets": 0},
        estimator="log_mean_exp",
        provenance={"commit": None, "dirty": None},
        wall_s=2.0,
        cpu_s=1.5,
        peak_memory_mib=100.0,
        warnings=[],
    )


def of_task(record: Record, **changes: object) -> Record:
    """The record as if its task had been declared with ``changes``, its hash as it is."""
    run = record.run.model_copy(update={"task": record.task.model_copy(update=changes)})
    return record.model_copy(update={"run": run})


def folder_of(
    path: Path,
    error: Callable[[int, int], float] = lambda length, replica: 0.0,
    lengths: tuple[int, ...] = (4, 6),
    **changes: object,
) -> Path:
    """A run folder with three seeds a size; ``error(length, replica)`` is added to the scheme's ln Z at t = 1."""
    for length in lengths:
        for replica in range(3):
            value = (EXACT[length] if changes.get("s", 0.1) else 0.0) + EULER_SHIFT + error(length, replica)
            record = example(length, replica, value, **changes)  # type: ignore[arg-type]
            record.save(path / FOLDER / record.task.name / f"{length}_{record.run.architecture.name}_{replica}.json")
    return path


def spread(scale: float) -> Callable[[int, int], float]:
    """An error of ``scale`` that differs a little from seed to seed."""
    return lambda length, replica: -scale * (1 + 0.1 * np.sin(7 * length + 3 * replica))


def with_correlations(path: Path) -> Path:
    """The records under ``path`` with a two-point function of two distances, 0.1 and 0.2 off, as larger runs hold."""
    for file in path.rglob("*.json"):
        record = Record.load(file)
        held = record.frame("errors")
        added = held[held.quantity == "ln_Z"].iloc[-1:].assign(quantity="correlation_zz")
        pairs = [added.assign(distance=float(d), value=0.1 * d, exact=0.0, error=0.1 * d) for d in (1, 2)]
        record.errors = columns(pd.concat([held, *pairs], ignore_index=True))
        record.save(file)
    return path
