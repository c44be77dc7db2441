"""An upper bound on the largest eigenvalue of a generator with non-negative rates.

Collatz and Wielandt: for any positive ``u``, ``theta <= max_x (H u)(x) / u(x)``. A Ritz vector is good in norm but
poor where it is small, so its components are first repaired by ``u(x) <- sum_y H[x, y] u(y) / (theta - H[x, x])``, the
sum over ``y != x``: it keeps ``u`` positive and has the leading eigenvector as its fixed point.
"""

from __future__ import annotations

import numpy as np

from vanbench.exact.matrixfree.kernel import Operator
from vanbench.exact.matrixfree.vectors import largest_ratio, lift, relax

EPS = np.finfo(float).eps
SMALL = 1e-6  # of the largest entry: Ritz vectors are good to some 1e-13 of it


def upper_bound(op: Operator, u: np.ndarray, theta: float, target: float, sweeps: int = 60) -> tuple[float, np.ndarray]:
    """``(bound, u)``: a bound at or above the largest eigenvalue of ``op`` and the positive vector that proves it.

    ``u`` (overwritten) approximates the leading eigenvector, zero on the excluded states alone; ``theta`` approximates
    the eigenvalue. Sweeps end once ``bound - theta <= target``.
    """
    if u.sum() < 0:
        np.negative(u, out=u)
    diagonal = op.diagonal()
    lift(u, 1e-18 * float(u.max()))
    u[op.layout.excluded], diagonal[op.layout.excluded] = 0.0, -np.inf
    centre = max(theta, float(diagonal.max()) + 1e-12)
    flow = np.empty_like(u)
    best = np.inf
    for sweep in range(sweeps):
        op.apply(u, flow)
        best = min(best, largest_ratio(flow, u) + 4 * EPS * op.bound)
        if best - theta <= target or sweep == sweeps - 1:
            break
        relax(u, flow, diagonal, centre)
    return best, u


def repaired(op: Operator, u: np.ndarray, theta: float, sweeps: int = 1000) -> np.ndarray:
    """``u``, near a positive eigenvector in norm, with the entries below 1e-6 of the largest one from those above.

    The same sweeps, on the small entries alone: the large ones, good to rounding already, feed them.
    """
    u = u * np.sign(u.sum())
    small = np.abs(u) <= SMALL * u.max()
    small[op.layout.excluded] = False
    diagonal = op.diagonal()[small]
    u[small] = 0.0
    below = theta - diagonal > 4 * EPS * op.bound
    flow = np.empty_like(u)
    for _ in range(sweeps if small.any() else 0):
        op.apply(u, flow)
        before, fed = u[small], flow[small] - diagonal * u[small]
        now = np.divide(fed, theta - diagonal, out=np.zeros_like(fed), where=below)
        u[small] = now
        if (np.abs(now - before) <= 1e-13 * now).all():
            break
    return u
