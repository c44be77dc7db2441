"""What the symmetrised generator's spectrum says beyond its largest eigenvalue: the gap, the lowest end, averages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.kernel import Layout, Operator
from vanbench.exact.matrixfree.lanczos import lanczos
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.matrixfree.quadrature import EPS, Tridiagonal
from vanbench.exact.matrixfree.symmetric import Symmetric
from vanbench.exact.matrixfree.symmetric_ends import Deflated
from vanbench.exact.matrixfree.symmetrise import symmetric

ACCURACY = 1e-9
NEAR, CLOSE = 1e-6, 1e-12  # of a gap that is small, and the residual at which the search for it ends
MIXED = 0.1  # of other eigenvectors in the leading one, at which it is not known


def gap_below(
    engine: Symmetric,
    leading: np.ndarray,
    theta: float,
    start: np.ndarray | None = None,
    accuracy: float = ACCURACY,
) -> tuple[float, float]:
    """``theta`` minus the next eigenvalue of ``H_s``, and the residual of the latter.

    ``start`` (overwritten) confines the search to the symmetry classes it belongs to; ``accuracy`` is the residual at
    which it ends (the eigenvalue's own error is of the order of its square), as far as it is not near ``theta``.
    """
    u = leading / np.linalg.norm(leading)
    op = Deflated(engine.op, u, 2 * engine.op.bound)
    start = _random(engine.layout) if start is None else start
    start -= (u @ start) * u
    close = max(CLOSE, 64 * EPS * engine.op.bound)

    def found(tri: Tridiagonal) -> bool:
        second, residual = tri.theta()
        return residual <= (accuracy if theta - second > NEAR else min(accuracy, close))

    second, residual = lanczos(op, start, found, max_steps=2000).theta()
    return theta - second, residual


def mixed(gap: float, gap_error: float, perturbation: float, condition: float = 1.0) -> float:
    """By how much, in norm, rounding mixes the leading eigenvector with others: to first order ``condition *
    perturbation / gap`` (Wilkinson, The Algebraic Eigenvalue Problem, ch. 2).

    Raises ``InputError`` where that is no small number: the eigenvectors are not known then.
    """
    if np.isnan(gap):  # a single state
        return 0.0
    angle = condition * perturbation / (gap - gap_error) if gap > gap_error else np.inf
    if not angle < MIXED:
        raise InputError(
            f"the largest eigenvalue of W_s is degenerate, or nearly so (absorbing or disconnected states, or a gap of "
            f"{max(gap, 0.0):.1e}): its eigenvectors, and what is averaged over them, are not known."
        )
    return angle


def lowest(engine: Symmetric) -> float:
    """The smallest eigenvalue of ``H_s`` (to 1e-6, from above)."""

    def stop(tri: Tridiagonal) -> bool:
        values, vectors = tri.ritz()
        residual = tri.off[-1] * abs(vectors[-1, 0])
        return bool(residual**2 <= 1e-6 * abs(values[0]) * (values[1] - values[0] if len(values) > 1 else 1.0))

    tri = lanczos(engine.op, _random(engine.layout), stop, max_steps=400)
    return float(tri.ritz()[0][0])


def energy(engine: Symmetric, u: np.ndarray, parts: Sequence[Local]) -> tuple[float, float]:
    """``a = <u| A |u> / <u|u>`` for ``A = sum parts``, symmetrised as ``H_s`` is, and ``|(A - a) u| / |u|``."""
    op = Operator(engine.layout, symmetric(parts, engine.pi, engine.system.local_dim) or [])
    image, norm = np.empty_like(u), float(u @ u)
    value = op.apply(u, image) / norm
    return value, float(np.sqrt(max(0.0, image @ image / norm - value**2)))


def _random(layout: Layout) -> np.ndarray:
    """A fixed random vector: it meets every eigenvector, whatever its symmetry."""
    start = np.random.default_rng(0).standard_normal(layout.size)
    start[layout.excluded] = 0.0
    return start
