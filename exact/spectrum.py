"""The leading eigenvalues of ``W_s``: the scaled cumulant generating function, the gap, the Euler stability limit."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackError, eigs

from .errors import InputError

DENSE = 400  # below this many states a dense eigenvalue solve is quicker than ARPACK, and certain


def leading(w: sp.csr_array, count: int = 2, which: str = "LR") -> np.ndarray:
    """The ``count`` eigenvalues with the largest (``LR``) or smallest (``SR``) real part, in that order, complex.

    Where moves do not connect all states (absorbing states, conserved quantities) each communicating class is solved
    for itself: the matrix is block triangular in them, and one Krylov space cannot tell equal eigenvalues apart.
    """
    n_classes, labels = connected_components(w, directed=True, connection="strong")
    if n_classes == 1:
        return _ordered(_eigenvalues(w, count, which), which)[:count]
    sizes = np.bincount(labels)
    found = [w.diagonal()[sizes[labels] == 1].astype(complex)]
    for label in np.flatnonzero(sizes > 1):
        inside = np.flatnonzero(labels == label)
        found.append(_eigenvalues(w[inside][:, inside], min(count, len(inside)), which))
    return _ordered(np.concatenate(found), which)[:count]


def _eigenvalues(w: sp.csr_array, count: int, which: str) -> np.ndarray:
    size = w.shape[0]
    if size <= DENSE:
        return np.linalg.eigvals(w.toarray())
    start = np.random.default_rng(0).random(size)  # fixed: the same answer at every call
    try:
        return eigs(w, k=count, which=which, v0=start, ncv=min(size - 1, 40), maxiter=20 * size, tol=1e-14)[0]
    except ArpackError as error:
        raise InputError(f"ARPACK did not find the leading eigenvalues ({error}).") from error


def _ordered(values: np.ndarray, which: str) -> np.ndarray:
    order = np.argsort(values.real)
    return values[order if which == "SR" else order[::-1]]


def scgf_and_gap(w: sp.csr_array) -> tuple[float, float]:
    """``theta(s)``, the eigenvalue of largest real part, and its distance to the next one."""
    return top_and_gap(leading(w, 2))


def top_and_gap(values: np.ndarray) -> tuple[float, float]:
    gap = float((values[0] - values[1]).real) if len(values) > 1 else float("nan")
    return float(values[0].real), gap


def euler_limit(w: sp.csr_array) -> tuple[float, float]:
    """``(largest stable dt, lambda_min)`` of Euler on exact vectors: ``dt |lambda_min| < 2``.

    Complex eigenvalues (driven systems) ask for more: no mode may outgrow the leading one, ``|1 + dt lambda| <= 1 + dt
    theta`` with ``theta = max(0, leading eigenvalue)``. Of a large matrix the outermost modes are looked at.
    """
    if w.shape[0] <= DENSE:
        modes = leading(w, w.shape[0], "SR")
    else:
        modes = leading(w, 4, "SR")
        if np.abs(modes.imag).max() > 1e-9 * np.abs(modes).max():
            modes = np.concatenate([modes, leading(w, 4, "LM"), leading(w, 1, "LR")])
    return euler_limit_of(modes)


def euler_limit_of(modes: np.ndarray) -> tuple[float, float]:
    """As ``euler_limit``, from the eigenvalues that may matter."""
    lowest, theta = float(modes.real.min()), max(0.0, float(modes.real.max()))
    excess = np.abs(modes) ** 2 - theta**2
    faster = excess > 1e-9 * np.abs(modes).max() ** 2
    limits = 2.0 * (theta - modes[faster].real) / excess[faster]
    return float(np.min(limits, initial=2.0 / -lowest if lowest < 0 else np.inf)), lowest
