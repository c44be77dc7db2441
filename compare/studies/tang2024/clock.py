"""On what something is timed, and the clock there: CPU seconds, or those of a GPU on the wall."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from vanbench.exact import InputError
from vanbench.exact.errors import unknown
from vanbench.neural.run.asked import DTYPES

REPEATS = 5


@dataclass(frozen=True)
class Where:
    """On what the steps are made: device, precision, and how many counting fields side by side."""

    device: str = "cpu"
    dtype: str = "float64"
    fields: int = 1

    def clock(self) -> float:
        """CPU seconds so far; of a GPU, which the CPU does not wait for, those on the wall once it is done."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    @property
    def name(self) -> str:
        return "CPU" if self.device == "cpu" else str(torch.cuda.get_device_name())

    def __str__(self) -> str:
        return f"{self.name}, {self.dtype}, {self.fields} counting field{'s' * (self.fields > 1)}"

    def check(self) -> None:
        """Raises ``InputError`` where nothing can be timed."""
        if self.device not in ("cpu", "cuda"):
            raise unknown("device", self.device, ["cpu", "cuda"])
        if self.device == "cuda" and not torch.cuda.is_available():
            raise InputError("there is no CUDA device here.")
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, list(DTYPES))

    def ms(self, work: Callable[[], Any]) -> float:
        """Milliseconds of ``work``, the smallest of a few repetitions after one that is not counted."""
        work()
        spent = []
        for _ in range(REPEATS):
            began = self.clock()
            work()
            spent.append(self.clock() - began)
        return 1e3 * min(spent)


ON_CPU = Where()
