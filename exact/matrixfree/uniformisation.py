"""``exp(t A) v`` of a generator with non-negative rates on a non-negative vector, as a Poisson average of jumps.

``exp(t A) = sum_k e^-m m^k / k! P^k`` with ``P = 1 + A / r >= 0``, ``m = r t``, ``r`` the largest escape rate (Jensen,
Skand. Aktuarietidskr. 36, 87 (1953)). No term is negative, so that every entry keeps its digits, also one that weighs
less than the rounding of the whole now and leads later; three vectors are held, and none is made orthogonal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.matrixfree.gauge import in_gauge, product_gauge
from vanbench.exact.matrixfree.kernel import Layout, Operator
from vanbench.exact.matrixfree.local import Local, diagonal_of, tilted
from vanbench.exact.matrixfree.stacked import Stacked
from vanbench.exact.sparse.cumulants import recentred
from vanbench.exact.sparse.propagate import MAX_LOG_CHANGE, Evolved, spans

MOST = 1000.0  # products in all; beyond, Krylov steps grow as the fast modes die out
PIECE = 500.0  # jumps whose smallest weight, exp(-500), a double holds
HUGE = 1e100  # of a term, whose weight is as small
LAGGING = 500.0  # of a logarithm: what is smaller a double does not hold
OFTEN = 2.0  # so much more often than overflow asks for: derivatives grow like t^2 until they are recentred
SPAN = 100.0  # products between two rescalings, at least
TOLERANCE = 1e-13  # relative, in the sum of the entries


def escape_rate(system: System, s: float, observable: str, layout: Layout) -> float:
    """The largest escape rate; 0 where an entry or a rate is negative, and nothing can be summed here."""
    parts = tilted(system, s, observable)
    positive = all((p.matrix - np.diag(np.diag(p.matrix)) >= 0).all() for p in parts)
    if not positive or (layout.initial() < 0).any():
        return 0.0
    return max(0.0, -float(Operator(layout, parts).diagonal().min()))


@dataclass(frozen=True)
class _Units:
    """Units of the entries, their spread (of the logarithm), and the sums of columns of the generator in them.

    ``gain``: of a column of the generator and its derivatives, the elements off the diagonal taken absolutely;
    ``fastest``: the rate of change between two rescalings.
    """

    entries: np.ndarray | None  # ``(size,)``; none where all are one
    spread: float
    least: float
    most: float
    gain: float
    fastest: float

    @classmethod
    def of(cls, layout: Layout, parts: Sequence[Sequence[Local]], fields: np.ndarray | None = None) -> _Units:
        least, most = _column_sums(layout, parts[0])
        order = len(parts) - 1
        gain = most + sum((order - k + 1) * _size(each) for k, each in enumerate(parts[1:], 1))
        fastest = OFTEN * max(column_bound(each) for each in parts[:2]) if order else max(abs(least), abs(most))
        if fields is None:
            return cls(None, 0.0, least, most, gain, fastest)
        entries = layout.product(np.exp(fields))
        entries[layout.excluded] = 1.0
        return cls(np.tile(entries, order + 1), float(np.ptp(fields, axis=1).sum()), least, most, gain, fastest)

    def size(self, v: np.ndarray) -> float:
        """At least the sum of the absolute entries, also of all that a generator without gain makes of ``v``."""
        if self.entries is None:
            return float(np.linalg.norm(v, 1))
        return float(np.linalg.norm(v / self.entries, 1) * self.entries.max())


class Uniformisation:
    """Of the tilted generator and its derivatives in ``s`` up to ``order``, where there is an ``escape_rate``.

    ``products``: with the generator, in a unit of time. ``uneven``: by how much the logarithms of what two entries
    weigh in the end may differ where the entries are equal now. A large field makes them differ, and the product
    measure that balances the generator then gives the sharper bounds.
    """

    def __init__(self, system: System, s: float, observable: str, order: int, layout: Layout, escape: float):
        self.order, self.layout, self.escape = order, layout, escape
        self.parts = [tilted(system, s, observable, k) for k in range(order + 1)]
        plain = _Units.of(layout, self.parts)
        fields = product_gauge(self.parts[0], system.n_sites, system.local_dim)
        balanced = _Units.of(layout, [in_gauge(parts, fields)[0] for parts in self.parts], fields)
        self.units = balanced if 2 * (escape + balanced.gain) < escape + plain.gain else plain
        self.products = escape + max(0.0, self.units.gain) + SPAN * self.units.fastest / MAX_LOG_CHANGE
        self.spread, self.apart = balanced.spread, plain.most - plain.least

    def uneven(self, t: float) -> float:
        return min(self.spread, self.apart * t)

    def evolve(self, times: np.ndarray) -> Iterator[Evolved]:
        """As ``krylov.evolve`` in continuous time."""
        operators = [Operator(self.layout, parts) for parts in self.parts]
        op = Stacked(operators) if self.order else operators[0]
        state = np.zeros((self.order + 1, self.layout.size))
        state[0] = self.layout.initial()
        units, latest = self.units, float(np.max(times, initial=0.0))
        now, logs = 0.0, np.zeros(self.order + 1)
        for t in times:
            for span in spans(t - now, units.fastest, None):
                now += span
                lag = (units.most - units.least) * max(latest - now, 0.0) + units.spread
                tolerance = TOLERANCE * float(np.exp(-min(lag, LAGGING)))  # what is dropped may grow beside the rest
                flat = uniformised(op, state.ravel(), span, self.escape, units, tolerance)
                state, logs = recentred(flat.reshape(state.shape), logs)
            now = float(t)
            yield Evolved(now, logs.copy(), state.copy())


def uniformised(
    op: Operator | Stacked, v: np.ndarray, t: float, rate: float, units: _Units, tolerance: float
) -> np.ndarray:
    """``exp(t A) v`` to ``tolerance``, relative, in the sum of the absolute entries.

    ``rate``: minus the smallest diagonal element.
    """
    pieces = max(1, int(np.ceil(rate * t / PIECE)))
    mean, gain = rate * t / pieces, 1.0 + max(units.gain, 0.0) / rate
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
            size = float(np.linalg.norm(term, 1))
            if size > HUGE:
                term /= size
                weight, size = weight * size, 1.0
            total += weight * term
            ratio = gain * mean / (k + 1)  # of one term to the one before, at most, from here on
            left = weight * units.size(term) * ratio / (1 - ratio) if ratio < 1 else np.inf
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
