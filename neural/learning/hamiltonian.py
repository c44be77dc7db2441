"""The Hamiltonian that a network has learned, H(x) = -T0 ln p(x), and the couplings in it.

Since p = exp(-H/T0)/Z, the learned H is the true one plus the constant T0 ln Z = -F(T0): the free energy comes with it.
Wang, Jiang, Zhou, arXiv:2007.01037.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vanbench.exact.errors import InputError
from vanbench.exact.ising import lattice
from vanbench.exact.statistics import standard_error
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.learning.likelihood import log_prob

TERMS = ("nearest", "diagonal", "plaquette", "field")


def learned_energy(net: Autoregressive, x: NDArray | Tensor, T0: float) -> NDArray[np.float64]:
    """H(x) = -T0 ln p(x) of configurations (n, n_sites); (n,), in the units of T0."""
    return -T0 * log_prob(net, x)


@dataclass(frozen=True)
class Agreement:
    """Least-squares line learned = slope * true + constant, its R^2, and the residual's standard deviation.

    `free_energy` is the mean of true - learned, F(T0) - T0 KL: the free energy up to the network's error. `*_error` are
    standard errors for independent configurations, robust to unequal variances.
    """

    slope: float
    slope_error: float
    constant: float
    r2: float
    residual: float
    free_energy: float
    free_energy_error: float


def agreement(learned: NDArray, true: NDArray) -> Agreement:
    """Compare learned with true energies (n,) of held-out configurations; raises InputError below three of
    them.
    """
    learned, true = np.asarray(learned, float), np.asarray(true, float)
    if len(true) < 3 or np.ptp(true) == 0:
        raise InputError("comparing energies needs at least three configurations of different energy")
    design = np.stack([np.ones_like(true), true], axis=1)
    (constant, slope), covariance, rest = _least_squares(design, learned)
    difference = true - learned
    return Agreement(
        slope=float(slope),
        slope_error=float(np.sqrt(covariance[1, 1])),
        constant=float(constant),
        r2=float(1 - rest.var() / learned.var()),
        residual=float(rest.std()),
        free_energy=float(difference.mean()),
        free_energy_error=standard_error(difference),
    )


@dataclass(frozen=True)
class Couplings:
    """H(x) = constant - sum_k value_k S_k(x) fitted by least squares, with robust standard errors and R^2."""

    names: tuple[str, ...]
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    constant: float
    r2: float


def features(x: NDArray, shape: Sequence[int]) -> NDArray[np.float64]:
    """(n, 4): sums over the lattice of s_i s_j (nearest, diagonal pairs), of plaquettes, and of s_i; as
    TERMS.
    """
    s = np.asfortranarray(lattice.spins(x))
    sets = (lattice.bonds(shape), lattice.diagonals(shape), lattice.plaquettes(shape), np.arange(s.shape[1])[:, None])
    return np.stack([lattice.product_sum(s, members) for members in sets], axis=1).astype(float)


def couplings(net: Autoregressive, x: NDArray, shape: Sequence[int], T0: float) -> Couplings:
    """Fit the learned energy of x (n, n_sites) on TERMS; terms that do not vary over x are left out.

    Raises InputError with fewer than ten configurations a term.
    """
    columns = features(x, shape)
    used = [k for k in range(len(TERMS)) if np.ptp(columns[:, k]) > 0]
    if len(x) < 10 * (len(used) + 1):
        raise InputError("the couplings' fit needs at least fifty configurations")
    learned = learned_energy(net, x, T0)
    design = np.column_stack([np.ones(len(x)), -columns[:, used]])
    values, covariance, rest = _least_squares(design, learned)
    return Couplings(
        names=tuple(TERMS[k] for k in used),
        values=values[1:],
        errors=np.sqrt(np.diag(covariance))[1:],
        constant=float(values[0]),
        r2=float(1 - rest.var() / learned.var()),
    )


def _least_squares(design: NDArray, y: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Coefficients, their covariance (White's sandwich: the residual may depend on x), and residuals."""
    scale = np.abs(design).max(axis=0)
    scaled = design / scale
    values, _, rank, _ = np.linalg.lstsq(scaled, y, rcond=None)
    if rank < design.shape[1]:
        raise InputError("the fitted terms cannot be told apart on these configurations: use a larger lattice")
    rest = y - scaled @ values
    inverse = np.linalg.inv(scaled.T @ scaled)
    covariance = inverse @ (scaled.T * rest**2 @ scaled) @ inverse * len(y) / max(1, len(y) - len(values))
    return values / scale, covariance / np.outer(scale, scale), rest
