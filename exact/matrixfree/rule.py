"""Nodes and weights of the quadrature rule that a tridiagonal matrix stands for (Golub and Welsch).

The weights are ``q_j^2``, the first entries squared of the eigenvectors ``z_j``. An eigenvector routine gives them to
rounding of 1, not of themselves, and ``exp(t x)`` can make a weight of 1e-14 the largest term. The orthogonal
polynomials ``p_k(x_j) = z_kj / q_j`` lead from an entry that is large to the first one: as long as they grow, every
digit of them is good.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, eigh_tridiagonal

EPS = np.finfo(float).eps
LARGE = 0.1  # of the largest entry of an eigenvector: one that is good to a few units of rounding
SMALLEST = 1e-150  # of first entries: their own error, rounding of 1, is far above


class Rule(NamedTuple):
    """``nodes`` ``(n,)`` rising, logarithms of the weights (of total weight 1), and the weights' relative errors.

    ``vectors`` ``(n, n)``: the eigenvectors of the matrix of the rule; ``firsts`` ``(n,)``: their first entries as the
    routine gave them, which belong to the others: the vectors of close nodes are turned among each other.
    """

    nodes: np.ndarray
    logs: np.ndarray
    errors: np.ndarray
    vectors: np.ndarray
    firsts: np.ndarray


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
    return Rule(nodes, logs, errors, np.vstack([firsts, vectors[1:]]), vectors[0])


def _polynomials(
    nodes: np.ndarray, diagonal: np.ndarray, off: np.ndarray, last: np.ndarray, norm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``ln |p_k|``, its sign, and its relative error, of ``k = last`` at each node.

    Where the numbers fall by a factor ``F`` the other solution of the recurrence, which rounding mixes in, grows by as
    much: ``F^2`` relative, for the largest ``F = max_{i <= j} |(p_i, p_i+1)| / |(p_j, p_j+1)|`` with ``j <= k``. The
    nodes and the matrix are good to rounding of ``norm`` alone, which moves ``p_k`` as its slope ``p_k'`` tells: much
    where the matrix nearly decouples, and ``p_k`` crosses zero nearby.
    """
    order = np.argsort(-last, kind="stable")  # those that go on stand in front
    still = len(nodes) - np.searchsorted(np.sort(last), np.arange(last.max(initial=0)), side="right")
    # rows: p_k-1 and its slope, p_k and its slope, over the size of the pair p_k-1, p_k
    before, now = np.zeros((2, len(nodes))), np.stack([np.ones(len(nodes)), np.zeros(len(nodes))])
    scale, highest, lost = np.zeros((3, len(nodes)))
    x, back = nodes[order], 0.0
    with np.errstate(all="ignore"):
        for k, m in enumerate(still):
            after = (x[:m] - diagonal[k]) * now[:, :m] - back * before[:, :m]
            after[1] += now[0, :m]
            after /= off[k]
            size = np.hypot(now[0, :m], after[0])
            before[:, :m], now[:, :m] = now[:, :m] / size, after / size
            scale[:m] += np.log(size)
            np.maximum(highest[:m], scale[:m], out=highest[:m])
            np.maximum(lost[:m], highest[:m] - scale[:m], out=lost[:m])
            back = off[k]
        logs = scale + np.log(np.abs(now[0]))
        errors = 2 * EPS * (len(nodes) * np.exp(np.minimum(2 * lost, 600.0)) + 2 * norm * np.abs(now[1] / now[0]))
        errors[~(np.isfinite(errors) & np.isfinite(logs))] = np.inf
    out = np.empty((3, len(nodes)))
    out[:, order] = logs, np.sign(now[0]), errors
    return out[0], out[1], out[2]


def _eigh(diagonal: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(diagonal) == 1:
        return diagonal.copy(), np.ones((1, 1))
    try:
        return eigh_tridiagonal(diagonal, off)
    except LinAlgError:  # the fast routine may give up on weakly coupled blocks; QL iterations do not
        return eigh_tridiagonal(diagonal, off, lapack_driver="stev")
