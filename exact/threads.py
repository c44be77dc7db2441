"""When loops run on several threads: only where the vectors are long enough to pay for starting them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from numba import get_num_threads, prange

from vanbench.exact.compiled import compiled

PARALLEL_FROM = 1 << 16


def both(function: Callable, fastmath: bool = True) -> tuple[Any, Any]:
    """``function`` compiled twice: serial, and with its ``prange`` loops on all threads.

    The second bears a name of its own: numba's cache files go by name and know nothing of ``parallel``, so under one
    name the variant compiled first would be loaded for both.
    """
    name = f"{function.__name__}_on_threads"
    threaded = FunctionType(function.__code__, function.__globals__, name, function.__defaults__, function.__closure__)
    threaded.__qualname__ = name
    return compiled(fastmath=fastmath)(function), compiled(parallel=True, fastmath=fastmath)(threaded)


def threads() -> int:
    """That compiled loops run on."""
    count = get_num_threads()
    if count > 1:
        _begin()
    return count


@cache
def _begin() -> None:
    """The first loop of a process on threads sets the number of OpenMP threads, torch's too where it is loaded: that is
    put back."""
    torch = sys.modules.get("torch")
    before = torch and torch.get_num_threads()
    _first(np.empty(1))
    if torch:
        torch.set_num_threads(before)


@compiled(parallel=True)
def _first(x: Any) -> None:
    for i in prange(len(x)):
        x[i] = 0.0


def pick(compiled: tuple[Any, Any], size: int) -> Any:
    """The variant for vectors of ``size``."""
    return compiled[size >= PARALLEL_FROM and threads() > 1]
