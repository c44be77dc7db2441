"""Distances between whole distributions, where they fit."""

from __future__ import annotations

import numpy as np

from vanbench.exact import InputError

NORMALISED = 1e-6  # of a network in float32 summed over 2^16 configurations, with a margin of ten


def distances(p: np.ndarray, q: np.ndarray) -> dict[str, float]:
    """Between ``p`` (exact) and ``q`` (network), each ``(n_states,)`` of total one.

    ``kl_exact_network = sum p ln(p/q)`` and the other way round (nats; infinite where one has weight and the other
    none), ``total_variation = sum |p - q| / 2``, ``hellinger = sqrt(sum (sqrt p - sqrt q)^2 / 2)``. Raises
    ``InputError`` for lengths that differ or a distribution that is not normalised.
    """
    if p.shape != q.shape:
        raise InputError(f"distributions over {len(p)} and {len(q)} states cannot be compared.")
    for name, total in (("exact", p.sum()), ("network's", q.sum())):
        if not abs(total - 1) < NORMALISED:
            raise InputError(f"the {name} distribution adds up to {total:.9g}, not 1: it is not normalised.")
    p, q = np.maximum(p, 0.0), np.maximum(q, 0.0)  # rounding leaves -1e-20 in an evolved vector
    return {
        "kl_exact_network": _kl(p, q),
        "kl_network_exact": _kl(q, p),
        "total_variation": float(np.abs(p - q).sum() / 2),
        "hellinger": float(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2)),
    }


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    used = p > 0
    if (q[used] == 0).any():
        return float("inf")
    # sum p ln(p/q) - p + q: the same for normalised p and q, with every summand non-negative, so that rounding in the
    # totals cannot make a small divergence negative.
    terms = p[used] * (np.log(p[used]) - np.log(q[used])) - p[used] + q[used]
    return float(np.maximum(terms, 0.0).sum() + q[~used].sum())
