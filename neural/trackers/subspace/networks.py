"""Networks as trial states: all sums over configurations are estimated from samples of them (`span`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vanbench.exact.warning import RunWarning
from vanbench.neural.trackers.base import Observed, Problem
from vanbench.neural.trackers.proposal import tilted
from vanbench.neural.trackers.subspace.span import BLOCKS, Span
from vanbench.neural.trackers.subspace.spanned import Spanned, effective, spread
from vanbench.neural.trackers.tangent.tangent import Flow
from vanbench.neural.trackers.tangent.tdvp import TDVP


@dataclass(frozen=True)
class Networks:
    """On symmetrised flows from the start and from its tilts. A flow: its state, and its networks."""

    dt: float
    samples: int
    damping: float
    of_each: int  # configurations
    second: int  # of them, those for the next power of H
    tilts: tuple[float, ...]

    def _tracker(self, tilt: float) -> TDVP:
        # a flow that begins in the rare phase needs no samples that reach it
        return TDVP(
            picture="symmetrised", control="ln_Z", dt=self.dt, samples=self.samples, damping=self.damping,
            tilts=None if tilt == 0.0 else (),
        )  # fmt: skip

    def begin(self, problem: Problem) -> tuple[list[tuple[Flow, dict[str, Tensor]]], Span]:
        beginning, flows = problem.ensemble.frozen(), []
        for tilt in (0.0, *self.tilts):
            _start(problem, beginning, tilt)
            flows.append((self._tracker(tilt).init(problem), problem.ensemble.frozen()))
        span = Span(self.of_each - self.of_each % BLOCKS, self.second - self.second % BLOCKS)
        for _, network in flows:
            problem.ensemble.load(network)
            span = span.with_networks(problem)
        problem.ensemble.load(beginning)
        return flows, span

    def flow(
        self, problem: Problem, state: Spanned, time: float, moving: Sequence[int]
    ) -> tuple[list[tuple[Flow, dict[str, Tensor]]], Span, list[RunWarning]]:
        flows, span, warnings = [], state.span, []
        assert isinstance(span, Span)
        for tilt, (flow, network) in zip((0.0, *self.tilts), state.flows):
            problem.ensemble.load(network)
            at, tracker = state.flowed, self._tracker(tilt)
            while at < time * (1 - 1e-12):
                flow, step = tracker.step(problem, flow, time - at)
                at += step.dt
                warnings += step.warnings
            flows.append((flow, problem.ensemble.frozen()))
            span = span.with_networks(problem)
        problem.ensemble.load(flows[0][1])
        return flows, span, warnings

    def observe(self, problem: Problem, state: Spanned) -> Observed:
        assert isinstance(state.span, Span)
        assert state.span.x is not None
        weights, x = state.span.weights(state.now), state.span.x
        order = x.double().mean(2).argsort(1)  # as strata, so that picking adds no noise to the density
        x = x.gather(1, order[..., None].expand_as(x))
        return Observed(spread(weights.gather(1, order), x, effective(weights)))

    def told(self, state: Spanned) -> dict[str, Tensor]:
        assert isinstance(state.span, Span)
        return {"ess": state.span.effective(state.now)}


def _start(problem: Problem, beginning: dict[str, Tensor], tilt: float) -> None:
    """The networks become the start, tilted."""
    if problem.ensemble.net.tiltable:
        problem.ensemble.load(tilted(beginning, tilt))
    else:
        product = problem.system.initial * np.exp(tilt * (np.arange(problem.system.local_dim) == 0))
        problem.ensemble.start_from(np.broadcast_to(product, (len(problem.s), *product.shape)))
