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

import numpy as np
from scipy.linalg import LinAlgError, eigh_tridiagonal, solve_banded
from scipy.special import logsumexp

EPS = np.finfo(float).eps
RESOLVED = np.log(1e-20)  # weights are squares of eigenvector entries, which are good to some 1e-16


@dataclass(frozen=True, eq=False)
class Tridiagonal:
    """``diagonal`` ``(n,)`` and ``off`` ``(n,)`` of the Lanczos matrix; ``off[-1]`` couples to what was not reached.

    ``log_mass`` is ``ln <v|v>``.
    """

    diagonal: np.ndarray
    off: np.ndarray
    log_mass: float = 0.0

    @property
    def steps(self) -> int:
        return len(self.diagonal)

    @property
    def exhausted(self) -> bool:
        """The Krylov space is invariant: every rule is exact."""
        return bool(self.off[-1] == 0.0)

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues ``(n,)`` rising and eigenvectors ``(n, n)`` in the Lanczos basis."""
        return _eigh(self.diagonal, self.off[:-1])

    def theta(self) -> tuple[float, float]:
        """The largest Ritz value, a lower bound of the largest eigenvalue, and its residual norm."""
        values, vectors = self.ritz()
        return float(values[-1]), float(self.off[-1] * abs(vectors[-1, -1]))

    def gauss(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and logarithms of the weights of the ``n``-point rule, of total weight 1."""
        return _rule(self.diagonal, self.off[:-1])

    def radau(self, node: float) -> tuple[np.ndarray, np.ndarray]:
        """``n + 1`` points, one of them ``node``, which must not lie inside the spectrum; as ``gauss``."""
        if self.exhausted:
            return self.gauss()
        last = node + self.off[-1] ** 2 * self._corner(node)
        return self._weighed(_rule(np.append(self.diagonal, last), self.off), node, self.off)

    def lobatto(self, lower: float, upper: float) -> tuple[np.ndarray, np.ndarray]:
        """``n + 1`` points, two of them the given nodes at or outside the ends of the spectrum."""
        if self.exhausted:
            return self.gauss()
        low, up = self._corner(lower), self._corner(upper)
        square = (upper - lower) / (low - up)
        off = np.append(self.off[:-1], np.sqrt(square))
        rule = _rule(np.append(self.diagonal, lower + low * square), off)
        return self._weighed(self._weighed(rule, lower, off), upper, off)

    def _weighed(
        self, rule: tuple[np.ndarray, np.ndarray], node: float, off: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """``rule`` with the weight of ``node`` from its orthogonal polynomials, ``1 / sum_k p_k(node)^2``.

        Far outside the spectrum that weight is smaller than an eigenvector routine resolves (it may return zero), and
        yet ``exp(t node)`` can make it the largest term. There the recurrence only grows: every digit is good.
        """
        nodes, logs = (part.copy() for part in rule)
        at = int(np.argmin(np.abs(nodes - node)))
        apart = np.abs(np.delete(nodes, at) - node).min()
        if logs[at] > RESOLVED or apart < 1e-6 * np.ptp(nodes):
            return rule  # large enough to be good; or too close to a converged value to tell, and to matter
        before, now, total, log_scale = 0.0, 1.0, 1.0, 0.0
        for k, alpha in enumerate(self.diagonal):
            back = off[k - 1] * before if k else 0.0
            before, now = now, ((node - alpha) * now - back) / off[k]
            total += now * now
            if total > 1e200:
                before, now, total, log_scale = before * 1e-100, now * 1e-100, total * 1e-200, log_scale + 200.0
        nodes[at], logs[at] = node, -np.log(total) - log_scale * np.log(10.0)
        return nodes, logs

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
    value = _log_exp(tri.gauss(), times)
    above = _log_exp(tri.radau(upper), times)
    return value + tri.log_mass, np.maximum(above - value, 0.0) + rounding(tri, times)


def euler(tri: Tridiagonal, dt: float, steps: np.ndarray, lower: float, upper: float) -> tuple[np.ndarray, np.ndarray]:
    """``ln <v| (1 + dt H)^J |v>`` for each number of steps, and its error bound; spectrum within [lower, upper]."""
    inner = tri.gauss()
    value, below, above = np.empty((3, len(steps)))
    low, up, both = tri.radau(lower), tri.radau(upper), tri.lobatto(lower, upper)
    for i, j in enumerate(steps):
        value[i] = _log_power(inner, dt, j)
        below[i] = value[i] if j % 2 == 0 else _log_power(low, dt, j)
        above[i] = _log_power(both if j % 2 == 0 else up, dt, j)
    spread = np.maximum(np.abs(above - value), np.abs(value - below))
    return value + tri.log_mass, spread + rounding(tri, steps * dt)


def rounding(tri: Tridiagonal, times: np.ndarray) -> np.ndarray:
    """What rounding may add to ``ln Z``.

    The computed matrix belongs to a neighbour ``H + E`` with ``|E|`` of a few units of rounding of ``|H|`` (Paige,
    Linear Algebra Appl. 34, 235 (1980)), which changes ``ln Z_t`` by at most ``t |E|``; the sums add a few units.
    """
    scale = np.abs(tri.diagonal).max() + 2 * np.abs(tri.off).max()
    return 8 * EPS * (1 + scale * times) + 2 * EPS * tri.steps


def _rule(diagonal: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = _eigh(diagonal, off)
    with np.errstate(divide="ignore"):
        return values, 2 * np.log(np.abs(vectors[0]))


def _eigh(diagonal: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(diagonal) == 1:
        return diagonal.copy(), np.ones((1, 1))
    try:
        return eigh_tridiagonal(diagonal, off)
    except LinAlgError:  # the fast routine may give up on weakly coupled blocks; QL iterations do not
        return eigh_tridiagonal(diagonal, off, lapack_driver="stev")


def _log_exp(rule: tuple[np.ndarray, np.ndarray], times: np.ndarray) -> np.ndarray:
    nodes, logs = rule
    return logsumexp(np.multiply.outer(times, nodes) + logs, axis=-1)


def _log_power(rule: tuple[np.ndarray, np.ndarray], dt: float, steps: int) -> float:
    """``ln sum_k w_k (1 + dt x_k)^J``; not a number where the sum is not positive."""
    factor = 1 + dt * rule[0]
    with np.errstate(divide="ignore"):
        logs = np.where(factor == 0, -np.inf if steps else 0.0, steps * np.log(np.abs(factor)))
    signs = np.where(factor < 0, (-1.0) ** (steps % 2), 1.0)
    total, sign = logsumexp(logs + rule[1], b=signs, return_sign=True)
    return float(total) if sign > 0 else float("nan")
