"""Exact answers: systems as local terms, their tilted generators, and every quantity with certainty."""

from .cloning import cloning
from .connections import Connections
from .eigenvectors import doob, leading_vectors
from .errors import InputError
from .gillespie import trajectories
from .scan import scan
from .solve import solve
from .sparse import generator
from .states import StateSpace
from .system import Excluding, FixedSum, System
from .systems import SYSTEMS, build
from .terms import Term, jumps

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
