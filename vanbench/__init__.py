"""Exact-diagonalization benchmarks and a variational autoregressive solver for stochastic and open quantum dynamics.

``exact`` computes exact values, ``neural`` tracks the same distributions with networks, and ``compare`` turns the two
into errors. The names below are imported at first use, so that ``import vanbench`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vanbench.compare import Task, evaluate, records, run_suite
    from vanbench.exact import System, build, jumps, solve
    from vanbench.neural import Autoregressive, track, wrap

__version__: str
__all__ = [
    "Autoregressive",
    "System",
    "Task",
    "__version__",
    "build",
    "evaluate",
    "jumps",
    "records",
    "run_suite",
    "solve",
    "track",
    "wrap",
]

HOMES = {
    "exact": ("System", "build", "jumps", "solve"),
    "neural": ("Autoregressive", "track", "wrap"),
    "compare": ("Task", "evaluate", "records", "run_suite"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("vanbench")
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(f"vanbench.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
