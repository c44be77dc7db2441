"""Certified values of ``<v| f(H) |v>`` from the tridiagonal matrix of the Lanczos process.

``<v| f(H) |v>`` is an integral over the spectral measure of ``v``; ``n`` steps give its ``n``-point Gauss rule. Where
the derivatives of ``f`` have a sign the rules bracket the integral (Golub and Meurant, Matrices, Moments and
Quadrature, 1994, sec. 3):

- ``exp(t x)``: Gauss from below, Gauss-Radau with a node at or above the largest eigenvalue from above;
- ``(1 + dt x)^J``, ``J`` even: Gauss below, Gauss-Lobatto (nodes at both ends of the spectrum) above; ``J`` odd:
  Gauss-Radau with the lower node below, with the upper node above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import solve_banded

from vanbench.exact.matrixfree.rule import EPS, Rule, rule


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """``diagonal`` ``(n,)`` and ``off`` ``(n,)`` of the Lanczos matrix; ``off[-1]`` couples to what was not reached.

    ``log_mass`` is ``ln <v|v>``; ``norm`` bounds the operator, whose products it rounds (the matrix may be smaller: a
    start near an eigenvector gives few steps).
    """

    diagonal: np.ndarray
    off: np.ndarray
    log_mass: float = 0.0
    norm: float = 0.0

    @property
    def steps(self) -> int:
        return len(self.diagonal)

    @property
    def exhausted(self) -> bool:
        """Every vector of the space is reached: every rule is exact."""
        return bool(self.off[-1] == 0.0)

    @cached_property
    def scale(self) -> float:
        """A bound on the norms of the operator and of the matrix: what their rounding is relative to."""
        return float(max(self.norm, np.abs(self.diagonal).max() + 2 * np.abs(self.off).max()))

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues ``(n,)`` rising and eigenvectors ``(n, n)`` in the Lanczos basis."""
        return self.gauss.nodes, self.gauss.vectors

    def theta(self) -> tuple[float, float]:
        """The largest Ritz value, a lower bound of the largest eigenvalue, and its residual norm."""
        values, vectors = self.ritz()
        return float(values[-1]), float(self.off[-1] * abs(vectors[-1, -1]))

    @cached_property
    def gauss(self) -> Rule:
        """The ``n``-point rule."""
        return rule(self.diagonal, self.off[:-1], self.scale)

    def radau(self, node: float) -> Rule:
        """``n + 1`` points, one of them ``node``, which must not lie inside the spectrum."""
        if self.exhausted:
            return self.gauss
        last = node + self.off[-1] ** 2 * self._corner(node)
        return rule(np.append(self.diagonal, last), self.off, self.scale)

    def lobatto(self, lower: float, upper: float) -> Rule:
        """``n + 1`` points, two of them the given nodes at or outside the ends of the spectrum."""
        if self.exhausted:
            return self.gauss
        low, up = self._corner(lower), self._corner(upper)
        square = (upper - lower) / (low - up)
        off = np.append(self.off[:-1], np.sqrt(square))
        return rule(np.append(self.diagonal, lower + low * square), off, self.scale)

    def _corner(self, node: float) -> float:
        """``[(T - node)^-1]`` at the last row and column."""
        n = self.steps
        bands = np.zeros((3, n))
        bands[0, 1:], bands[1], bands[2, :-1] = self.off[:-1], self.diagonal - node, self.off[:-1]
        return float(solve_banded((1, 1), bands, np.eye(n)[-1])[-1])


def continuous(tri: Tridiagonal, times: np.ndarray, upper: float) -> tuple[np.ndarray, np.ndarray]:
    """``ln <v| exp(t H) |v>`` at each time and its error bound, ``upper`` being at or above the largest eigenvalue.

    The value is the Gauss rule's (a lower bound); the bound is its distance to the Gauss-Radau rule, plus rounding.
    """
    value, below = _log_exp(tri.gauss, times)
    above, further = _log_exp(tri.radau(upper), times)
    return value + tri.log_mass, np.maximum(above - value, 0.0) + below + further + rounding(tri, times)


def euler(tri: Tridiagonal, dt: float, steps: np.ndarray, lower: float, upper: float) -> tuple[np.ndarray, np.ndarray]:
    """``ln <v| (1 + dt H)^J |v>`` for each number of steps, and its error bound; spectrum within [lower, upper]."""
    even = steps % 2 == 0
    value, floor_ = _log_power(tri.gauss, dt, steps)
    below, below_error = _log_power(tri.radau(lower), dt, steps)
    below, below_error = np.where(even, value, below), np.where(even, 0.0, below_error)
    outer, straight = _log_power(tri.lobatto(lower, upper), dt, steps), _log_power(tri.radau(upper), dt, steps)
    above, above_error = (np.where(even, *both) for both in zip(outer, straight))
    spread = np.maximum(np.abs(above - value) + above_error, np.abs(value - below) + below_error)
    return value + tri.log_mass, spread + floor_ + rounding(tri, steps * dt, dt)


