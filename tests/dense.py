"""Small systems beside dense matrices from `independent`: their ``ln Z`` and its derivatives by dense exponentials."""

from __future__ import annotations

import math

import independent as ind
import numpy as np
from scipy.linalg import expm

from vanbench.exact import StateSpace, build, solve

RATES = {"p": 1.3, "q": 0.4, "alpha": 0.7, "beta": 0.9, "gamma": 0.2, "delta": 0.35}


def values(frame) -> dict[str, float]:
    return dict(zip(frame["quantity"], frame["value"]))


def get(system, s, t, quantity, **options) -> float:
    frame = solve(system, s, t, (quantity,), **options)
    assert len(frame) == 1
    return float(frame["value"][0])


def cases():
    fa = ind.constrained(ind.neighbours((5,), "up"), 0.3, 0.0, True)
    yield "fa", build("fa", (5,), c=0.3), fa
    fa2 = ind.constrained(ind.neighbours((2, 3), "down"), 0.4, 0.0, False)
    yield "fa-2d", build("fa", (2, 3), c=0.4), fa2
    east = ind.constrained(ind.neighbours((2, 3), "down", lower_only=True), 0.2, 0.0, False, (0,))
    yield "south-east", build("east", (2, 3), c=0.2, initial="up"), east
    yield "voter", build("voter", (5,), initial="bernoulli:0.3"), ind.voter(ind.neighbours((5,), "periodic"), 0, "")
    yield "asep", build("asep", (5,), **RATES), ind.exclusion((5,), **RATES)
    yield "ssep-ring", build("ssep", (6,), boundary="periodic"), ind.exclusion((6,), boundary="periodic")


CASES = {name: (system, full) for name, system, full in cases()}


class Dense:
    """``ln Z`` of the activity by a dense exponential; derivatives by the complex step, exact to rounding.

    ``W_s = D + e^-s K`` at ``s + i h``: ``d ln Z/ds = Im ln Z / h`` with no difference taken.
    """

    def __init__(self, system, full):
        x = StateSpace(system).configurations()
        w = ind.restrict(full, x).toarray()
        self.diagonal, self.jumps = np.diag(np.diag(w)), w - np.diag(np.diag(w))
        weight = system.initial[np.arange(system.n_sites), x].prod(1)
        self.p0, self.x, self.n = weight / weight.sum(), x, system.n_sites

    def w(self, s):
        return self.diagonal + np.exp(-s) * self.jumps

    def theta(self, s):
        return float(np.linalg.eigvals(self.w(s)).real.max())

    def evolved(self, s, t):
        """``(p, shift)``: ``exp(t W_s) P_0 = exp(shift) p``, shifted so that nothing overflows."""
        theta = self.theta(np.real(s))
        return expm(t * (self.w(s) - theta * np.eye(len(self.p0)))) @ self.p0, theta * t

    def ln_z(self, s, t):
        p, shift = self.evolved(s, t)
        return shift + math.log(p.sum())

    def activity(self, s, t):
        h = 1e-30
        total = self.evolved(s + 1j * h, t)[0].sum()
        return -(total.imag / total.real) / h / (self.n * t)

    def susceptibility(self, s, t):
        h = 1e-3  # five-point formula: h^4 chi'''' / 30 and rounding / h, both near 1e-12
        k = [self.activity(s + m * h, t) for m in (-2, -1, 1, 2)]
        return (k[0] - 8 * k[1] + 8 * k[2] - k[3]) / (12 * h)

    def density(self, s, t):
        p, _ = self.evolved(s, t)
        return float(p @ self.x.sum(1) / p.sum() / self.n)
