"""Nodes and weights of the quadrature rule that a tridiagonal matrix stands for (Golub and Welsch).

The weights are ``q_j^2``, the first entries squared of the eigenvectors ``z_j``. An eigenvector routine gives them to
rounding of 1, not of themselves, and ``exp(t x)`` can make a weight of 1e-14 the largest term. The orthogonal
polynomials ``p_k(x_j) = z_kj / q_j`` lead from an entry that is large to the first one: as long as they grow, every
digit of them is good.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.linalg import LinAlgError, eigh_tridiagonal

EPS = np.finfo(float).eps
LARGE = 0.1  # of the largest entry of an eigenvector: one that is good to a few units of rounding
SMALLEST = 1e-150  # of first entries: their own error, rounding of 1, is far above


class Rule(NamedTuple):
    """``nodes`` ``(n,)`` rising, logarithms of the weights (of total weight 1), and the weights' relative errors.

    ``vectors`` ``(n, n)``: the eigenvectors of the matrix of the rule.
    """

    nodes: np.ndarray
    logs: np.ndarray
    errors: np.ndarray
    vectors: np.ndarray


def rule(diagonal: np.ndarray, off: np.ndarray, norm: float) -> Rule:
    """Of the matrix of ``diagonal`` ``(n,)`` and ``off`` ``(n - 1,)``, whose entries are good to rounding of ``norm``.

    The first entries are the routine's, or those by the polynomials where their error is the smaller. Weights add up
    to 1, those of the routine to rounding: polynomials that break this are not believed.
    """
    nodes, vectors = _eigh(diagonal, off)
    size = np.abs(vectors)
    first = np.maximum(size[0], SMALLEST)
    logs, errors, firsts = 2 * np.log(first), 4 * EPS / first * (1 + EPS / first), vectors[0]
    large = np.argmax(size >= LARGE * size.max(0), axis=0)
    grown, signs, lost = _polynomials(nodes, diagonal, off, large, norm)
    entries = vectors[large, np.arange(len(nodes))]
    recurred, relative = np.log(np.abs(entries)) - grown, 2 * EPS / np.abs(entries) + lost
    better = (large > 0) & (np.log(relative) + recurred < np.log(2 * EPS))
    chosen = np.where(better, 2 * recurred, logs), np.where(better, 2 * relative, errors)
    if abs(np.exp(chosen[0]).sum() - 1) <= np.exp(chosen[0]) @ chosen[1] + 8 * EPS * len(nodes):
        (logs, errors), firsts = chosen, np.where(better, np.sign(entries) * signs * np.exp(recurred), firsts)
    return Rule(nodes, logs, errors, np.vstack([firsts, vectors[1:]]))


@njit(cache=True, error_model="numpy")
def _polynomials(nodes, diagonal, off, last, norm):  # type: ignore[no-untyped-def]
    """``ln |p_k|``, its sign, and its relative error, of ``k = last`` at each node.

    Where the numbers fall by a factor ``F`` the other solution of the recurrence, which rounding mixes in, grows by as
    much: ``F^2`` relative, for the largest ``F = max_{i <= j} |(p_i, p_i+1)| / |(p_j, p_j+1)|`` with ``j <= k``. The
    nodes and the matrix are good to rounding of ``norm`` alone, which moves ``p_k`` as its slope ``p_k'`` tells: much
    where the matrix nearly decouples, and ``p_k`` crosses zero nearby.
    """
    logs, signs, errors = np.zeros(nodes.size), np.ones(nodes.size), np.zeros(nodes.size)
    for j in range(nodes.size):
        before, now, slope_before, slope = 0.0, 1.0, 0.0, 0.0
        scale, highest, lost = 0.0, 0.0, 0.0
        for k in range(last[j]):
            back = off[k - 1] if k > 0 else 0.0
            x = nodes[j] - diagonal[k]
            slope_before, slope = slope, (x * slope + now - back * slope_before) / off[k]
            before, now = now, (x * now - back * before) / off[k]
            size = np.hypot(before, now)
            before, now, slope_before, slope = before / size, now / size, slope_before / size, slope / size
            scale += np.log(size)
            highest = max(highest, scale)
            lost = max(lost, highest - scale)
        logs[j], signs[j] = scale + np.log(abs(now)), np.sign(now)
        error = 2 * EPS * (nodes.size * np.exp(min(2 * lost, 600.0)) + 2 * norm * abs(slope / now))
        errors[j] = error if np.isfinite(error) and np.isfinite(logs[j]) else np.inf
    return logs, signs, errors


def _eigh(diagonal: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(diagonal) == 1:
        return diagonal.copy(), np.ones((1, 1))
    try:
        return eigh_tridiagonal(diagonal, off)
    except LinAlgError:  # the fast routine may give up on weakly coupled blocks; QL iterations do not
        return eigh_tridiagonal(diagonal, off, lapack_driver="stev")
