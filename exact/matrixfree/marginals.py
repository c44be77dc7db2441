"""Site averages of weighted vectors, in one pass."""

from __future__ import annotations

import numpy as np
from numba import prange

from vanbench.exact.matrixfree.kernel import Layout
from vanbench.exact.threads import both, pick

CHUNKS = 64
WIDTH = 1 << 11  # of the inner sum: it and its accumulator stay in the first-level cache


def site_sums(layout: Layout, v: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, float]:
    """``(sum_x f(x) v(x) x_i for each site i, sum_x f(x) v(x))`` with ``f(x) = prod_j factors[j, x_j]``, free sites.

    ``factors``: ``(n_sites, d)``.
    """
    space, d = layout.space, layout.system.local_dim
    out = np.zeros(layout.system.n_sites)
    if layout.codes is not None:
        weighted = v * layout.product(factors)
        for block, x in space.chunks():
            out += weighted[block] @ x
        return out, float(weighted.sum())
    n = len(space.free)
    inner = 0
    while inner < n and d ** (inner + 1) <= WIDTH:
        inner += 1
    high, low = space.free[: n - inner], space.free[n - inner :]
    rows, columns = np.empty(d ** len(high)), np.zeros((CHUNKS, d**inner))
    pick(_fold, v.size)(v, _outer(factors, high), _outer(factors, low), rows, columns)
    for sites, marginal in ((high, rows), (low, columns.sum(0))):
        for site in sites:  # the first site is the most significant: peel it off and sum over it
            marginal = marginal.reshape(d, -1)
            out[site] = np.arange(d) @ marginal.sum(1)
            marginal = marginal.sum(0)
    total = float(rows.sum())
    for site, value in layout.system.pinned.items():
        out[site] = value * total
    return out, total


def _outer(factors: np.ndarray, sites: np.ndarray) -> np.ndarray:
    out = np.ones(1)
    for site in sites:
        out = np.multiply.outer(out, factors[site]).ravel()
    return out


@both
def _fold(v, high, low, rows, columns):  # type: ignore[no-untyped-def]
    width = low.size
    for chunk in prange(columns.shape[0]):
        sums = columns[chunk]
        for h in range(high.size * chunk // columns.shape[0], high.size * (chunk + 1) // columns.shape[0]):
            part = v[h * width : (h + 1) * width]
            total = 0.0
            for l in range(width):
                m = high[h] * low[l] * part[l]
                sums[l] += m
                total += m
            rows[h] = total
