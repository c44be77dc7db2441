"""The leading eigenvalues of ``W_s``: the scaled cumulant generating function, the gap, the Euler stability limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from vanbench.exact.sparse.eigen import DENSE, EPS, Values, ordered, outermost


class Top(NamedTuple):
    """``theta(s)``, the eigenvalue of largest real part, its distance ``gap`` to the next one, and estimated errors.

    ``shared``: classes of states that no moves connect have the same largest eigenvalue, and ``gap`` is zero.
    """

    theta: float
    gap: float
    theta_error: float
    gap_error: float
    shared: bool = False


def leading(w: sp.csr_array, count: int = 2, which: str = "LR") -> np.ndarray:
    """The ``count`` eigenvalues of largest (``LR``) or smallest (``SR``) real part, or modulus (``LM``), in that order,
    complex. Raises ``InputError`` where no eigenvalue solver converges.

    Where moves do not connect all states (absorbing states, conserved quantities) each communicating class is solved
    for itself: the matrix is block triangular in them, and one Krylov space cannot tell equal eigenvalues apart.
    """
    return classwise(w, count, which).values


def scgf_and_gap(w: sp.csr_array) -> Top:
    """``theta(s)`` and the gap of the stored matrix."""
    return top(classwise(w, 2))


class Classwise(NamedTuple):
    """Eigenvalues, outermost first, the estimated error of each, and the number of the class it belongs to."""

    values: np.ndarray
    errors: np.ndarray
    classes: np.ndarray


def classwise(w: sp.csr_array, count: int = 2, which: str = "LR") -> Classwise:
    """As ``leading``, with the errors and the classes."""
    n_classes, labels = connected_components(w, directed=True, connection="strong")
    sizes = np.bincount(labels)
    groups = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    alone = w.diagonal()[np.concatenate([g for g in groups if len(g) == 1] or [np.zeros(0, int)])]
    blocks = [w] if n_classes == 1 < w.shape[0] else (w[inside][:, inside] for inside in groups if len(inside) > 1)
    return merged(alone, blocks, count, which)


def merged(alone: np.ndarray, blocks: Iterable[sp.csr_array], count: int, which: str) -> Classwise:
    """The outermost eigenvalues of states ``alone`` and of ``blocks``, each strongly connected; equal blocks are solved
    once."""
    solved: dict[bytes, Values] = {}
    values_of = [Classwise(alone.astype(complex), 4 * EPS * np.abs(alone), np.arange(len(alone)))]
    for number, block in enumerate(blocks, len(alone)):
        block.sort_indices()
        key = block.data.tobytes() + block.indices.tobytes()
        if key not in solved:
            solved[key] = outermost(block, min(count, block.shape[0]), which)
        values_of.append(Classwise(*solved[key], np.full(len(solved[key].values), number)))
    return outermost_first(values_of, count, which)


def outermost_first(values_of: Sequence[Classwise], count: int, which: str) -> Classwise:
    values, errors, classes = (np.concatenate(part) for part in zip(*values_of))
    first = ordered(values, which)[:count]
    return Classwise(values[first], errors[first], classes[first])


def top(values_of: Classwise) -> Top:
    """From the two leading eigenvalues."""
    theta, gap = top_and_gap(values_of.values)
    theta_error, gap_error = float(values_of.errors[0]), float(values_of.errors[:2].sum())
    shared = len(values_of.values) > 1 and bool(gap <= 2 * gap_error) and values_of.classes[0] != values_of.classes[1]
    return Top(theta, 0.0 if shared else gap, theta_error, gap_error, shared)


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
        modes = leading(w, 2, "SR")
        if np.abs(modes.imag).max() > 1e-9 * np.abs(modes).max():
            modes = np.concatenate([leading(w, 4, "SR"), leading(w, 4, "LM"), leading(w, 1, "LR")])
    return euler_limit_of(modes)


def euler_limit_of(modes: np.ndarray) -> tuple[float, float]:
    """As ``euler_limit``, from the eigenvalues that may matter."""
    lowest, theta = float(modes.real.min()), max(0.0, float(modes.real.max()))
    excess = np.abs(modes) ** 2 - theta**2
    faster = excess > 1e-9 * np.abs(modes).max() ** 2
    limits = 2.0 * (theta - modes[faster].real) / excess[faster]
    return float(np.min(limits, initial=2.0 / -lowest if lowest < 0 else np.inf)), lowest
