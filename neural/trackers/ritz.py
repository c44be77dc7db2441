"""Where detailed balance holds: short symmetric flows supply trial states, their span supplies ``ln Z`` (`spanning`).

The trial states are networks, and all sums over configurations are estimated from samples of them (`span`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction
from vanbench.neural.trackers.base import Problem
from vanbench.neural.trackers.proposal import checked, tilted
from vanbench.neural.trackers.span import BLOCKS, Span
from vanbench.neural.trackers.spanning import Spanning, spread
from vanbench.neural.trackers.tdvp_symmetric import SymmetricTDVP


class Ritz(Spanning):
    """``ln Z`` from the span of networks on the symmetric flows from the start and from its tilts.

    dt, flow_samples, damping
        of the flows, as ``dt``, ``samples``, ``damping`` of `SymmetricTDVP`.
    samples, second
        configurations of each network of the span, and those of them for the next power of ``H`` (see `span`).
    starts
        tilts towards value 0 that the other flows start from, one flow for each.
    first, growth
        networks are taken at the flow time ``first``, and then at ``growth`` times the last, but at least ``first``
        later.
    still
        relative change of ``ln Z`` ahead and of the largest Ritz value that counts as none.
    """

    name = "ritz"
    span: Span

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.4,
        flow_samples: int = 800,
        damping: float = 1e-3,
        samples: int = 300,
        second: int = 50,
        starts: tuple[float, ...] | float = (0.7, 1.4, 2.8),
        first: float = 0.5,
        growth: float = 1.5,
        still: float = 2e-4,
    ):
        if samples < 10 * BLOCKS:
            raise InputError(f"samples = {samples}: ritz needs at least {10 * BLOCKS} of each network.")
        if not 2 * BLOCKS <= second <= samples:
            raise InputError(f"second = {second}: it must lie from {2 * BLOCKS} to samples.")
        super().__init__(problem, first, growth, still)
        options = {"dt": dt, "samples": flow_samples, "damping": damping}
        self.flows, self.networks = [], []
        beginning = problem.ensemble.frozen()
        for tilt in (0.0, *checked(starts)):
            problem.ensemble.load(tilted(beginning, tilt))
            # a flow that begins in the rare phase needs no samples that reach it
            own = options if tilt == 0.0 else {**options, "tilts": ()}
            self.flows.append(SymmetricTDVP(problem, **own))
            self.networks.append(problem.ensemble.frozen())
        self.span = Span(problem, self.flows[0], samples - samples % BLOCKS, second - second % BLOCKS)
        for network in self.networks:
            problem.ensemble.load(network)
            self.span.add()
        problem.ensemble.load(beginning)
        self._begin()

    @property
    def measured(self) -> Tensor:
        """Configurations of the square of ``exp(t H / 2) v``, ``(R, n, n_sites)``, in proportion to their weights.

        As many as count, for the field where fewest do: more would make standard errors too small.
        """
        assert self.span.x is not None
        weights, x = self.span.weights(self.now), self.span.x
        order = x.double().mean(2).argsort(1)  # as strata, so that picking adds no noise to the density
        x = x.gather(1, order[..., None].expand_as(x))
        effective = weights.shape[1] * float(effective_fraction(weights).min())
        return spread(weights.gather(1, order), x, max(2, round(effective)))

    def _flow(self, time: float, moving: list[int]) -> None:
        for i, flow in enumerate(self.flows):
            self.problem.ensemble.load(self.networks[i])
            at = self.flowed
            while at < time * (1 - 1e-12):
                step = flow.step(time - at)
                at += step.dt
                self.warnings += step.warnings
            self.networks[i] = self.problem.ensemble.frozen()
            self.span.add()
        self.problem.ensemble.load(self.networks[0])

    def _told(self) -> dict[str, Tensor]:
        return {"ess": self.span.effective(self.now)}

    def state(self) -> Mapping[str, Any]:
        return {
            "flows": [dict(flow.state()) for flow in self.flows],
            "networks": [dict(network) for network in self.networks],
            "span": dict(self.span.state()),
            **self._place(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        for flow, stored in zip(self.flows, state["flows"]):
            flow.load(stored)
        self.networks = state["networks"]
        self.span.load(state["span"])
        self._resume(state)
