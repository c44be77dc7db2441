"""A system under a counting field on a matrix product state: its start, one step after another, and ``ln Z``.

The distribution is ``P(x) = D(x) psi(x)`` with a diagonal product ``D``. With ``D = sqrt(P_0)`` bonds are cut where
``P / sqrt(P_0)`` loses least, which keeps configurations that are rare at the start. Where detailed balance holds and
the start is the equilibrium measure, ``H = D^-1 W_s D`` is symmetric and ``Z_t = |exp(t H / 2) psi_0|^2``: half of the
time is enough, with half of what is cut on the way.
"""

from __future__ import annotations

import math
from copy import copy

import numpy as np

from vanbench.exact.definitions.system import Excluding, FixedSum, System
from vanbench.exact.errors import InputError
from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.mps.state import MatrixProductState
from vanbench.exact.mps.tebd import TEBD


class Evolution:
    """``exp(t W_s) P_0 / Z_t`` in steps; the sum of ``P`` stays 1, or the norm of ``psi`` where it is symmetrised.

    order
        of the splitting, as of `TEBD`.
    balanced
        ``D = sqrt(P_0)``; otherwise 1.
    symmetrised
        ``D = sqrt(P_0)``, and ``psi`` at half the time, ``exp(t H / 2) psi_0``.

    ``generator`` is ``D^-1 W_s D``. Raises ``InputError`` for a start that is no product, a conserved sum, terms on
    three sites or more, and where ``symmetrised`` asks for detailed balance that does not hold.
    """

    def __init__(
        self,
        system: System,
        s: float,
        observable: str,
        max_bond: int,
        cutoff: float = 1e-18,
        order: int = 4,
        balanced: bool = False,
        symmetrised: bool = False,
    ):
        if isinstance(system.support, FixedSum) or system.initial.ndim != 2:
            raise InputError("matrix product states need a product start, and no fixed sum of the values.")
        self.excluded = _excluded(system)
        if len(self.excluded) and max_bond < 2:
            raise InputError("bond = 1: a system with an excluded configuration needs a bond of 2 or more.")
        start = system.initial
        self.scale = np.sqrt(np.where(start > 0, start, 1.0)) if balanced or symmetrised else np.ones_like(start)
        self.symmetrised = symmetrised
        self.generator = LocalOperatorSum.tilted(system, s, observable).similar(self.scale)
        if symmetrised and not ((start[list(system.free_sites)] > 0).all() and self.generator.is_symmetric()):
            raise InputError(
                "the symmetrised picture needs detailed balance with the start as equilibrium: take the forward one."
            )
        self.tebd = TEBD(self.generator * 0.5 if symmetrised else self.generator, order)
        self.state = _start(system, self.scale, max_bond, cutoff)
        self._normalise()

    def step(self, dt: float) -> float:
        """From ``t`` to ``t + dt``; by how much ``ln Z`` has grown. Raises ``ArithmeticError`` where nothing is left,
        or nothing finite."""
        self.tebd.step(self.state, dt)
        for x in self.excluded:  # no term leads there, but what is cut does, and next to the rest it grows
            self.state.remove(x)
        growth = self._normalise()
        state = self.state
        state.tensors = [np.ascontiguousarray(tensor) for tensor in state.tensors]  # as when stored: the same rounding
        return growth

    def _normalise(self) -> float:
        size = self.state.norm if self.symmetrised else self.state.total(self.scale)
        if not (np.isfinite(size) and size > 0):
            what = "norm of the amplitude" if self.symmetrised else "total probability"
            raise ArithmeticError(f"the {what} is not positive: take a larger bond or a smaller dt.")
        self.state.divide(size)
        return (2 if self.symmetrised else 1) * math.log(size)

    def probability(self) -> MatrixProductState:
        """``P``, with the sum 1; where it is symmetrised, at half the time."""
        out = self.state.multiplied(self.scale)
        out.divide(self.state.total(self.scale))
        return out

    def tilted(self, h: float) -> Evolution:
        """The same from ``psi`` tilted towards value 0, times ``exp(h n / 2)`` with ``n`` sites at 0."""
        weights = np.full_like(self.scale, math.exp(min(-h, 0.0) / 2))  # none above 1
        weights[:, 0] = math.exp(min(h, 0.0) / 2)
        other = copy(self)  # with the same propagators
        other.state = self.state.multiplied(weights)
        other._normalise()
        return other


def _excluded(system: System) -> np.ndarray:
    """``(m, n_sites)``."""
    return np.atleast_2d(system.support.configurations) if isinstance(system.support, Excluding) else np.zeros((0, 1))


def _start(system: System, scale: np.ndarray, max_bond: int, cutoff: float) -> MatrixProductState:
    """The product start, conditioned on the support, over ``scale``; not normalised."""
    rows, excluded = system.initial / scale, _excluded(system)
    if not len(excluded):
        return MatrixProductState.product(rows, max_bond, cutoff)
    sites = np.arange(system.n_sites)
    single = [np.eye(system.local_dim)[x] for x in excluded]
    weights = [-float(rows[sites, x].prod()) for x in excluded]
    return MatrixProductState.sum_of_products([1.0, *weights], [rows, *single], max_bond, cutoff)
