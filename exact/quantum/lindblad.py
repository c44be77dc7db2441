"""Open quantum systems of spins 1/2 as data: local Hamiltonian pieces and local jump operators.

``d rho/dt = -i [H, rho] + sum_k gamma_k (G_k rho G_k^+ - {G_k^+ G_k, rho} / 2)``
(Lindblad, Commun. Math. Phys. 48, 119 (1976)). Times are in units of the inverse of the couplings, hbar = 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from vanbench.exact.errors import InputError
from vanbench.exact.quantum.pauli import I2, MINUS, PAULI, X, Y, Z
from vanbench.exact.systems.lattice import lower_bonds

STARTS = {
    "up": (0, 0, 1), "down": (0, 0, -1), "+z": (0, 0, 1), "-z": (0, 0, -1),
    "+x": (1, 0, 0), "-x": (-1, 0, 0), "+y": (0, 1, 0), "-y": (0, -1, 0),
}  # fmt: skip


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
            if not np.allclose(
                part.matrix, part.matrix.conj().T, rtol=0, atol=1e-12 * max(1, np.abs(part.matrix).max())
            ):
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


def tfim_model(
    shape: tuple[int, ...], V: float = 2.0, g: float = 1.0, gamma: float = 1.0, boundary: str = "periodic"
) -> Lindblad:
    """``H = V/4 sum_<ij> z_i z_j + g/2 sum_i x_i``, ``G_i = sigma^-_i`` at rate ``gamma``; each bond once."""
    _check_finite(V=V, g=g)
    return _lattice_model(shape, boundary, V / 4 * np.kron(Z, Z), g / 2 * X, gamma)


def heisenberg_model(
    shape: tuple[int, ...],
    Jx: float = 0.9,
    Jy: float = 1.0,
    Jz: float = 1.0,
    B: float = 0.0,
    gamma: float = 1.0,
    boundary: str = "periodic",
) -> Lindblad:
    """``H = sum_<ij> (Jx xx + Jy yy + Jz zz) + B sum_i z_i``, ``G_i = sigma^-_i`` at rate ``gamma``; each bond once."""
    _check_finite(Jx=Jx, Jy=Jy, Jz=Jz, B=B)
    bond = Jx * np.kron(X, X) + Jy * np.kron(Y, Y) + Jz * np.kron(Z, Z)
    return _lattice_model(shape, boundary, bond, B * Z, gamma)


def as_matrix(given: Any, what: str) -> np.ndarray:
    """Lists, QuTiP operators (``.full()``) and arrays as an array of numbers; raises ``InputError``."""
    try:
        found = np.asarray(given.full() if hasattr(given, "full") else given)
        return found if found.dtype.kind == "c" else found.astype(float)
    except (TypeError, ValueError):
        raise InputError(f"{what}: give a matrix of numbers.") from None


MODELS: dict[str, Callable[..., Lindblad]] = {"tfim": tfim_model, "heisenberg": heisenberg_model}


def bloch_state(vector: tuple[float, float, float]) -> np.ndarray:
    """The one-spin state ``(1 + r . sigma) / 2``; raises ``InputError`` when ``|r| > 1``."""
    if not np.linalg.norm(vector) <= 1 + 1e-12:
        raise InputError(f"the Bloch vector {tuple(vector)} is longer than 1.")
    return (I2 + sum(c * PAULI[a] for c, a in zip(vector, "xyz"))) / 2


def product_state(start: str, n_sites: int) -> np.ndarray:
    """One-spin states ``(n_sites, 2, 2)`` of a named start: ``up``, ``down``, ``+-x``, ``+-y``, ``+-z``."""
    if start not in STARTS:
        raise InputError(f"unknown start {start!r}: take one of {', '.join(STARTS)}.")
    return np.tile(bloch_state(STARTS[start]), (n_sites, 1, 1))


def _lattice_model(
    shape: tuple[int, ...], boundary: str, bond: np.ndarray, field: np.ndarray, gamma: float
) -> Lindblad:
    if boundary not in ("open", "periodic"):
        raise InputError(f"unknown boundary {boundary!r}: quantum systems are 'open' or 'periodic'.")
    if not (np.isfinite(gamma) and gamma >= 0):
        raise InputError(f"gamma = {gamma}: a rate must be a non-negative number.")
    pairs = [(a, b) for a, b, _ in lower_bonds(shape, boundary == "periodic")]
    n = math.prod(shape)
    h = [LocalOperator(pair, bond) for pair in pairs if bond.any()]
    h += [LocalOperator((i,), field) for i in range(n) if field.any()]
    decay = tuple(Jump((i,), MINUS, gamma) for i in range(n))
    return Lindblad(tuple(shape), tuple(h), decay, np.array(pairs, dtype=int).reshape(-1, 2))


def _check_finite(**couplings: float) -> None:
    for name, value in couplings.items():
        if not np.isfinite(value):
            raise InputError(f"{name} = {value}: a coupling must be a finite number.")
