"""``exp(t A) v`` of a generator with non-negative rates on a non-negative vector, as a Poisson average of jumps.

``exp(t A) = sum_k e^-m m^k / k! P^k`` with ``P = 1 + A / r >= 0``, ``m = r t``, ``r`` the largest escape rate (Jensen,
Skand. Aktuarietidskr. 36, 87 (1953)). No term is negative, so that every entry keeps its digits, also one that weighs
less than the rounding of the whole now and leads later; three vectors are held, and none is made orthogonal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.matrixfree.kernel import Layout, Operator
from vanbench.exact.matrixfree.local import Local, diagonal_of, tilted
from vanbench.exact.matrixfree.stacked import Stacked
from vanbench.exact.sparse.cumulants import recentred
from vanbench.exact.sparse.propagate import Evolved, spans

MOST = 1000.0  # jumps in all; beyond, Krylov steps grow as the fast modes die out
PIECE = 500.0  # jumps whose smallest weight, exp(-500), a double holds
HUGE = 1e100  # of a term, whose weight is as small
LAGGING = 500.0  # of a logarithm: what is smaller a double does not hold
# Rescaled so much more often than overflow asks for: derivatives grow like t^2 until they are recentred, and errors of
# Krylov steps are relative to the largest entry.
OFTEN = 20.0
TOLERANCE = 1e-13  # relative, in the sum of the entries


def escape_rate(system: System, s: float, observable: str, layout: Layout) -> float:
    """The largest escape rate; 0 where an entry or a rate is negative, and nothing can be summed here."""
    parts = tilted(system, s, observable)
    positive = all((p.matrix - np.diag(np.diag(p.matrix)) >= 0).all() for p in parts)
    if not positive or (layout.initial() < 0).any():
        return 0.0
    return max(0.0, -float(Operator(layout, parts).diagonal().min()))


def evolve(
    system: System, s: float, times: np.ndarray, observable: str, order: int, layout: Layout
) -> Iterator[Evolved]:
    """As ``krylov.evolve`` in continuous time, where there is an ``escape_rate``."""
    local = [tilted(system, s, observable, k) for k in range(order + 1)]
    escape = escape_rate(system, s, observable, layout)
    operators = [Operator(layout, parts) for parts in local]
    op = Stacked(operators) if order else operators[0]
    least, most = _column_sums(layout, local[0])
    gain = most + sum((order - k + 1) * _size(parts) for k, parts in enumerate(local[1:], 1))
    fastest = OFTEN * max(column_bound(parts) for parts in local[:2]) if order else max(abs(least), abs(most))
    state = np.zeros((order + 1, layout.size))
    state[0] = layout.initial()
    now, logs, latest = 0.0, np.zeros(order + 1), float(np.max(times, initial=0.0))
    for t in times:
        for span in spans(t - now, fastest, None):
            now += span
            lag = min((most - least) * max(latest - now, 0.0), LAGGING)  # what is dropped may grow beside the rest
            flat = uniformised(op, state.ravel(), span, escape, gain, TOLERANCE * float(np.exp(-lag)))
            state, logs = recentred(flat.reshape(state.shape), logs)
        now = float(t)
        yield Evolved(now, logs.copy(), state.copy())


def uniformised(
    op: Operator | Stacked, v: np.ndarray, t: float, rate: float, growth: float, tolerance: float
) -> np.ndarray:
    """``exp(t A) v`` to ``tolerance``, relative, in the sum of the absolute entries.

    ``rate``: minus the smallest diagonal element; ``growth``: the largest sum of a column, at least, its elements off
    the diagonal taken absolutely.
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
            size = np.linalg.norm(term, 1)
            if size > HUGE:
                term /= size
                weight, size = weight * size, 1.0
            total += weight * term
            ratio = gain * mean / (k + 1)  # of one term to the one before, at most, from here on
            left = weight * size * ratio / (1 - ratio) if ratio < 1 else np.inf
            if left <= tolerance * np.linalg.norm(total, 1):
                break
        v = total
    return v


def _column_sums(layout: Layout, parts: Sequence[Local]) -> tuple[float, float]:
    """The smallest and the largest sum of a column."""
    sums = [Local(p.sites, np.diag(p.matrix.sum(0))) for p in parts]
    free = layout.space.free.tolist()
    each = diagonal_of(sums, dict(zip(free, range(len(free)))), layout.system.local_dim)
    return float(each.min()), float(each.max())


def column_bound(parts: Sequence[Local]) -> float:
    """A bound on the absolute value of the sum of a column."""
    return sum(float(np.abs(p.matrix.sum(0)).max()) for p in parts)


def _size(parts: Sequence[Local]) -> float:
    """A bound on the sum of the absolute elements of a column."""
    return sum(float(np.abs(p.matrix).sum(0).max()) for p in parts)
