"""Site averages of weighted vectors."""

from __future__ import annotations

import numpy as np

from vanbench.exact.matrixfree.kernel import Layout


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
    high, low = space.free[: n // 2], space.free[n // 2 :]
    above, below = _outer(factors, high), _outer(factors, low)
    table = v.reshape(len(above), len(below))
    rows, columns = above * (table @ below), (above @ table) * below
    for sites, marginal in ((high, rows), (low, columns)):
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
