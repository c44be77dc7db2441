"""Exact answers: systems as local terms, their tilted generators, and every quantity with certainty."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.quantity import Quantity
from vanbench.exact.definitions.states import StateSpace
from vanbench.exact.definitions.system import Excluding, FixedSum, System
from vanbench.exact.definitions.terms import Term, jumps
from vanbench.exact.errors import InputError
from vanbench.exact.scan import scan
from vanbench.exact.solve import solve
from vanbench.exact.systems import SYSTEMS, build
from vanbench.exact.trajectories.gillespie import trajectories

if TYPE_CHECKING:
    from vanbench.exact.matrixfree.eigenvectors import doob, leading_vectors
    from vanbench.exact.sparse.generator import generator
    from vanbench.exact.trajectories.cloning import cloning

__all__ = [
    "SYSTEMS",
    "Connections",
    "Excluding",
    "FixedSum",
    "InputError",
    "Quantity",
    "StateSpace",
    "System",
    "Term",
    "build",
    "cloning",
    "doob",
    "generator",
    "jumps",
    "leading_vectors",
    "scan",
    "solve",
    "trajectories",
]
# Imported at first use: they load sparse matrices or compiled loops, and a small question needs neither.
PLACES = {
    "cloning": "trajectories.cloning",
    "doob": "matrixfree.eigenvectors",
    "generator": "sparse.generator",
    "leading_vectors": "matrixfree.eigenvectors",
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{PLACES[name]}", __name__), name)
