"""Matrix products as trial states, whose matrix elements are exact (`train_span`): no sample, no noise.

What symmetrised steps cut from their bonds takes the weight of a rare phase with it. Here a few matrix products of a
small bond, on the way from the start and from its tilts, give all times at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.statistics import effective_fraction
from vanbench.exact.warning import RunWarning
from vanbench.neural.architectures.matrix_product import MatrixProduct
from vanbench.neural.trackers.base import Observed, Problem
from vanbench.neural.trackers.subspace.spanned import Spanned, effective, spread
from vanbench.neural.trackers.subspace.train_span import TrainSpan
from vanbench.neural.trackers.tebd.tebd import TEBD, Vectors, evolutions_of

FACTOR = 4.0  # steps longer than `TEBD` would warn of by this make trial states still
TOO_MUCH = 1e-2  # cut on every flow; the stored 5x5 has cut 4e-3, and its ln Z is 2e-4 off


@dataclass(frozen=True)
class Trains:
    """On symmetrised flows from the start and from its tilts; the network is that of the flow from the start."""

    dt: float
    order: int
    cutoff: float
    measure: int
    tilts: tuple[float, ...]

    def _tracker(self, k: int) -> TEBD:
        """Of the ``k``-th flow. Of the first one the growth is taken, not its direction alone."""
        order = 4 if k == 0 else self.order
        return TEBD(picture="symmetrised", dt=self.dt, order=order, cutoff=self.cutoff)

    def begin(self, problem: Problem) -> tuple[list[Vectors], TrainSpan]:
        fields, bond = range(len(problem.s)), cast(MatrixProduct, problem.ensemble.net).bond
        flows = [self._tracker(0).init(problem)]
        flows += [self._tracker(1).tilted(problem, h) for h in self.tilts]
        span = TrainSpan.of(len(fields), len(flows), bond)
        for flow in flows:
            span = span.taken(flow.states, self._hamiltonians(problem), fields)
        return flows, span.flowed(0.0, np.zeros(len(fields)), flows[0].lost, fields)

    def _hamiltonians(self, problem: Problem) -> list[LocalOperatorSum]:
        return [evolution.generator for evolution in problem.derived(evolutions_of, self._tracker(0))]

    def flow(
        self, problem: Problem, state: Spanned, time: float, moving: Sequence[int]
    ) -> tuple[list[Vectors], TrainSpan, list[RunWarning]]:
        length, grown, flows, span = time - state.flowed, np.zeros(len(problem.s)), [], state.span
        assert isinstance(span, TrainSpan)
        for k, flow in enumerate(state.flows):
            tracker = self._tracker(k)
            longest = min(e.tebd.longest for e in problem.derived(evolutions_of, tracker)) * (FACTOR if k else 1.0)
            steps = max(1, math.ceil(length / min(self.dt, longest) - 1e-9))
            for _ in range(steps):
                flow, growth = tracker.advance(problem, flow, length / steps, moving)
                grown += 0.0 if k else growth
            flows.append(flow)
            span = span.taken(flow.states, self._hamiltonians(problem), moving)
        span = span.flowed(time, grown, torch.stack([flow.lost for flow in flows]).amax(0), moving)
        self._tracker(0).hand_over(problem, flows[0])
        warnings = []
        if (cut := float(_lost(flows).max())) > TOO_MUCH:
            bond = int(flows[0].bonds.max())
            text = f"bonds of {bond} have cut {cut:.1g} or more of the squares of every flow: take a larger bond"
            warnings.append(RunWarning("bond", text))
        return flows, span, warnings

    def observe(self, problem: Problem, state: Spanned) -> Observed:
        assert isinstance(state.span, TrainSpan)
        x, weights = state.span.drawn(state.now, self.measure, problem.generator)
        few = spread(weights, x, min(self.measure, effective(weights)))
        # of each train's own samples: those of other times and phases need not count
        part = (effective_fraction(weights) * torch.tensor(state.span.sizes)).clamp(max=1)
        return Observed(few.to(problem.ensemble.device), effective=part)

    def told(self, state: Spanned) -> dict[str, Tensor]:
        return {"lost": _lost(state.flows), "bond": state.flows[0].bonds}


def _lost(flows: Sequence[Vectors]) -> Tensor:
    """What bonds have cut on the flow that lost least, ``(R,)``."""
    return torch.stack([flow.lost for flow in flows]).amin(0)
