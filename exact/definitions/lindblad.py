"""Open quantum systems of spins 1/2 as data: local Hamiltonian pieces and local jump operators.

``d rho/dt = -i [H, rho] + sum_k gamma_k (G_k rho G_k^+ - {G_k^+ G_k, rho} / 2)``
(Lindblad, Commun. Math. Phys. 48, 119 (1976)). Times are in units of the inverse of the couplings, hbar = 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from vanbench.exact.definitions.tolerance import close
from vanbench.exact.errors import InputError


@dataclass(frozen=True, eq=False)
class LocalOperator:
    """``matrix`` ``(2**k, 2**k)`` on ``k`` distinct ``sites``, the first most significant, index 0 = up."""

    sites: tuple[int, ...]
    matrix: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", _whole(self.sites))
        object.__setattr__(self, "matrix", as_matrix(self.matrix, f"local operator on sites {self.sites}"))
        size = 2 ** len(self.sites)
        if len(set(self.sites)) != len(self.sites) or not self.sites:
            raise InputError(f"local operator on sites {self.sites}: the sites must be distinct and at least one.")
        if self.matrix.shape != (size, size):
            raise InputError(
                f"local operator on sites {self.sites}: its matrix must be {size} x {size}, got {self.matrix.shape}."
            )
        if not np.isfinite(self.matrix).all():
            raise InputError(f"local operator on sites {self.sites}: the matrix has entries that are not finite.")


def _whole(sites: Sequence[int]) -> tuple[int, ...]:
    try:
        return tuple(operator.index(site) for site in sites)
    except TypeError as error:
        raise InputError(f"sites = {sites!r}: give whole numbers in a tuple, like (0,) or (2, 3).") from error


@dataclass(frozen=True, eq=False)
class Jump(LocalOperator):
    """A jump operator ``G`` with its ``rate >= 0``."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.rate, Real) and 0 <= self.rate < math.inf):
            raise InputError(f"jump on sites {self.sites}: its rate {self.rate} must be a non-negative number.")


@dataclass(frozen=True, eq=False)
class Lindblad:
    """A Lindblad equation for the spins of a lattice of ``shape`` (row-major sites).

    ``edges``: neighbour pairs ``(m, 2)`` for graph networks. Raises ``InputError`` for a Hamiltonian piece that is
    not Hermitian and for a site that does not exist.
    """

    shape: tuple[int, ...]
    hamiltonian: tuple[LocalOperator, ...]
    jumps: tuple[Jump, ...]
    edges: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=int))

    def __post_init__(self) -> None:
        if not self.shape or any(length < 1 for length in self.shape):
            raise InputError(f"shape {self.shape}: every length must be a positive integer.")
        for part in (*self.hamiltonian, *self.jumps):
            if max(part.sites) >= self.n_sites or min(part.sites) < 0:
                raise InputError(f"an operator acts on sites {part.sites}, but there are only {self.n_sites} sites.")
        for part in self.hamiltonian:
            if not close(part.matrix, part.matrix.conj().T):
                raise InputError(f"the Hamiltonian on sites {part.sites} is not Hermitian: give H with H = H^+.")

    @property
    def n_sites(self) -> int:
        return math.prod(self.shape)

    @property
    def dim(self) -> int:
        return 1 << self.n_sites

    @property
    def jump_rate(self) -> float:
        """A bound on the rate of jumps in any state, ``sum_k gamma_k |G_k|^2``."""
        return sum(j.rate * float(np.linalg.norm(j.matrix, 2)) ** 2 for j in self.jumps)


def as_matrix(given: Any, what: str) -> np.ndarray:
    """Lists, QuTiP operators (``.full()``) and arrays as an array of numbers; raises ``InputError``."""
    try:
        array = np.asarray(given.full() if hasattr(given, "full") else given)
        return array if array.dtype.kind == "c" else array.astype(float)
    except (TypeError, ValueError):
        raise InputError(f"{what}: give a matrix of numbers.") from None
