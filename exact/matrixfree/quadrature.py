"""Certified values of ``<v| f(H) |v>`` from the tridiagonal matrix of the Lanczos process.

``<v| f(H) |v>`` is an integral over the spectral measure of ``v``; ``n`` steps give its ``n``-point Gauss rule. Where
the derivatives of ``f`` have a sign the rules bracket the integral (Golub and Meurant, Matrices, Moments and
Quadrature, 1994, sec. 3):

- ``exp(t x)``: Gauss from below, Gauss-Radau with a node at or above the largest eigenvalue from above;
- ``(1 + dt x)^J``, ``J`` even: Gauss below, Gauss-Lobatto (nodes at both ends of the spectrum) above; ``J`` odd:
  Gauss-Radau with the lower node below, with the upper node above.

The weights are ``q_j^2``, the first entries squared of the eigenvectors ``z_j``. An eigenvector routine gives them to
rounding of 1, not of themselves, and ``exp(t x)`` can make a weight of 1e-14 the largest term. The orthogonal
polynomials ``p_k(x_j) = z_kj / q_j`` lead from an entry that is large to the first one: as long as they grow, every
digit of them is good.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, eigh_tridiagonal, solve_banded
from scipy.special import logsumexp

EPS = np.finfo(float).eps
LARGE = 0.1  # of the largest entry of an eigenvector: one that is good to a few units of rounding


class Rule(NamedTuple):
    """``nodes`` ``(n,)`` rising, logarithms of the weights (of total weight 1), and the weights' relative errors.

    ``vectors`` ``(n, n)``: the eigenvectors of the matrix of the rule.
    """

    nodes: np.ndarray
    logs: np.ndarray
    errors: np.ndarray
    vectors: np.ndarray


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
        return _rule(self.diagonal, self.off[:-1], self.scale)

    def radau(self, node: float) -> Rule:
        """``n + 1`` points, one of them ``node``, which must not lie inside the spectrum."""
        if self.exhausted:
            return self.gauss
        last = node + self.off[-1] ** 2 * self._corner(node)
        return _rule(np.append(self.diagonal, last), self.off, self.scale)

    def lobatto(self, lower: float, upper: float) -> Rule:
        """``n + 1`` points, two of them the given nodes at or outside the ends of the spectrum."""
        if self.exhausted:
            return self.gauss
        low, up = self._corner(lower), self._corner(upper)
        square = (upper - lower) / (low - up)
        off = np.append(self.off[:-1], np.sqrt(square))
        return _rule(np.append(self.diagonal, lower + low * square), off, self.scale)

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
    value = _log_exp(tri.gauss, times)
    above = _log_exp(tri.radau(upper), times)
    return value + tri.log_mass, np.maximum(above - value, 0.0) + floor(tri, times)


def euler(tri: Tridiagonal, dt: float, steps: np.ndarray, lower: float, upper: float) -> tuple[np.ndarray, np.ndarray]:
    """``ln <v| (1 + dt H)^J |v>`` for each number of steps, and its error bound; spectrum within [lower, upper]."""
    inner = tri.gauss
    value, below, above = np.empty((3, len(steps)))
    low, up, both = tri.radau(lower), tri.radau(upper), tri.lobatto(lower, upper)
    for i, j in enumerate(steps):
        value[i] = _log_power(inner, dt, j)
        below[i] = value[i] if j % 2 == 0 else _log_power(low, dt, j)
        above[i] = _log_power(both if j % 2 == 0 else up, dt, j)
    spread = np.maximum(np.abs(above - value), np.abs(value - below))
    return value + tri.log_mass, spread + floor(tri, steps * dt, dt)


def log_functions(nodes: np.ndarray, times: np.ndarray, dt: float | None) -> np.ndarray:
    """``ln |f_t|`` at the nodes, ``(n_times, n_nodes)``: ``f_t(x) = exp(t x)``, or ``(1 + dt x)^(t / dt)``."""
    if dt is None:
        return np.multiply.outer(times, nodes)
    steps = np.rint(times / dt)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(steps > 0, steps * np.log(np.abs(1 + dt * nodes)), 0.0)


def floor(tri: Tridiagonal, times: np.ndarray, dt: float | None = None) -> np.ndarray:
    """What rounding may add to ``ln Z``, of the operator and of the weights: no bound falls below it."""
    nodes, logs, errors, _ = tri.gauss
    with np.errstate(divide="ignore"):
        terms = log_functions(nodes, times, dt) + logs
        return rounding(tri, times) + np.exp(logsumexp(terms + np.log(errors), axis=-1) - logsumexp(terms, axis=-1))


def rounding(tri: Tridiagonal, times: np.ndarray) -> np.ndarray:
    """What rounding of the Lanczos process may add to ``ln Z``.

    The computed matrix belongs to a neighbour ``H + E`` with ``|E|`` of a few units of rounding of ``|H|`` (Paige,
    Linear Algebra Appl. 34, 235 (1980)), which changes ``ln Z_t`` by at most ``t |E|``; the sums add a few units.
    """
    return 8 * EPS * (1 + tri.scale * times) + 2 * EPS * tri.steps


def _rule(diagonal: np.ndarray, off: np.ndarray, norm: float) -> Rule:
    """The first entries as the routine gives them, or by the polynomials where their error is the smaller.

    The weights add up to 1; those of the routine do so to rounding. Polynomials that break this are not believed.
    """
    nodes, vectors = _eigh(diagonal, off)
    size = np.abs(vectors)
    small = EPS / np.maximum(size[0], 1e-150)
    with np.errstate(divide="ignore"):
        logs, errors, firsts = 2 * np.log(size[0]), 4 * small * (1 + small), vectors[0]
    large = np.argmax(size >= LARGE * size.max(0), axis=0)
    grown, signs, lost = _polynomials(nodes, diagonal, off, large, norm)
    entries = vectors[large, np.arange(len(nodes))]
    recurred, relative = np.log(np.abs(entries)) - grown, 2 * EPS / np.abs(entries) + lost
    better = (large > 0) & (np.log(relative) + recurred < np.log(2 * EPS))
    chosen = np.where(better, 2 * recurred, logs), np.where(better, 2 * relative, errors)
    if abs(np.exp(chosen[0]).sum() - 1) <= np.exp(chosen[0]) @ chosen[1] + 8 * EPS * len(nodes):
        (logs, errors), firsts = chosen, np.where(better, np.sign(entries) * signs * np.exp(recurred), firsts)
    return Rule(nodes, logs, errors, np.vstack([firsts, vectors[1:]]))


def _polynomials(
    nodes: np.ndarray, diagonal: np.ndarray, off: np.ndarray, last: np.ndarray, norm: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``ln |p_k|``, its sign, and its relative error, of ``k = last`` at each node.

    Where the numbers fall by a factor ``F`` the other solution of the recurrence, which rounding mixes in, grows by as
    much: ``F^2`` relative, for the largest ``F = max_{i <= j} |(p_i, p_i+1)| / |(p_j, p_j+1)|`` with ``j <= k``. The
    nodes and the matrix are good to rounding of ``norm`` alone, which moves ``p_k`` as its slope ``p_k'`` tells: much
    where the matrix nearly decouples, and ``p_k`` crosses zero nearby.
    """
    zero = np.zeros_like(nodes)
    before, now, scale, highest = zero, zero + 1.0, zero, zero
    slope_before, slope = zero, zero
    logs, signs, lost, moved = zero, zero + 1.0, zero, zero
    for k in range(1, int(last.max()) + 1):
        back = off[k - 2] if k > 1 else 0.0
        x = nodes - diagonal[k - 1]
        slope_before, slope = slope, (x * slope + now - back * slope_before) / off[k - 1]
        before, now = now, (x * now - back * before) / off[k - 1]
        size = np.hypot(before, now)
        before, now, slope_before, slope = before / size, now / size, slope_before / size, slope / size
        scale = scale + np.log(size)
        highest = np.maximum(highest, scale)
        lost = np.where(k <= last, np.maximum(lost, highest - scale), lost)
        here = k == last
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(here, scale + np.log(np.abs(now)), logs)
            moved = np.where(here, np.abs(slope / now), moved)
        signs = np.where(here, np.sign(now), signs)
    errors = 2 * EPS * (len(nodes) * np.exp(np.minimum(2 * lost, 600.0)) + 2 * norm * moved)
    return logs, signs, np.where(np.isfinite(errors), errors, np.inf)


def _eigh(diagonal: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(diagonal) == 1:
        return diagonal.copy(), np.ones((1, 1))
    try:
        return eigh_tridiagonal(diagonal, off)
    except LinAlgError:  # the fast routine may give up on weakly coupled blocks; QL iterations do not
        return eigh_tridiagonal(diagonal, off, lapack_driver="stev")


def _log_exp(rule: Rule, times: np.ndarray) -> np.ndarray:
    return logsumexp(np.multiply.outer(times, rule.nodes) + rule.logs, axis=-1)


def _log_power(rule: Rule, dt: float, steps: int) -> float:
    """``ln sum_k w_k (1 + dt x_k)^J``; not a number where the sum is not positive."""
    factor = 1 + dt * rule.nodes
    with np.errstate(divide="ignore"):
        logs = np.where(factor == 0, -np.inf if steps else 0.0, steps * np.log(np.abs(factor)))
    signs = np.where(factor < 0, (-1.0) ** (steps % 2), 1.0)
    total, sign = logsumexp(logs + rule.logs, b=signs, return_sign=True)
    return float(total) if sign > 0 else float("nan")
