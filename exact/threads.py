"""When loops run on several threads: only where the vectors are long enough to pay for starting them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import get_num_threads, njit

PARALLEL_FROM = 1 << 16


def both(function: Callable, fastmath: bool = True) -> tuple[Any, Any]:
    """``function`` compiled twice: serial, and with its ``prange`` loops on all threads."""
    return njit(fastmath=fastmath, cache=True)(function), njit(parallel=True, fastmath=fastmath, cache=True)(function)


def pick(compiled: tuple[Any, Any], size: int) -> Any:
    """The variant for vectors of ``size``."""
    return compiled[size >= PARALLEL_FROM and get_num_threads() > 1]
