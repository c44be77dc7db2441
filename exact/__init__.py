"""Exact values: systems as local terms, their tilted generators, and every quantity with its bound."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vanbench.exact.definitions.connections import Connections
    from vanbench.exact.definitions.quantity import Quantity
    from vanbench.exact.definitions.states import StateSpace
    from vanbench.exact.definitions.system import Excluding, FixedSum, System
    from vanbench.exact.definitions.terms import Term, jumps
    from vanbench.exact.errors import InputError
    from vanbench.exact.matrixfree.eigenvectors import doob, leading_vectors
    from vanbench.exact.scan import scan
    from vanbench.exact.solve import solve
    from vanbench.exact.sparse.generator import generator
    from vanbench.exact.systems import SYSTEMS, build
    from vanbench.exact.trajectories.cloning import cloning
    from vanbench.exact.trajectories.gillespie import trajectories

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
# Imported at first use, so that a command's help, or a question that needs no sparse matrix, does not wait for them.
PLACES = {
    **dict.fromkeys(("SYSTEMS", "build"), "systems"),
    **dict.fromkeys(("Excluding", "FixedSum", "System"), "definitions.system"),
    **dict.fromkeys(("Term", "jumps"), "definitions.terms"),
    **dict.fromkeys(("doob", "leading_vectors"), "matrixfree.eigenvectors"),
    "Connections": "definitions.connections",
    "InputError": "errors",
    "Quantity": "definitions.quantity",
    "StateSpace": "definitions.states",
    "cloning": "trajectories.cloning",
    "generator": "sparse.generator",
    "scan": "scan",
    "solve": "solve",
    "trajectories": "trajectories.gillespie",
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{PLACES[name]}", __name__), name)


class _Package(ModuleType):
    """The functions ``solve``, ``scan`` and ``trajectories`` go before the modules of these names, which an import
    would put in their place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in PLACES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
