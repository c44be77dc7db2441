"""Functions that a run calls after each of its steps: progress, budgets, checkpoints, live logs.

A callback takes a `Moment`. If it returns a sentence, the run ends there, and the sentence is the reason.
"""

from __future__ import annotations

import io
import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from vanbench.exact.errors import optional
from vanbench.exact.files import append_bytes
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
    """Writes a TensorBoard event file of this process under ``folder``, one whole step at a time: it can be watched
    while the run goes on, and ends with a whole step however the run ends. Raises ``InputError`` if the library is
    missing.

    Tags are ``ln_Z:<estimator>/s=0.1`` and so on, over the step; values that are not finite are left out.
    """
    optional("tensorboard", "--tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    path = folder / f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{uuid4().hex}"

    def write(moment: Moment) -> None:
        held = io.BytesIO()
        records = RecordWriter(held)
        if not path.exists():
            records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        for row in moment.rows:
            shown = [
                Summary.Value(tag=f"{name}/s={row['s']:g}", simple_value=value)
                for name, value in row.items()
                if name not in PLACES and isinstance(value, int | float) and math.isfinite(value)
            ]
            step = Event(wall_time=time.time(), step=row["step"], summary=Summary(value=shown))
            records.write(step.SerializeToString())
        append_bytes(path, held.getvalue())

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
