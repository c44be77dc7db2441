"""The named Lindblad equations, transverse-field Ising and Heisenberg spins that decay, and named starts of spins."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from vanbench.exact.definitions.lattice import lower_bonds
from vanbench.exact.definitions.lindblad import Jump, Lindblad, LocalOperator
from vanbench.exact.definitions.pauli import I2, MINUS, PAULI, X, Y, Z
from vanbench.exact.errors import InputError

STARTS = {
    "up": (0, 0, 1), "down": (0, 0, -1), "+z": (0, 0, 1), "-z": (0, 0, -1),
    "+x": (1, 0, 0), "-x": (-1, 0, 0), "+y": (0, 1, 0), "-y": (0, -1, 0),
}  # fmt: skip


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
