"""Short flows by gates supply trial states, the span of these supplies ``ln Z`` (`spanning`), without a sample.

What `SymmetricGates` cuts from its bonds takes the weight of a rare phase with it. Here a few matrix products of a
small bond, on the way from the start and from its tilts, give all times at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction
from vanbench.exact.warning import RunWarning
from vanbench.neural.architectures.matrix_product import MatrixProduct
from vanbench.neural.trackers.base import Problem
from vanbench.neural.trackers.gates_symmetric import SymmetricGates
from vanbench.neural.trackers.proposal import checked
from vanbench.neural.trackers.spanning import Spanning, spread
from vanbench.neural.trackers.train_span import TrainSpan

MOST = 50.0  # of a tilt
FACTOR = 4.0  # steps longer than `Gates` would warn of by this make trial states still
TOO_MUCH = 1e-2  # cut on every flow; the stored 5x5 has cut 4e-3, and its ln Z is 2e-4 off


class GatesRitz(Spanning):
    """``ln Z`` from the span of matrix products on the symmetric flows from the start and from its tilts.

    The network is that of the flow from the start. The standard error of ``ln Z``, and of ``scgf`` in the log, is what
    it changes by without a part of the span (`train_span`). In the log, ``lost`` is what bonds have cut on the flow
    that lost least.

    dt, order, cutoff
        of the tilted flows, as of `SymmetricGates`. Matrix elements are exact: a ``dt`` that would be long there will
        do. The flow from the start, of which the growth is taken too, is of order 4.
    starts
        tilts towards value 0 that the other flows start from, one flow for each.
    first, growth
        states are taken at the flow time ``first``, and then at ``growth`` times the last, but at least ``first``
        later.
    still
        relative change of ``ln Z`` ahead and of the largest Ritz value that counts as none.
    measure
        configurations for the observables, those of the middle of the trajectory in the s-ensemble; as many as count
        are kept. They ask more of the span than ``ln Z``: where two phases coexist take a smaller ``still``.
    """

    name, noiseless = "gates", True
    acts_on = "matrix-product"
    span: TrainSpan
    least = 10.0

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.8,
        order: int = 2,
        cutoff: float = 1e-12,
        starts: tuple[float, ...] | float = (0.7, 1.4, 2.8),
        first: float = 0.5,
        growth: float = 1.5,
        still: float = 2e-4,
        measure: int = 20000,
    ):
        super().__init__(problem, first, growth, still)
        tilts = checked(starts)
        if not tilts or len(set(tilts)) < len(tilts) or not all(0 < abs(h) <= MOST for h in tilts):
            raise InputError(f"starts = {starts!r}: they must be different numbers up to {MOST:g}, none of them 0.")
        self.main = SymmetricGates(problem, dt, 4, cutoff, measure)  # its growth is taken, not its direction alone
        trial = SymmetricGates(problem, dt, order, cutoff, measure)
        self.flows = [self.main, *(trial.tilted(h) for h in tilts)]
        bond = cast(MatrixProduct, problem.ensemble.net).bond
        self.span = TrainSpan([evolution.generator for evolution in self.main.evolutions], len(self.flows), bond)
        for flow in self.flows:
            self.span.add([e.state for e in flow.evolutions], range(len(problem.s)))
        self.span.flowed(0.0, np.zeros(len(problem.s)), self.main.lost, range(len(problem.s)))
        self._measured: tuple[float, Tensor] | None = None
        self._begin()

    @property
    def measured(self) -> Tensor:
        """Configurations of the square of ``exp(t H / 2) v``, ``(R, n, n_sites)``."""
        if self._measured is None or self._measured[0] != self.now:
            n = self.main.measure
            x, weights = self.span.drawn(self.now, n, self.problem.generator)
            effective = weights.shape[1] * float(effective_fraction(weights).min())
            few = spread(weights, x, min(n, max(2, round(effective))))  # more would make standard errors too small
            self._measured = self.now, few.to(self.problem.ensemble.device)
        return self._measured[1]

    def _flow(self, time: float, moving: list[int]) -> None:
        span = time - self.flowed
        grown = np.zeros(len(self.problem.s))
        for flow in self.flows:
            longest = flow.longest * (1.0 if flow is self.main else FACTOR)
            steps = max(1, math.ceil(span / min(flow.dt, longest) - 1e-9))
            for _ in range(steps):
                growth = flow.advance(span / steps, moving)
                grown += growth if flow is self.main else 0.0
            self.span.add([e.state for e in flow.evolutions], moving)
        lost = torch.stack([flow.lost for flow in self.flows]).amax(0)
        self.span.flowed(time, grown, lost, moving)
        self.main.hand_over()
        if (cut := float(self._lost().max())) > TOO_MUCH:
            bond = int(self.main.bonds.max())
            text = f"{cut:.1g} of every flow's squares or more have been cut from bonds of {bond}: take a larger bond"
            self.warnings.append(RunWarning("bond", text))

    def _lost(self) -> Tensor:
        return torch.stack([flow.lost for flow in self.flows]).amin(0)

    def _told(self) -> dict[str, Tensor]:
        return {"lost": self._lost(), "bond": self.main.bonds}

    def state(self) -> Mapping[str, Any]:
        return {
            "flows": [dict(flow.state()) for flow in self.flows],
            "span": dict(self.span.state()),
            "measured": self._measured,
            **self._place(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        for flow, stored in zip(self.flows, state["flows"]):
            flow.load(stored)
        self.span.load(state["span"])
        self._measured = state["measured"]
        self._resume(state)
