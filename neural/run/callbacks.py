"""Functions that a run calls after each of its steps: progress, budgets, checkpoints, live logs.

A callback takes a `Moment`. If it returns a sentence, the run ends there, and the sentence is the reason.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vanbench.exact.errors import optional
from vanbench.neural.backend import checkpoint
from vanbench.neural.run.log import Row, RunLog

CHECKPOINT_SECONDS = 20.0
PLACES = ("step", "t", "s")  # of a row of the log: where its figures belong


@dataclass(frozen=True)
class Moment:
    """The state of a run after a step; ``total``: the number of steps of the whole run, as far as it is known."""

    log: RunLog
    total: int

    @property
    def rows(self) -> list[Row]:
        """The log's rows for this step, one for each trained counting field."""
        return self.log.rows[-len(self.log.s) :]

    @property
    def message(self) -> str:
        return f"t = {self.log.t:.4g}, ln Z = {float(self.log.ln_z[self.log.default][0]):.6g}"


Callback = Callable[[Moment], str | None]


def progress(report: Callable[[int, int, str], None]) -> Callback:
    """Calls ``report(steps, total, message)``."""
    return lambda moment: report(moment.log.steps, moment.total, moment.message)


def budget(seconds: float | None = None, cpu_seconds: float | None = None) -> Callback:
    """Ends a run that takes more wall time or CPU time than this, counted from this call."""
    limits = [("seconds", seconds, time.monotonic), ("cpu_seconds", cpu_seconds, time.process_time)]
    began = {name: clock() for name, _, clock in limits}

    def check(moment: Moment) -> str | None:
        for name, limit, clock in limits:
            if limit is not None and clock() - began[name] > limit:
                unit = "CPU seconds" if name == "cpu_seconds" else name
                steps = f"step {moment.log.steps} of {moment.total}"
                return f"the budget of {limit:g} {unit} ran out at {steps}: raise budget.{name}."
        return None

    return check


def tensorboard(folder: Path) -> Callback:
    """Writes TensorBoard's event files under ``folder``. Raises ``InputError`` if the library is missing.

    Tags are ``ln_Z:<estimator>/s=0.1`` and so on, over the step; values that are not finite are left out.
    """
    optional("tensorboard", "--tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), flush_secs=10)

    def write(moment: Moment) -> None:
        for row in moment.rows:
            for name, value in row.items():
                if name not in PLACES and isinstance(value, int | float) and math.isfinite(value):
                    writer.add_scalar(f"{name}/s={row['s']:g}", value, row["step"])

    return write


class Checkpoint:
    """Saves what ``content`` returns in ``folder``, every ``CHECKPOINT_SECONDS`` and when told to."""

    def __init__(self, folder: Path, content: Callable[[], dict[str, Any]]):
        self.folder, self.content, self.saved = folder, content, time.perf_counter()

    def __call__(self, moment: Moment) -> None:
        if time.perf_counter() - self.saved > CHECKPOINT_SECONDS:
            self.save()

    def save(self) -> None:
        checkpoint.save(self.folder, self.content())
        self.saved = time.perf_counter()
