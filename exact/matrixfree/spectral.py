"""What the symmetrised generator's spectrum says beyond its largest eigenvalue: the gap, the lowest end, averages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.matrixfree.kernel import Layout, Operator
from vanbench.exact.matrixfree.lanczos import lanczos
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.matrixfree.quadrature import Tridiagonal
from vanbench.exact.matrixfree.symmetric import Symmetric
from vanbench.exact.matrixfree.symmetric_ends import Deflated
from vanbench.exact.matrixfree.symmetrise import symmetric

ACCURACY = 1e-9


def gap_below(
    engine: Symmetric,
    leading: np.ndarray,
    theta: float,
    start: np.ndarray | None = None,
    accuracy: float = ACCURACY,
) -> tuple[float, float]:
    """``theta`` minus the next eigenvalue of ``H_s``, and the residual of the latter.

    ``start`` (overwritten) confines the search to the symmetry classes it belongs to; ``accuracy`` is the residual at
    which it ends (the eigenvalue's own error is of the order of its square).
    """
    u = leading / np.linalg.norm(leading)
    op = Deflated(engine.op, u, 2 * engine.op.bound)
    start = _random(engine.layout) if start is None else start
    start -= (u @ start) * u
    tri = lanczos(op, start, lambda tri: tri.theta()[1] <= accuracy, max_steps=2000)
    second, residual = tri.theta()
    return theta - second, residual


def lowest(engine: Symmetric) -> float:
    """The smallest eigenvalue of ``H_s`` (to 1e-6, from above)."""

    def stop(tri: Tridiagonal) -> bool:
        values, vectors = tri.ritz()
        residual = tri.off[-1] * abs(vectors[-1, 0])
        return bool(residual**2 <= 1e-6 * abs(values[0]) * (values[1] - values[0] if len(values) > 1 else 1.0))

    tri = lanczos(engine.op, _random(engine.layout), stop, max_steps=400)
    return float(tri.ritz()[0][0])


def energy(engine: Symmetric, u: np.ndarray, parts: Sequence[Local]) -> float:
    """``<u| A |u> / <u|u>`` for ``A = sum parts``, symmetrised as ``H_s`` is."""
    op = Operator(engine.layout, symmetric(parts, engine.pi, engine.system.local_dim) or [])
    return op.apply(u, np.empty_like(u)) / float(u @ u)


def _random(layout: Layout) -> np.ndarray:
    """A fixed random vector: it meets every eigenvector, whatever its symmetry."""
    start = np.random.default_rng(0).standard_normal(layout.size)
    start[layout.excluded] = 0.0
    return start
