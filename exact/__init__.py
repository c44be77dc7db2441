"""Exact answers: systems as local terms, their tilted generators, and every quantity with certainty."""

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
