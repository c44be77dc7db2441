"""Exact answers: systems as local terms, their tilted generators, and every quantity with certainty."""

from .connections import Connections
from .errors import InputError
from .matrixfree.eigenvectors import doob, leading_vectors
from .scan import scan
from .solve import solve
from .sparse import generator
from .states import StateSpace
from .system import Excluding, FixedSum, System
from .systems import SYSTEMS, build
from .terms import Term, jumps
from .trajectories.cloning import cloning
from .trajectories.gillespie import trajectories

__all__ = [
    "SYSTEMS",
    "Connections",
    "Excluding",
    "FixedSum",
    "InputError",
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
