"""Flows that need not follow, because what they pass through spans ``exp(t H)``.

A flow of a symmetric operator that is cut or projected at each step loses the rare phase that decides the long times,
by a factor that it never gets back. Here the flows only supply trial states: at a growing sequence of times these are
taken into a span, which solves for the weights of all of them. Further flows start from the start tilted towards value
0, inside the other phase. Once new states change neither ``ln Z`` ahead nor the largest Ritz value, the flows stop, and
any later time follows from the span.

The standard error of ``ln Z``, and of ``scgf`` in the log, is the jackknife's for networks; for matrix products what it
changes by without a part of the span.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.mps.state import MatrixProductState
from vanbench.exact.warning import RunWarning
from vanbench.neural.run.estimators import Increment
from vanbench.neural.trackers.base import BALANCE, PAIRS, Observed, Problem, Step, Tracker, Variant
from vanbench.neural.trackers.options import Numbers, option
from vanbench.neural.trackers.subspace.networks import Networks
from vanbench.neural.trackers.subspace.span import BLOCKS, Span
from vanbench.neural.trackers.subspace.spanned import Spanned, Trials
from vanbench.neural.trackers.subspace.train_span import Field, TrainSpan
from vanbench.neural.trackers.subspace.trains import Trains
from vanbench.neural.trackers.tangent.tdvp import TDVP
from vanbench.neural.trackers.tebd.tebd import NETWORK, Vectors

ROUNDING = 1e-10  # of rates, which are zero at s = 0
AGAIN = 2  # times in a row that nothing must change before the flows stop
LEAST = {"networks": 0.0, "matrix-products": 10.0}  # flow time before which nothing counts as still
STEPS = {"networks": 0.4, "matrix-products": 0.8}
MOST = 50.0  # of a tilt
MIDDLE = "ln Z and observables in the middle, also at any later time, and the scgf"


@dataclass(frozen=True)
class Ritz(Tracker[Spanned]):
    """Takes ln Z from the span of trial states along short symmetrised flows; for phases that coexist."""

    name = "ritz"
    variants = (
        Variant(
            "short flows by tdvp, and sums over the neighbours of neighbours", gives=MIDDLE,
            when={"states": "networks"}, needs=(BALANCE,), middle=True,
        ),
        Variant(
            "short flows by tebd at a small bond", gives=MIDDLE, when={"states": "matrix-products"},
            needs=(BALANCE, PAIRS), network=NETWORK, middle=True, noiseless=True,
        ),
    )  # fmt: skip
    saved = (Spanned, Span, TrainSpan, Field, Vectors, MatrixProductState, *TDVP.saved)

    states: str = option("networks", "the trial states", among=("networks", "matrix-products"))
    dt: float = option(0.0, "longest time step of the flows; 0: 0.4 for networks, 0.8 for matrix products", least=0)
    starts: Numbers = option(
        (0.7, 1.4, 2.8), "tilts towards value 0 from which additional flows start, one flow for each"
    )
    first: float = option(0.5, "flow time at which states are first taken", above=0)
    growth: float = option(
        1.5, "states are taken again at this multiple of the last flow time, at least `first` later", above=1
    )
    still: float = option(
        2e-4, "relative change of the later ln Z and of the largest Ritz value that counts as converged", above=0
    )
    flow_samples: int = option(800, "networks: configurations per stage of the flows", least=10)
    damping: float = option(1e-3, "networks: damping in the flows, as in tdvp", least=0)
    samples: int = option(300, "networks: configurations of each network of the span", least=10 * BLOCKS)
    second: int = option(50, "networks: how many of them are used for the next power of H", least=2 * BLOCKS)
    order: int = option(
        2, "matrix-products: order of the tilted flows, as in tebd; the flow from the start has order 4", among=(2, 4)
    )
    cutoff: float = option(1e-12, "matrix-products: cutoff in the flows, as in tebd", least=0, below=1)
    measure: int = option(
        20000, "matrix-products: samples for the observables, of which the effective number is kept. Observables need "
        "a better span than ln Z: where two phases coexist, take a smaller `still`", least=2,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.second > self.samples:
            raise InputError(f"second = {self.second}: it must not be above samples.")
        tilts = self.starts
        if self.states == "matrix-products" and (
            not tilts or len(set(tilts)) < len(tilts) or not all(0 < abs(h) <= MOST for h in tilts)
        ):
            raise InputError(f"starts = {tilts!r}: they must be different numbers up to {MOST:g}, none of them 0.")

    @property
    def longest_step(self) -> float:
        return self.dt or STEPS[self.states]

    @property
    def trials(self) -> Trials:
        if self.states == "networks":
            return Networks(self.longest_step, self.flow_samples, self.damping, self.samples, self.second, self.starts)
        return Trains(self.longest_step, self.order, self.cutoff, self.measure, self.starts)

    def init(self, problem: Problem) -> Spanned:
        flows, span = self.trials.begin(problem)
        quiet = torch.zeros(len(problem.s), dtype=torch.int64)
        return Spanned(flows, span, 0.0, 0.0, quiet, None, *_estimate(span, 0.0))

    @torch.no_grad()
    def step(self, problem: Problem, state: Spanned, limit: float) -> tuple[Spanned, Step]:
        """To ``limit``, or as far as the next states reach."""
        warnings: list[RunWarning] = []
        following = self._next(state.flowed)
        before, moving = state, bool((state.quiet < AGAIN).any())
        dt = min(limit, max(following - state.now, self.first)) if moving else limit
        if moving and state.flowed < state.now + dt:
            state, warnings = self._extend(problem, state, following)
        now = state.now + dt
        ln_z, covariance = _estimate(state.span, now)
        state = replace(state, now=now, ln_z=ln_z, covariance=covariance)
        # the log adds covariances up: a step is given the growth of that of the whole
        increment = Increment(ln_z - before.ln_z, covariance - before.covariance)
        top, influences = state.span.top()
        told = {
            "scgf": top,
            "scgf_stderr": influences.square().sum(1).sqrt(),
            "flowed": torch.full_like(top, state.flowed),
            "networks": torch.tensor(state.span.sizes).to(top),
            **self.trials.told(state),
        }
        off = state.span.missed(now, len(state.flows))
        return state, Step(dt, {self.name: increment}, self.name, told, warnings=warnings, off=off)

    def observe(self, problem: Problem, state: Spanned) -> Observed:
        return self.trials.observe(problem, state)

    def _extend(self, problem: Problem, state: Spanned, time: float) -> tuple[Spanned, list[RunWarning]]:
        """Flow on to ``time``, and see whether the new states changed anything."""
        moving = (state.quiet < AGAIN).nonzero()[:, 0].tolist()
        flows, span, warnings = self.trials.flow(problem, state, time, moving)
        quiet = state.quiet
        if state.ahead is not None:
            rates = _rates(span, time)
            same = ((rates - state.ahead).abs() <= self.still * rates.abs() + ROUNDING).all(0).cpu()
            same &= time >= LEAST[self.states]
            quiet = torch.where(same | (quiet >= AGAIN), quiet + 1, 0)
        ahead = _rates(span, self._next(time))
        return replace(state, flows=flows, span=span, flowed=time, quiet=quiet, ahead=ahead), warnings

    def _next(self, flowed: float) -> float:
        """The flow time at which the next states are taken."""
        return max(flowed + self.first, flowed * self.growth)


def _rates(span: Span | TrainSpan, time: float) -> Tensor:
    """``ln Z / t`` at twice a flow time, and the largest Ritz value: ``(2, R)``."""
    return torch.stack([span.ln_z(2 * time)[0] / (2 * time), span.top()[0]])


def _estimate(span: Span | TrainSpan, t: float) -> tuple[Tensor, Tensor]:
    value, influences = span.ln_z(t)
    return value, influences @ influences.T
