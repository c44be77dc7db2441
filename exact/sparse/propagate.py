"""Evolution of a distribution and of its derivatives in the counting field, on sparse matrices.

``p(t) = exp(t W_s) P_0`` in continuous time, or ``(1 + dt W_s)^J P_0`` (the Euler scheme of the published algorithm),
and with it ``p' = dp/ds`` and ``p'' = d^2 p/ds^2`` by the same equation on the stacked vector: exact derivatives, no
differences. The vector is rescaled as it goes, so that no ``Z_t`` over- or underflows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from math import comb
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import expm_multiply

from vanbench.exact.definitions.states import StateSpace
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.gauge import in_gauge, product_gauge
from vanbench.exact.matrixfree.kernel import balanced, norm_bound
from vanbench.exact.matrixfree.local import tilted
from vanbench.exact.sparse.cumulants import recentred
from vanbench.exact.sparse.generator import generator
from vanbench.exact.sparse.longtime import LongTimes
from vanbench.exact.sparse.spectrum import classwise

FEW = 1024  # states up to which dense powers take seconds
LONG = 1e5  # products with the matrix above which it is the quicker one at FEW states: as the cube of their number
SHORT = 3000  # products that take about a tenth of a second at any number of states below
MANY = 2.0**53  # steps that a double can count
MAX_LOG_CHANGE = 200.0  # of the total between two rescalings: far inside the range of a double (exp(709))


@dataclass
class Evolved:
    """The vector and its derivatives in ``s`` at time ``t``, of ``p(s + h) exp(-logs[0] - logs[1] h - logs[2] h^2/2)``.

    ``derivatives``: ``(order + 1, size)``; ``logs``: what ``recentred`` took out, ``(order + 1,)``.
    """

    t: float
    logs: np.ndarray
    derivatives: np.ndarray

    @property
    def cumulants(self) -> np.ndarray:
        """``d^k ln Z/ds^k`` for ``k = 0..order``; the first is not a number where the total is not positive."""
        totals = self.derivatives.sum(1)
        if not totals[0] > 0:
            return np.full(len(totals), np.nan)
        m = totals / totals[0]
        return self.logs + np.array([np.log(totals[0]), *m[1:2], *(m[2:3] - m[1:2] ** 2)])

    @property
    def ln_z(self) -> float:
        return float(self.cumulants[0])

    @property
    def distribution(self) -> np.ndarray:
        return self.derivatives[0] / self.derivatives[0].sum()


def evolve(
    system: System,
    s: float,
    times: np.ndarray,
    observable: str = "activity",
    order: int = 0,
    dt: float | None = None,
    space: StateSpace | None = None,
    dense: bool = False,
    progress: Callable[[str], None] | None = None,
    first: Evolved | None = None,
) -> Iterator[Evolved]:
    """The evolved distribution at each of the sorted ``times``; Euler steps of ``dt``, or continuous if it is None.

    Raises ``InputError`` for a time that is no multiple of ``dt``, and for one that would take hours. Stability is the
    caller's check (``spectrum.euler_limit``). ``dense`` takes the full matrix exponential: an independent route.
    ``first``: what an evolution by other means has reached, to go on from.
    """
    space = space or StateSpace(system)
    whole = [generator(system, s, observable, k, space) for k in range(order + 1)]
    start = space.initial()
    inside = reached_from(start != 0, whole[0])  # what grows elsewhere would outweigh them in a power of the matrix
    w = whole if len(inside) == space.size else [sp.csr_array(part[inside][:, inside]) for part in whole]
    stacked = stack(w)
    growth = max(float(np.abs(part.sum(axis=0)).max()) for part in w[:2])
    root = cache(lambda: _units(system, s, observable, space, inside, long=False)[0])
    powers, long = _Powers(w, dt, root), None
    state = np.zeros((order + 1, len(inside)))
    state[0] = start[inside]
    now, logs = 0.0, np.zeros(order + 1)
    if first is not None:
        assert first.t <= min(times, default=first.t)
        now, logs, state = first.t, first.logs, first.derivatives[:, inside]
    for t in times:
        if t > now and ((dense and dt is None) or powers.pay(t - now)):
            state, logs = powers.advance(state, logs, t - now)
        elif (t - now) * powers.rate > LONG:
            long = long or _long_times(w, dt, *_units(system, s, observable, space, inside, long=True), progress)
            state, logs = long.advance(state, logs, t - now)
        else:
            for span in spans(t - now, growth, dt):
                state, logs = recentred(_advance(stacked, state, span, dt), logs)
        now = t
        vectors = np.zeros((order + 1, space.size))
        vectors[:, inside] = state
        yield Evolved(float(t), logs.copy(), vectors)


def reached_from(reached: np.ndarray, w: sp.csr_array) -> np.ndarray:
    """The states that the moves lead to from those where ``reached`` is true."""
    if reached.all():
        return np.arange(len(reached))
    moves = sp.csr_array(abs(w))
    while (now := ((moves @ reached.astype(float)) > 0) | reached).sum() > reached.sum():
        reached = now
    return np.flatnonzero(reached)


def spans(total: float, growth: float, dt: float | None) -> list[float]:
    """``total`` cut in about equal pieces, in which nothing grows by more than a factor ``exp(MAX_LOG_CHANGE)``.

    ``growth`` bounds the rate of change of ``ln Z``; pieces are whole steps where the scheme has steps.
    """
    pieces = int(np.ceil(total * growth / MAX_LOG_CHANGE)) if growth > 0 else 1
    if total <= 0:
        return []
    if dt is None:
        return [total / max(1, pieces)] * max(1, pieces)
    steps = round(total / dt)
    pieces = min(max(1, pieces), steps)
    return [dt * (steps * (i + 1) // pieces - steps * i // pieces) for i in range(pieces)]


def _advance(w: sp.csr_array, state: np.ndarray, span: float, dt: float | None) -> np.ndarray:
    flat = state.reshape(-1)
    if dt is None:
        return expm_multiply(w * span, flat, traceA=span * w.trace()).reshape(state.shape)
    for _ in range(round(span / dt)):
        flat = flat + dt * (w @ flat)
    return flat.reshape(state.shape)


def _units(
    system: System, s: float, observable: str, space: StateSpace, inside: np.ndarray, long: bool
) -> tuple[np.ndarray, float]:
    """The units of the entries of the states ``inside`` for powers, or for ``long`` steps, and a bound on the norm."""
    parts = tilted(system, s, observable)
    if long:
        f, norm = balanced(parts, system.n_sites, system.local_dim)
    else:
        f = product_gauge(parts, system.n_sites, system.local_dim)
        norm = norm_bound(in_gauge(parts, f)[0])
    root = np.exp(np.concatenate([f[np.arange(system.n_sites), x].sum(1) for _, x in space.chunks()]))
    return root[inside], norm


def _long_times(
    w: list[sp.csr_array],
    dt: float | None,
    root: np.ndarray,
    norm: float,
    progress: Callable[[str], None] | None,
) -> LongTimes:
    """Leading are the eigenvalues; a bound where they are not found."""
    top = largest(w[0], norm)
    top = top if dt is None else float(np.log1p(dt * top) / dt)
    return LongTimes([part.__matmul__ for part in w], root, norm, top, float(w[0].nnz), dt, progress=progress)


def largest(w: sp.csr_array, otherwise: float) -> float:
    """A bound on the eigenvalues of ``w``; ``otherwise`` where they are not found."""
    try:
        leading = classwise(w, 1)
        return float(leading.values[0].real + leading.errors[0])
    except InputError:
        return otherwise


class _Powers:
    """Dense ``exp(t W)`` or ``(1 + dt W)^J``, and derivatives in ``s``, by repeated squaring, recentred each time.

    In the units ``root()`` of the entries the norm of ``W`` is least, and so are the squarings and their rounding: a
    counting field on one bond makes it as large as ``exp(|s|)``.
    """

    def __init__(self, w: list[sp.csr_array], dt: float | None, root: Callable[[], np.ndarray]):
        self.w, self.size, self.dt, self.root = w, w[0].shape[0], dt, root
        self.norm = float(sum(np.abs(part).sum(axis=0).max() for part in w))
        self.rate = self.norm if dt is None else 1 / dt  # products with a vector, a unit of time

    @cached_property
    def balanced(self) -> np.ndarray:
        """``W`` and its derivatives in those units, ``(order + 1, size, size)``."""
        root = self.root()
        return np.stack([part.toarray() * root / root[:, None] for part in self.w])

    def pay(self, span: float) -> bool:
        """Few states and a long span: quicker than as many products with a vector."""
        return self.size <= FEW and span * self.rate > max(SHORT, LONG * (self.size / FEW) ** 3)

    def advance(self, state: np.ndarray, logs: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray]:
        if self.dt is None:
            size = span * float(sum(np.abs(part).sum(axis=0).max() for part in self.balanced))
            squarings = max(0, int(np.ceil(np.log2(max(size, 1.0)))))
            bits, power = [0] * squarings, self._taylor(span / 2.0**squarings, size / 2.0**squarings)
        else:
            bits = [int(bit) for bit in f"{round(span / self.dt):b}"[1:]]
            power = once = self.dt * self.balanced
            power[0] += np.eye(self.size)
        power, taken = self._recentred(power, 0.0)
        for bit in bits:
            power, taken = self._recentred(_product(power, power), 2 * taken)
            if bit:
                power, taken = self._recentred(_product(once, power), taken)
        root = self.root()
        return recentred(_product(power, (state / root)[:, :, None])[..., 0] * root, logs + taken)

    def _taylor(self, span: float, size: float) -> np.ndarray:
        """``exp(span W)`` and derivatives for ``span |W| = size <= 1``: the first term left out is below 1e-19.

        In the units of the entries as they were: a small element may be the only way to a state that leads.
        """
        term = np.zeros((len(self.w), self.size, self.size))
        term[0] = np.eye(self.size)
        total, k = term.copy(), 0
        left = np.log(1e19) + float(np.ptp(np.log(self.root())))
        while left > 0:
            k += 1
            term = _product(term, self.balanced) * (span / k)
            total += term
            left += np.log(max(size, 1e-300) / (k + 1))
        return total

    def _recentred(self, power: np.ndarray, taken: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        flat, logs = recentred(power.reshape(len(power), -1), np.zeros(len(power)))
        return flat.reshape(power.shape), logs + taken


def _product(a: Any, b: Any) -> np.ndarray:
    """The product of two matrices given with their derivatives (Leibniz)."""
    return np.stack([sum(comb(k, i) * (a[i] @ b[k - i]) for i in range(k + 1)) for k in range(len(a))])


def steps_of(times: np.ndarray, dt: float) -> np.ndarray:
    """Times in whole steps; raises ``InputError`` for one that is no multiple of ``dt``."""
    if not (times / dt < MANY).all():
        raise InputError(f"dt = {dt:g} makes {times.max() / dt:.0e} steps to t = {times.max():g}: take a larger dt.")
    steps = np.rint(times / dt).astype(int)
    off = np.abs(steps * dt - times) > 1e-9 * np.maximum(1.0, times)
    if off.any():
        t = times[off][0]
        raise InputError(
            f"t = {t:g} is no multiple of the time step dt = {dt:g}: take e.g. t = {round(t / dt) * dt:g}."
        )
    return steps


def stack(w: list[sp.csr_array]) -> sp.csr_array:
    """``d/dt (p, p', p'') = [[W, 0, 0], [W', W, 0], [W'', 2 W', W]] (p, p', p'')`` (Leibniz)."""
    n = len(w)
    blocks = [[comb(i, j) * w[i - j] if i >= j else None for j in range(n)] for i in range(n)]
    return sp.csr_array(sp.block_array(blocks, format="csr"))
