"""``exp(t A) v`` of a generator with non-negative rates on a non-negative vector, as a Poisson average of jumps.

``exp(t A) = sum_k e^-m m^k / k! P^k`` with ``P = 1 + A / r >= 0``, ``m = r t``, ``r`` the largest escape rate (Jensen,
Skand. Aktuarietidskr. 36, 87 (1953)). No term is negative, so that every entry keeps its digits; three vectors are
held, and none is made orthogonal.
"""

from __future__ import annotations

import numpy as np

from vanbench.exact.matrixfree.kernel import Operator

MOST = 1000.0  # jumps in all; beyond, Krylov steps grow as the fast modes die out
PIECE = 500.0  # jumps whose smallest weight, exp(-500), a double holds


def uniformised(op: Operator, v: np.ndarray, t: float, rate: float, growth: float, tolerance: float) -> np.ndarray:
    """``exp(t A) v`` to ``tolerance``, relative, in the sum of the entries.

    ``rate``: minus the smallest diagonal element; ``growth``: the largest sum of a column, at least.
    """
    pieces = max(1, int(np.ceil(rate * t / PIECE)))
    mean, gain = rate * t / pieces, 1.0 + max(growth, 0.0) / rate
    for _ in range(pieces):
        term, after = v, np.empty_like(v)
        weight, k = float(np.exp(-mean)), 0
        total = weight * term
        while True:
            k += 1
            after[:] = term
            op.apply(term, after, 1.0 / rate, 1.0)
            term, after = after, np.empty_like(v) if term is v else term
            weight *= mean / k
            total += weight * term
            ratio = gain * mean / (k + 1)  # of one term to the one before, at most, from here on
            if ratio < 1 and weight * term.sum() * ratio / (1 - ratio) <= tolerance * total.sum():
                break
        v = total
    return v