def log_functions(nodes: np.ndarray, times: np.ndarray, dt: float | None) -> np.ndarray:
    """``ln |f_t|`` at the nodes, ``(n_times, n_nodes)``: ``f_t(x) = exp(t x)``, or ``(1 + dt x)^(t / dt)``."""
    if dt is None:
        return np.multiply.outer(times, nodes)
    steps = np.rint(times / dt)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):  # 1 + dt x would round the small part of every step
        factors = np.where(1 + dt * nodes > 0, np.log1p(dt * nodes), np.log(np.abs(1 + dt * nodes)))
        return np.where(steps > 0, steps * factors, 0.0)


def floor(tri: Tridiagonal, times: np.ndarray, dt: float | None = None) -> np.ndarray:
    """What rounding may add to ``ln Z``, of the operator and of the weights: no bound falls below it."""
    terms = log_functions(tri.gauss.nodes, times, dt) + tri.gauss.logs
    return rounding(tri, times, dt) + _lost(terms, tri.gauss.errors, _log_sum(terms)[0])


def rounding(tri: Tridiagonal, times: np.ndarray, dt: float | None = None) -> np.ndarray:
    """What rounding of the Lanczos process may add to ``ln Z``.

    The computed matrix belongs to a neighbour ``H + E`` with ``|E|`` of a few units of rounding of ``|H|`` (Paige,
    Linear Algebra Appl. 34, 235 (1980)), which changes ``ln Z_t`` by at most ``t |E|``, or by ``dt |E|`` times
    `_steps_seen` of Euler steps; the sums add a few units.
    """
    if dt is not None:
        seen, cancelled = _steps_seen(tri, dt, np.rint(times / dt).astype(int))
        return 8 * EPS * (cancelled + tri.scale * dt * seen) + 2 * EPS * tri.steps * cancelled
    with np.errstate(divide="ignore", invalid="ignore"):
        return 8 * EPS * (1 + np.where(times > 0, tri.scale * times, 0.0)) + 2 * EPS * tri.steps


def _steps_seen(tri: Tridiagonal, dt: float, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``sum_j |A^(J-1-j) v| |A^j v| / |Z|`` of ``J`` Euler steps ``A = 1 + dt H``, and the sum's terms over it.

    ``J`` where one mode rules throughout. A mode of little weight that a negative factor keeps, ``1 + dt x`` near -1,
    makes it larger: ``Z`` is then the small square of components whose rounding is that of the whole vector. The
    summand is convex in ``j`` and symmetric, so that trapezoids over a few ``j`` bound the sum from above.
    """
    value, _ = _log_power(tri.gauss, dt, steps)
    cancelled = np.exp(_log_power(tri.gauss, dt, steps, absolute=True)[0] - value)
    seen = np.zeros(len(steps))
    for i in np.flatnonzero(steps > 0):
        last = int(steps[i]) - 1
        j = np.unique([0, *(2 ** np.arange(last.bit_length())), last // 2, last])
        j = np.unique([*j[j <= last], *(last - j[j <= last])])
        norms = _log_power(tri.gauss, dt, 2 * np.concatenate([j, last - j]))[0] / 2
        terms = np.exp(norms[: len(j)] + norms[len(j) :] - value[i])
        seen[i] = np.diff(j) @ (terms[1:] + terms[:-1]) / 2 + (terms[0] + terms[-1]) / 2
    return seen, cancelled


def _log_exp(rule: Rule, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``ln sum_k w_k exp(t x_k)`` and what the errors of the weights do to it."""
    terms = np.multiply.outer(times, rule.nodes) + rule.logs
    value, _ = _log_sum(terms)
    return value, _lost(terms, rule.errors, value)


def _log_power(rule: Rule, dt: float, steps: np.ndarray, absolute: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """As ``_log_exp`` of ``(1 + dt x_k)^J``, or of its size; not a number where the sum is not positive."""
    terms = log_functions(rule.nodes, steps * dt, dt) + rule.logs
    odd = (steps % 2 == 1)[:, None] & (not absolute)
    signs = np.where(odd & (1 + dt * rule.nodes < 0), -1.0, 1.0)
    value, sign = _log_sum(terms, signs)
    value = np.where(sign > 0, value, np.nan)
    return value, _lost(terms, rule.errors, value)


def _lost(terms: np.ndarray, errors: np.ndarray, value: np.ndarray) -> np.ndarray:
    """How far ``value``, ``ln sum exp(terms)``, may be off for relative ``errors`` of the terms; infinite if wholly."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        relative = np.exp(_log_sum(terms + np.log(errors))[0] - value)
        return np.where(relative < 1, -np.log1p(-relative), np.inf)


def _log_sum(terms: np.ndarray, signs: np.ndarray | float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """``ln |sum signs exp(terms)|`` over the last axis, and the sign of the sum."""
    top = terms.max(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = (signs * np.exp(terms - np.where(np.isfinite(top), top, 0.0))).sum(-1)
        return np.log(np.abs(total)) + np.where(np.isfinite(top), top, 0.0)[..., 0], np.sign(total)
