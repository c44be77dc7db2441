"""When loops run on several threads: only where the vectors are long enough to pay for starting them."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba import get_num_threads, njit

PARALLEL_FROM = 1 << 16


def both(function: Callable, fastmath: bool = True) -> tuple[Any, Any]:
    """``function`` compiled twice: serial, and with its ``prange`` loops on all threads.

    The second bears a name of its own: numba's cache files go by name and know nothing of ``parallel``, so under one
    name the variant compiled first would be loaded for both.
    """
    name = f"{function.__name__}_on_threads"
    threaded = FunctionType(function.__code__, function.__globals__, name, function.__defaults__, function.__closure__)
    threaded.__qualname__ = name
    return njit(fastmath=fastmath, cache=True)(function), njit(parallel=True, fastmath=fastmath, cache=True)(threaded)


def pick(compiled: tuple[Any, Any], size: int) -> Any:
    """The variant for vectors of ``size``."""
    return compiled[size >= PARALLEL_FROM and get_num_threads() > 1]
