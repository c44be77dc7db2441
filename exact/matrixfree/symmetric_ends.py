"""The two largest eigenvalues of a symmetric operator: two Lanczos runs, the second with the first vector taken out.

One Krylov space takes nearly equal eigenvalues for one, so that the gap it shows is the next one's.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import ArpackError

from vanbench.exact.matrixfree.lanczos import SymmetricOperator, combine, lanczos

EPS = np.finfo(float).eps
RESIDUAL = 1e-11  # relative to the norm; the eigenvalue's own error is of the order of its square over the gap


class Deflated:
    """``H - weight |u><u|`` for a unit eigenvector ``u``: its eigenvalue moves down by ``weight``, the rest stays."""

    def __init__(self, op: SymmetricOperator, u: np.ndarray, weight: float):
        self.op, self.u, self.weight = op, u, weight
        self.size, self.bound = op.size, op.bound + weight

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        inner = self.op.apply(v, out, a, b)
        overlap = float(self.u @ v)
        out -= (a * self.weight * overlap) * self.u
        return inner - self.weight * overlap**2


def two_largest(op: SymmetricOperator, steps: int, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Values and errors, ``(2,)`` each, on the states of ``mask``. Raises ``ArpackError`` after ``steps`` steps."""
    theta, error, u = largest(op, steps, mask)
    second, second_error, _ = largest(Deflated(op, u, 2 * op.bound), steps, mask, vector=False)
    return np.sort([theta, second])[::-1], np.array([error, second_error])


def largest(
    op: SymmetricOperator, steps: int, mask: np.ndarray | None = None, vector: bool = True
) -> tuple[float, float, np.ndarray]:
    """The largest eigenvalue, its residual and its vector of norm one (zeros unless asked for)."""

    def start() -> np.ndarray:
        v = np.random.default_rng(0).standard_normal(op.size)
        return v if mask is None else v * mask

    goal = RESIDUAL * op.bound
    tri = lanczos(op, start(), lambda tri: tri.theta()[1] <= goal, steps)
    theta, residual = tri.theta()
    if not (residual <= goal or tri.exhausted):
        raise ArpackError(-1, {-1: f"Lanczos: residual {residual:.1e} after {steps} steps"})
    u = np.zeros(0)
    if vector:
        u = combine(op, start(), tri, tri.ritz()[1][:, -1])
        u /= np.linalg.norm(u)
    return theta, residual + 4 * EPS * op.bound, u
