"""Clones steered from the samples of a network, in both directions from the middle of the trajectory.

Under detailed balance with the start in equilibrium the left vector is ``l_t(x) = p_t(x) / pi(x)``, and

    Z_t = sum_x pi(x) l_{t/2}(x)^2 .

`TDVP` in the symmetrised picture follows ``phi_t``, proportional to the summand. A clone starts from a sample ``x`` of
its network and walks twice for ``t/2``, towards the start and the end of a trajectory; each walk is guided by an
approximate ``l`` of the time left to it, and its weight averages to ``l_{t/2}(x)``. So ``Z`` is unbiased whatever
network and guide, and its noise is what they miss of ``l``. The logarithms of the guides are sums over small clusters
of sites (`exact.trajectories.guide`), which walkers follow at about twice the cost of their own rates; they flow along
the best tangent vector on the network's samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import Connections
from vanbench.exact.statistics import effective_fraction, relative_weights, systematic_sample
from vanbench.exact.trajectories.cloning import even_out
from vanbench.exact.trajectories.guide import Clusters, Guide, connected, flat, velocity
from vanbench.exact.trajectories.jumptables import JumpTables, advance, compile_moves
from vanbench.neural.run.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import BALANCE, Observed, Problem, Step, Tracker, Variant
from vanbench.neural.trackers.options import option
from vanbench.neural.trackers.proposal import draw
from vanbench.neural.trackers.tangent.amplitude import log_equilibrium
from vanbench.neural.trackers.tangent.tangent import Flow
from vanbench.neural.trackers.tangent.tdvp import TDVP
from vanbench.neural.trackers.walkers.clones import beside, doubt, enough, independent

Schedule = list[tuple[float, Guide, np.ndarray]]  # spans, each with its guide, as itself and as what walkers read
LARGEST = 3  # sites of the guides' clusters
ENOUGH = 4  # samples for each function of a guide
PIECES = 4  # guides of a walk, at least


@dataclass
class Guided:
    """The ``network`` and its flow; ``guides`` of each ``s`` at the times ``knots``; ``ends`` of trajectories to
    measure on; ``log_norm``, of the equilibrium on the support; ``ln Z`` so far with its covariance."""

    network: Flow
    log_norm: Tensor
    knots: list[float]
    guides: list[list[Guide]]
    ln_z: Tensor
    covariance: Tensor
    ends: Tensor


@dataclass(frozen=True)
class GuidedClones(Tracker[Guided]):
    """Pairs of walkers for each report time, guided by a network that tdvp (symmetrised) evolves.

    Between report times ``ln Z`` is the network's.
    """

    name = "guided-clones"
    variants = (Variant("as tdvp, and two Gillespie walks per clone and report time", needs=(BALANCE,)),)
    saved = (Guided, Guide, Clusters, *TDVP.saved)

    clones: int = option(20_000, "total number of pairs of walkers for each s", least=1)
    populations: int = option(10, "number of independent populations, whose scatter gives the standard error", least=2)
    every: float = option(
        0.5, "longest time for which walkers keep a guide; each change costs a pass over all walkers", least=1e-3
    )
    samples: int = option(1000, "samples of the network's tdvp", least=10)
    dt: float = option(0.2, "time step of the network's tdvp", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        enough(self.clones, self.populations)

    @property
    def size(self) -> int:
        """Of a population."""
        return self.clones // self.populations

    @property
    def longest_step(self) -> float:
        return self.dt

    @property
    def flow(self) -> TDVP:
        return TDVP(picture="symmetrised", control="ln_Z", dt=self.dt, samples=self.samples)

    def init(self, problem: Problem) -> Guided:
        network = self.flow.init(problem)
        start = network.batch  # of networks that still are the equilibrium: the sum of its weights on the support
        log_norm = (log_equilibrium(problem, start.x) - start.log_prob).mean(1, keepdim=True)
        guides = [[flat(problem.derived(_clusters, self.samples))] for _ in problem.s]
        covariance = torch.zeros(2 * (len(problem.s),), dtype=torch.float64, device=network.ln_z.device)
        return Guided(network, log_norm, [0.0], guides, network.ln_z, covariance, start.x[:, : start.plain])

    def observe(self, problem: Problem, state: Guided) -> Observed:
        """Ends of trajectories in proportion to their weights, few enough to be independent."""
        return Observed(state.ends, certain=[doubt(self.populations)] * len(problem.s))

    def step(self, problem: Problem, state: Guided, limit: float) -> tuple[Guided, Step]:
        before = state.network.batch.x.cpu().numpy()
        network, step = self.flow.step(problem, state.network, limit)
        guided = self._guide(problem, state, step.dt / 2, before, network.batch.x.cpu().numpy())
        after = replace(guided, network=network)
        increment = step.increments[step.default]
        after.ln_z, after.covariance = state.ln_z + increment.value, state.covariance + increment.covariance
        off = None
        if step.dt >= limit * (1 - 1e-9):
            after, step.diagnostics["ess"], off = self._walk(problem, after)
        # the log adds covariances up: a step is given the growth of that of the whole
        grown = Increment(after.ln_z - state.ln_z, after.covariance - state.covariance)
        return after, Step(step.dt, {"clones": grown}, "clones", step.diagnostics, warnings=step.warnings, off=off)

    def _guide(self, problem: Problem, state: Guided, span: float, before: np.ndarray, after: np.ndarray) -> Guided:
        """With the next guide of each ``s`` by Heun's rule, on the network's samples of both ends of the step."""
        out = []
        for guides, connections, start, end in zip(state.guides, problem.derived(_connections), before, after):
            first = velocity(guides[-1], connections, start)
            second = velocity(guides[-1].plus(first, span), connections, end)
            out.append([*guides, guides[-1].plus(first, span / 2).plus(second, span / 2)])
        return replace(state, guides=out, knots=[*state.knots, state.knots[-1] + span])

    def _walk(self, problem: Problem, state: Guided) -> tuple[Guided, Tensor, Tensor]:
        """With ``ln Z`` at the time of the last knot and ``ends``; the clones' least effective part, ``(R,)``; how far
        ``ln Z`` is off beside its standard error, ``(R,)``."""
        generator = problem.generator
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        tables = problem.derived(_tables, self.samples)
        schedules = [self._schedule(state.knots, *each) for each in zip(state.guides, tables)]
        starts = draw(problem, self.size * self.populations, self.flow.tilted(problem), self.flow.share)
        equilibrium = log_equilibrium(problem, starts.x) - state.log_norm
        ratio = (equilibrium - starts.log_prob).double()
        walked = []
        for p in range(self.populations):
            part = (slice(None), slice(p, None, self.populations))
            weights = starts.mean[part].log().log_softmax(1) + ratio[part]
            clones = zip(schedules, tables, starts.x[part].cpu().numpy(), weights.cpu().numpy())
            walked += [population(*each, np.random.default_rng([seed, p])) for each in clones]
        ln_z, ess, ends = zip(*walked)  # the same random numbers for each s
        by_field = (self.populations, len(tables))
        kept = self._kept(np.stack(ends).reshape(*by_field, self.size, -1), np.array(ln_z).reshape(by_field))
        values = torch.tensor(ln_z, dtype=torch.float64, device=state.ln_z.device).view(by_field).T
        whole = values.logsumexp(1) - np.log(self.populations)
        covariance = covariance_of_means(torch.exp(values - whole[:, None]))
        least = torch.tensor(ess, dtype=torch.float64).view(by_field).amin(0)
        after = replace(state, ln_z=whole, covariance=covariance, ends=kept.to(problem.ensemble.device))
        return after, least, beside(values)

    def _kept(self, ends: np.ndarray, ln_z: np.ndarray) -> Tensor:
        """Of the ends ``(populations, R, size, n_sites)`` those to measure on; each population weighs by its ``Z``."""
        every = np.concatenate(list(ends), 1)
        return torch.from_numpy(independent(every, np.repeat(ln_z.T, self.size, 1), self.populations))

    def _schedule(self, knots: list[float], guides: list[Guide], tables: JumpTables) -> Schedule:
        """Spans from the middle outwards, each with the guide of the middle of the time that is left in it.

        First no span, with the guide of the middle of the trajectory itself, which starts are chosen by.
        """
        last = knots[-1]
        pieces = max(PIECES, int(np.ceil(last / self.every - 1e-9)))
        left = [last, *(np.arange(pieces, 0, -1) - 0.5) * last / pieces, 0.0]
        path = np.stack([guide.factors for guide in guides], 1)
        clusters = guides[0].clusters
        along = [Guide(clusters, np.array(f)) for f in zip(*(np.interp(left, knots, one) for one in path))]
        spans = [0.0, *pieces * [last / pieces], 0.0]
        return [(span, guide, tables.steering.tables(guide)) for span, guide in zip(spans, along)]


def _connections(problem: Problem) -> list[Connections]:
    return [Connections(problem.system, s, problem.observable) for s in problem.s]


def _tables(problem: Problem, samples: int) -> list[JumpTables]:
    clusters = problem.derived(_clusters, samples)
    return [compile_moves(problem.system, s, problem.observable, clusters) for s in problem.s]


def _clusters(problem: Problem, samples: int) -> Clusters:
    """The largest with few enough functions for a fit to ``samples``."""
    reach = connected(problem.system, 1)
    for size in range(2, LARGEST + 1):
        larger = connected(problem.system, size)
        if ENOUGH * len(larger.sites) > samples:
            break
        reach = larger
    return reach


def population(
    schedule: Schedule, tables: JumpTables, starts: np.ndarray, log_equilibrium: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, np.ndarray]:
    """``ln Z`` from a pair of walkers from each of the ``starts``, their least effective part, and ends in proportion
    to the weights.

    Sums over the ``starts`` with the weights ``exp(log_equilibrium)`` are averages over the equilibrium.
    """
    size, banked = len(starts), 0.0
    pairs = np.repeat(starts[:, None], 2, 1)  # towards the start and towards the end of the trajectory
    walkers = pairs.reshape(2 * size, -1)
    weights = log_equilibrium + np.log(size) + 2 * schedule[0][1].log(starts)
    least = float(effective_fraction(relative_weights(weights)))
    for (span, now, steer), (_, after, _) in pairwise(schedule):
        banked += even_out(pairs, np.zeros(size), weights, rng)
        gained = np.zeros(2 * size)
        if span > 0:
            advance(tables, walkers, np.zeros(0), gained, span, int(rng.integers(2**62)), steer)
        gained += after.plus(now, -1.0).log(walkers)
        weights += gained.reshape(size, 2).sum(1)
        least = min(least, float(effective_fraction(relative_weights(weights))))
    last = relative_weights(weights)
    ends = pairs[systematic_sample(last, size, rng.random()), 0]
    return banked + float(np.log(last.mean()) + weights.max()), least, ends
