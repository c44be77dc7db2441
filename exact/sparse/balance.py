"""Diagonal similarity transforms that make a matrix symmetric, or as near to normal as scaling can.

``B = D^-1 A D`` has the eigenvalues of ``A``. A counting field on one bond, or rates over decades, put into ``A``
factors that only a change of units carries: Krylov methods and norms of residuals mislead there, in ``B`` they do not.
Osborne, J. ACM 7, 338 (1960); Parlett and Reinsch, Numer. Math. 13, 293 (1969).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order

SYMMETRIC = 1e-12  # relative asymmetry of a pair of elements: rounding of the products along a path
SWEEPS = 400


def balanced(w: sp.csr_array) -> tuple[sp.csr_array, np.ndarray, bool]:
    """``(B, log d, symmetric)``: ``B = W[i, j] d[j] / d[i]`` of a strongly connected ``w``, CSR.

    Symmetric where detailed balance holds for some positive measure, whatever the counting field did to the rates.
    """
    w = sp.csr_array(w)
    w.sum_duplicates()
    w.eliminate_zeros()
    logs = _symmetric_gauge(w)
    if logs is not None:  # the elements are their geometric means, without the rounding of a long path
        w.sort_indices()
        turned = sp.csr_array(w.T)
        turned.sort_indices()
        data = np.sign(w.data) * np.sqrt(np.abs(w.data)) * np.sqrt(np.abs(turned.data))
        return sp.csr_array((data, w.indices, w.indptr), shape=w.shape), logs, True
    from vanbench.exact.sparse.osborne import osborne  # loads the compiler, which symmetric matrices do not need

    outer = abs(w - sp.diags_array(w.diagonal())).tocsr()
    columns = sp.csc_array(outer)
    logs = np.zeros(w.shape[0])
    osborne(outer.indptr, outer.indices, outer.data, columns.indptr, columns.indices, columns.data, logs, SWEEPS)
    powers = np.rint((logs - logs.mean()) / np.log(2)).astype(int)  # of two: scaling rounds nothing
    rows = np.repeat(np.arange(w.shape[0]), np.diff(w.indptr))
    data = np.ldexp(w.data, powers[w.indices] - powers[rows])
    return sp.csr_array((data, w.indices, w.indptr), shape=w.shape), powers * np.log(2), False


def _symmetric_gauge(w: sp.csr_array) -> np.ndarray | None:
    """``log d`` that makes ``w`` symmetric, from the ratios along a spanning tree; None where a cycle forbids it."""
    forward, backward = w.copy(), sp.csr_array(w.T)
    forward.sort_indices()
    backward.sort_indices()
    if not (np.array_equal(forward.indptr, backward.indptr) and np.array_equal(forward.indices, backward.indices)):
        return None
    if not (forward.data * backward.data > 0).all():
        return None
    half = 0.5 * np.log(forward.data / backward.data)  # log d[i] - log d[j] of the element (i, j)
    order, before = breadth_first_order(w, 0, directed=False)
    child, parent = order[1:], before[order[1:]]
    climb = 0.5 * np.log(np.asarray(forward[child, parent] / forward[parent, child]).ravel())
    logs = np.zeros(w.shape[0])
    for node, above, step in zip(child.tolist(), parent.tolist(), climb.tolist()):
        logs[node] = logs[above] + step
    rows = np.repeat(np.arange(w.shape[0]), np.diff(forward.indptr))
    off = np.abs(half - logs[rows] + logs[forward.indices])
    return logs - logs.mean() if off.max(initial=0.0) <= SYMMETRIC * max(1.0, np.ptp(logs)) else None
