"""Reference values of small systems in extended precision, from the local terms as data, by squaring dense matrices.

``exp(t W_s)`` of a generator with non-negative rates is a product of non-negative matrices once the diagonal is
shifted, so that every entry of it, however small, is good to ``t |W|`` roundings of itself: 1e-19 in the 80 bits of
``numpy.longdouble`` on x86. Nothing here is shared with the code under test but the terms of the system.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

EXTENDED = np.longdouble
MIDDLE = 200  # squarings: to a time of 1e60
LOST = 1e6  # cancellation that leaves 13 digits; more and there is no reference
ENOUGH = np.finfo(EXTENDED).eps < 2e-19  # else it is a plain double and no reference


def dense(n: int, d: int, parts: list[tuple[tuple[int, ...], np.ndarray]], dtype: type = EXTENDED) -> np.ndarray:
    """Sum of local matrices on ``n`` sites, ``(d^n, d^n)``, the first site most significant."""
    total = np.zeros((d**n, d**n), dtype=dtype)
    for sites, matrix in parts:
        rest = [i for i in range(n) if i not in sites]
        whole = np.kron(np.asarray(matrix, dtype=dtype), np.eye(d ** len(rest), dtype=dtype))
        axes = np.argsort([*sites, *rest])
        whole = whole.reshape((d,) * (2 * n)).transpose([*axes, *(n + axes)])
        total += whole.reshape(d**n, d**n)
    return total


@dataclass
class Values:
    """Of one time; all but ``ln_Z`` a site; ``density_profile`` ``(n_sites,)``."""

    ln_Z: float
    activity: float
    susceptibility: float
    density_profile: np.ndarray
    instantaneous_activity: float
    trajectory_density: float

    @property
    def density(self) -> float:
        return float(self.density_profile.mean())


def together(parts: list[Values]) -> Values:
    """Of independent systems side by side."""
    sizes = [len(part.density_profile) for part in parts]
    means = (np.average([getattr(part, name) for part in parts], weights=sizes) for name in AVERAGES)
    profile = np.concatenate([part.density_profile for part in parts])
    return Values(sum(part.ln_Z for part in parts), density_profile=profile, **dict(zip(AVERAGES, means)))


AVERAGES = ("activity", "susceptibility", "instantaneous_activity", "trajectory_density")


class Reference:
    """Every quantity at finite times of a system that starts from a product measure, tilted by the activity at ``s``.

    ``states``: the allowed configurations, ``(m, n_sites)``.
    """

    def __init__(self, system, s: float, dtype: type = EXTENDED):
        n, d, one = system.n_sites, system.local_dim, dtype(1)
        x = np.array(list(itertools.product(range(d), repeat=n)))
        kept = np.ones(len(x), dtype=bool)
        for site, value in system.pinned.items():
            kept &= x[:, site] == value
        if system.support is not None:
            kept &= np.asarray(system.support.contains(x))
        self.states, self.n, self.dtype, self.s = x[kept], n, dtype, s
        only = np.ix_(kept, kept)
        base = dense(n, d, [(t.sites, t.matrix) for t in system.terms], dtype)[only]
        jumps = [(t.sites, jump) for t in system.terms for _, jump in t.counters.get("activity", ())]
        jumps = dense(n, d, jumps, dtype)[only]
        tilt = np.exp(-dtype(s))
        self.w = base + (tilt - one) * jumps
        off = ~np.eye(len(base), dtype=bool)
        assert (base[off] == jumps[off]).all(), "every move counts one"
        self.w[off] = tilt * jumps[off]  # no sum of a small and a large number
        self.first, self.second = -tilt * jumps, tilt * jumps
        self.escape = -np.diag(base)
        start = np.asarray(system.initial, dtype=dtype)
        self.start = start[np.arange(n), self.states].prod(1)
        self.start /= self.start.sum()

    def spectrum(self) -> np.ndarray:
        """Eigenvalues of a system with detailed balance that starts from its equilibrium, rising; doubles."""
        root = np.sqrt(self.start)
        h = (self.w * root / root[:, None]).astype(float)
        return np.linalg.eigvalsh((h + h.T) / 2)

    @cached_property
    def middle(self) -> tuple[np.ndarray, float]:
        """The profile of the stationary state ``l(x) r(x)``, in the middle of an endless trajectory, and the slope of
        the largest eigenvalue in ``s``: of ``r l^T``, to which the powers of ``exp(t W)`` tend."""
        power = Ladder([self.w], None, self.dtype).powers[0][0][0]
        for _ in range(MIDDLE):
            power = power @ power
            power = power / power.sum()
        inside = np.diag(power) / np.trace(power)
        slope = (self.first * power.T).sum() / np.trace(power)
        return (inside @ self.states.astype(self.dtype)).astype(float), float(slope)

    def values(self, times, dt: float | None = None, derivatives: bool = True) -> list[Values]:
        """At each of ``times``; ``dt``: by Euler steps. Without ``derivatives`` (nine times the work) they are NaN."""
        counted = Ladder([self.w, self.first, self.second] if derivatives else [self.w], dt, self.dtype)
        field = [-np.diag(self.states.sum(1).astype(self.dtype))] if derivatives else []
        occupied = Ladder([self.w, *field], dt, self.dtype) if derivatives else counted
        return [self._at(counted, occupied, float(t), dt) for t in times]

    def _at(self, counted: Ladder, occupied: Ladder, t: float, dt: float | None) -> Values:
        logs, vectors = counted.evolve(self.start, t)
        if not vectors[0].sum() > 0:
            return Values(math.nan, math.nan, math.nan, np.full(self.n, np.nan), math.nan, math.nan)
        p = vectors[0] / vectors[0].sum()
        profile = p @ self.states.astype(self.dtype)
        here = self.start if t == 0 else p
        instantaneous = np.exp(-self.dtype(self.s)) * (self.escape @ here) / self.n
        if t == 0:
            first, second = (-(w @ self.start).sum() / self.n for w in (self.first, self.second))
            return Values(0.0, float(first), float(second), *_floats(profile, instantaneous, profile.mean()))
        weight = self.dtype(t)
        if dt is not None:
            before = counted.evolve(self.start, (round(t / dt) - 1) * dt)[0] if round(t / dt) > 1 else logs * 0
            weight = weight * np.exp(before[0] - logs[0])
        logs = np.append(logs, [np.nan, np.nan])[:3]
        mean = -np.append(occupied.evolve(self.start, t)[0], np.nan)[1] / weight / self.n
        scale = self.n * self.dtype(t)
        return Values(
            float(logs[0]), float(-logs[1] / scale), float(-logs[2] / scale), *_floats(profile, instantaneous, mean)
        )


def _floats(profile, instantaneous, mean):
    return profile.astype(float), float(instantaneous), float(mean)


class Ladder:
    """``exp(t W)`` (or ``(1 + dt W)^J``) and its derivatives by a field, by powers of two of a short step."""

    def __init__(self, w: list[np.ndarray], dt: float | None, dtype: type = EXTENDED):
        self.w, self.dt, self.dtype = w, dt, dtype
        eye = np.eye(len(w[0]), dtype=dtype)
        self.shift = -min(dtype(0), np.diag(w[0]).min())
        self.shifted = [w[0] + self.shift * eye, *w[1:]]
        norm = float(sum(np.abs(part).sum(0).max() for part in self.shifted))
        if dt is None:
            self.unit = 2.0 ** -math.ceil(math.log2(max(norm, 1e-30)))
            step = self._taylor(np.stack([eye, *(0 * part for part in w[1:])]), self.dtype(self.unit))
        else:
            self.unit, self.shift = dt, dtype(0)
            step = np.stack([eye + dtype(dt) * w[0], *(dtype(dt) * part for part in w[1:])])
        self.powers = [recentred(step)]

    def evolve(self, start: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        """``(logs, vectors)``: ``ln Z`` and its derivatives by the field; the vectors of total ``(1, 0, 0)``."""
        count = math.floor(t / self.unit) if self.dt is None else round(t / self.unit)
        state = np.stack([start, *(0 * start for _ in self.w[1:])])
        logs = np.zeros(len(self.w), dtype=self.dtype)
        if self.dt is None:  # t and the unit, a power of two, are doubles: what is left over is exact
            state = self._taylor(state, self.dtype(t - count * self.unit))
            state, taken = recentred(state)
            logs += taken
        level = 0
        while count >> level:
            if level == len(self.powers):
                power, taken = self.powers[-1]
                square, more = recentred(product(power, power))
                self.powers.append((square, 2 * taken + more))
            if count >> level & 1:
                power, taken = self.powers[level]
                size = (np.abs(power[0]) @ np.abs(state[0])).sum()
                state = product(power, state)
                if not abs(state[0].sum()) * LOST >= size:
                    return logs * np.nan, state * np.nan
                state, more = recentred(state)
                logs = logs + taken + more
            level += 1
        state, more = recentred(state)
        logs = logs + more
        logs[0] -= self.shift * self.dtype(t)
        return logs, state

    def _taylor(self, state: np.ndarray, span: float) -> np.ndarray:
        """``exp(span W) state`` for ``span |W| <= 1``: ``1/26!`` is below 1e-26."""
        term, total = state, state
        for k in range(1, 26):
            term = product(self.shifted, term) * (span / self.dtype(k))
            total = total + term
        return total


def product(a, b) -> np.ndarray:
    """The product of matrices given with their derivatives (Leibniz)."""
    return np.stack([sum(math.comb(k, i) * (a[i] @ b[k - i]) for i in range(k + 1)) for k in range(len(b))])


def recentred(state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``state`` of total ``(1, 0, 0)``, and the logarithm of the total with its derivatives that this took out."""
    total = state[0].sum()
    if not total > 0:  # Euler steps too long for a distribution; a later power may well be positive
        size = np.abs(state[0]).sum()
        return state / size, np.array([np.log(size), *(0 * size for _ in state[1:])])
    state = state / total
    out = [np.log(total)]
    if len(state) > 1:
        mean = state[1].sum()
        out.append(mean)
        first = state[1] - mean * state[0]
        if len(state) > 2:
            second = state[2] - 2 * mean * state[1] + mean**2 * state[0]
            out.append(second.sum())
            state[2] = second - out[2] * state[0]
        state[1] = first
    return state, np.array(out)
