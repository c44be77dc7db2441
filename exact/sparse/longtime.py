"""Long times of any generator: Krylov steps that grow as the fast modes die out.

What is left of a vector after a time ``T`` lies in the modes slower than some ``40 / T``; a Krylov space of a few
dozen vectors holds them, and the next step may be several times longer. Where it holds all there is, the rest of the
time is one exponential of a small matrix. The growth of ``ln Z`` and of its derivatives in ``s``, as it was in the last
step, is taken out of the generator beforehand, so that moments (which grow like ``t`` and ``t^2``) stay of order one
and cumulants keep their digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

import numpy as np
from scipy.linalg import expm

from vanbench.exact.errors import InputError
from vanbench.exact.sparse.cumulants import recentred

EPS = np.finfo(float).eps
FACTOR = 8.0  # between one step and the next
TOLERANCE = 1e-14  # relative error of a step; of a long one what the rounding of W makes of it, t |W| 1e-16
RISE = (
    10.0  # growth of a mode that is small now but will lead, in one step: what is left of it must stay above rounding
)
MOST = 1e8  # growth of the vector in one step
RETRIES = 4
WORK = 2e12  # multiplications that are taken on: an hour or so
CALL = 5e4  # multiplications in the time of one product with next to no states
PROBE = 100  # steps after which the whole is estimated

Product = Callable[[np.ndarray], np.ndarray]


class LongTimes:
    """Steps of ``d p / dt = W_s p`` (or ``p += dt W_s p``) and of its derivatives in ``s``.

    products
        with ``W_s`` and its derivatives, ``order + 1`` of them, on vectors of length ``size``.
    root
        the units of the entries, ``(size,)``, in which ``W_s`` is balanced; ``norm`` is its norm there. Elsewhere the
        rounding of large entries feeds modes that are not there.
    top
        a bound on the real part of the eigenvalues, or the largest: of modes the start does not hold, none above it.
    elements
        multiplications that one product with ``W_s`` takes.
    """

    def __init__(
        self,
        products: Sequence[Product],
        root: np.ndarray,
        norm: float,
        top: float,
        elements: float,
        dt: float | None = None,
        basis: int = 40,
        progress: Callable[[str], None] | None = None,
    ):
        self.products, self.root, self.size, self.norm, self.top, self.dt = products, root, len(root), norm, top, dt
        self.work = elements * len(products) ** 2 + 2.0 * basis * self.size + CALL
        self.basis, self.progress = basis, progress
        self.centre = np.zeros(len(products))
        self.step = 0.0

    def advance(self, state: np.ndarray, logs: np.ndarray, span: float) -> tuple[np.ndarray, np.ndarray]:
        """``state`` ``(order + 1, size)`` and ``logs`` after ``span``; raises ``InputError`` if it would take hours."""
        unit = self.dt or 0.0
        done, steps = 0.0, 0
        step = self.step or max(1.0 / self.norm, unit)
        while span - done > 1e-12 * span:
            step = self._allowed(step, span - done)
            state, taken, step = self._one(state, step)
            logs, done, steps = logs + taken, done + step, steps + 1
            self.centre, self.step = taken / step, step
            if steps % PROBE == 0:
                left = (span - done) / step * self.basis * self.work
                if self.progress:
                    self.progress(f"t = {done:.6g} of {span:g} in {steps} Krylov steps")
                if left > WORK:
                    raise InputError(
                        f"another {span - done:.3g} time units would take about {left:.0e} operations, "
                        f"{left / 5e8 / 3600:.1g} hours: take earlier times, or scgf."
                    )
            step *= FACTOR
        return state, logs

    def _allowed(self, step: float, left: float) -> float:
        below = self.top - self.centre[0]
        step = min(step, left, RISE / below if below * left > RISE else np.inf)
        return step if self.dt is None else max(1, round(step / self.dt)) * self.dt

    def _one(self, state: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray, float]:
        """One step of at most ``step``: the recentred state, what was taken out (the centre's share too), the step."""
        kappa = max(1.0, self._unit(state))
        for _ in range(RETRIES):
            advanced, took = self._in_units(state, step, kappa)
            if self._unit(advanced) <= 2.0 * kappa:
                break
            kappa = self._unit(advanced)  # derivatives grew: beside them the digits of p would be lost
        advanced, taken = recentred(advanced, took * self.centre)
        return advanced, taken, took

    def _unit(self, state: np.ndarray) -> float:
        """``kappa`` such that the derivatives over ``kappa^k`` are no larger than the vector itself."""
        norms = np.linalg.norm(state / self.root, axis=1)
        return max([0.0] + [float((n / norms[0]) ** (1.0 / k)) for k, n in enumerate(norms[1:], 1)])

    def _in_units(self, state: np.ndarray, step: float, kappa: float) -> tuple[np.ndarray, float]:
        """The state after at most ``step``, by a Krylov space in which derivatives are counted in ``kappa^k``."""
        units = self.root * kappa ** np.arange(len(state))[:, None]
        flat = (state / units).ravel()
        beta = float(np.linalg.norm(flat))
        h, q = self._arnoldi(flat / beta, kappa)
        k = len(q)
        complete = h[k, k - 1] == 0.0
        while True:
            column, leak = self._small(h, k, step)
            grown = float(np.linalg.norm(column[:k]))  # rounding makes a small matrix grow that should not
            good = complete or leak <= max(TOLERANCE, EPS * self.norm * step)
            if (good and grown < MOST) or step <= 1.5 * (self.dt or 1e-12 / self.norm):
                return (beta * (column[:k] @ q)).reshape(state.shape) * units, step
            step = self._allowed(step / 2, step)

    def _small(self, h: np.ndarray, k: int, step: float) -> tuple[np.ndarray, float]:
        """First column of ``f(H)`` and the largest flow out of the basis on the way."""
        if self.dt is None:
            quarter, last = expm(0.25 * step * h[: k + 1, : k + 1]), None
        else:
            once, steps = np.eye(k + 1) + self.dt * h[: k + 1, : k + 1], round(step / self.dt)
            quarter = np.linalg.matrix_power(once, steps // 4)
            last = quarter @ np.linalg.matrix_power(once, steps % 4)
        column, leak = quarter[:, 0], 0.0
        if not np.abs(quarter).max() < MOST:
            return np.full(k + 1, np.inf), np.inf
        for matrix in (None, quarter, quarter, quarter if last is None else last):
            column = column if matrix is None else matrix @ column
            leak = max(leak, float(abs(column[k]) / max(np.linalg.norm(column[:k]), 1e-300)))
        return column, leak

    def _arnoldi(self, v: np.ndarray, kappa: float) -> tuple[np.ndarray, np.ndarray]:
        """Hessenberg matrix and basis; a direction that rounding alone could make ends it."""
        coefficients, identities = self._centred()
        m = min(self.basis, len(v))
        h, q = np.zeros((m + 2, m + 2)), np.zeros((m + 1, len(v)))
        q[0], largest = v, 0.0
        for j in range(m):
            w = self._apply(q[j], coefficients, identities, kappa)
            largest = max(largest, float(np.linalg.norm(w)))
            for _ in range(2):  # twice is enough to keep the basis orthogonal to rounding
                overlap = q[: j + 1] @ w
                h[: j + 1, j] += overlap
                w -= overlap @ q[: j + 1]
            left = float(np.linalg.norm(w))
            if left <= 4 * EPS * max(self.norm, largest) or j + 1 == len(v):
                return h, q[: j + 1]
            h[j + 1, j] = left
            q[j + 1] = w / left
        return h, q[:m]

    def _centred(self) -> tuple[np.ndarray, np.ndarray]:
        """``A_i = sum_j a[i, j] W_j + b[i]``: the generator whose growth ``centre`` is taken out, and its derivatives.

        Of Euler steps ``(1 + dt W) exp(-dt (c_0 + c_1 h + c_2 h^2/2)) = 1 + dt A``.
        """
        dt, n = self.dt or 0.0, len(self.products)
        c = np.pad(self.centre, (0, 3 - n))
        factor = np.exp(-c[0] * dt)
        drop = factor * np.array([1.0, -c[1] * dt, c[1] ** 2 * dt**2 - c[2] * dt])  # derivatives of the exponential
        over = np.array([np.expm1(-c[0] * dt) / dt if dt else -c[0], -factor * c[1], factor * (c[1] ** 2 * dt - c[2])])
        a = np.array([[comb(i, j) * drop[i - j] if i >= j else 0.0 for j in range(n)] for i in range(n)])
        return a, over[:n]

    def _apply(self, v: np.ndarray, a: np.ndarray, b: np.ndarray, kappa: float) -> np.ndarray:
        """``d p_i / dt = sum_k C(i, k) A_(i-k) p_k``, with ``p_k`` in units of ``kappa^k``."""
        parts = v.reshape(len(self.products), self.size)
        out = np.zeros_like(parts)
        for k, part in enumerate(parts):
            flows = [product(part * self.root) / self.root for product in self.products[: len(parts) - k]]
            for i in range(k, len(parts)):
                order = i - k
                flow = sum(a[order, j] * flows[j] for j in range(order + 1)) + b[order] * part
                out[i] += comb(i, k) * kappa ** (k - i) * flow
        return out.ravel()
