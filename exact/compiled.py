"""``compiled``: loops by numba, kept on disk between processes where the disk allows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache


class Kept(FunctionCache):
    """numba's cache, which ends the program where it cannot be written (a full home) or read (damaged by a crash): here
    the loop is compiled then, which takes a second or two."""

    def load_overload(self, *asked: Any) -> Any:
        try:
            return super().load_overload(*asked)
        except Exception:  # damaged bytes raise anything
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *asked: Any) -> None:
        with contextlib.suppress(OSError):
            super().save_overload(*asked)


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """A decorator like ``numba.njit(cache=True, **options)``."""

    def decorate(function: Callable) -> Any:
        loop = njit(**options)(function)
        with contextlib.suppress(RuntimeError):  # there is no folder that could hold it
            loop._cache = Kept(function)
        return loop

    return decorate
