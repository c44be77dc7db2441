"""Clones steered from the samples of a network, in both directions from the middle of the trajectory.

Under detailed balance with the start in equilibrium the left vector is ``l_t(x) = p_t(x) / pi(x)``, and

    Z_t = sum_x pi(x) l_{t/2}(x)^2 .

`SymmetricTDVP` follows ``phi_t``, proportional to the summand. A clone starts from a sample ``x`` of its network and
walks twice for ``t/2``, towards the start and the end of a trajectory; each walk is guided by an approximate ``l`` of
the time left to it, and its weight averages to ``l_{t/2}(x)``. So ``Z`` is unbiased whatever network and guide, and
its noise is what they miss of ``l``. The logarithms of the guides are sums over small clusters of sites
(`exact.trajectories.guide`), which walkers follow at about twice the cost of their own rates; they flow along the
best tangent vector on the network's samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import Connections, InputError, System
from vanbench.exact.statistics import effective_fraction, relative_weights, systematic_sample
from vanbench.exact.trajectories.cloning import even_out
from vanbench.exact.trajectories.guide import Clusters, Guide, connected, flat, velocity
from vanbench.exact.trajectories.jumptables import JumpTables, advance, compile_moves
from vanbench.neural.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import Problem, Step
from vanbench.neural.trackers.clones import independent
from vanbench.neural.trackers.proposal import draw
from vanbench.neural.trackers.tdvp_symmetric import SymmetricTDVP

Schedule = list[tuple[float, Guide, np.ndarray]]  # spans, each with its guide, as itself and as what walkers read
LARGEST = 3  # sites of the guides' clusters
ENOUGH = 4  # samples for each function of a guide
SHORTEST = 1e-3  # time of a guide: a guide costs a look at every walker
PIECES = 4  # guides of a walk, at least


class GuidedClones:
    """``clones`` pairs of walkers for each report time, steered by a network that follows by `SymmetricTDVP`.

    Between report times ``ln Z`` is the network's. Raises ``InputError`` where detailed balance does not hold.

    clones, populations
        in all, for each ``s``, and the independent parts they are in, whose scatter gives the standard error.
    every
        the longest time that a walker keeps one guide.
    samples, dt
        of the network's tracker.
    """

    def __init__(
        self,
        problem: Problem,
        clones: int = 20_000,
        populations: int = 10,
        every: float = 0.5,
        samples: int = 1000,
        dt: float = 0.2,
    ):
        if populations < 2 or clones < 20 * populations:
            raise InputError("clones needs at least 2 populations of at least 20 clones each: raise 'clones'.")
        if not every >= SHORTEST:
            raise InputError(f"every = {every}: the time that a walker keeps a guide must be at least {SHORTEST}.")
        self.problem, self.every = problem, every
        self.size, self.populations = clones // populations, populations
        self.network = SymmetricTDVP(problem, dt=dt, samples=samples)
        start = self.network.batch  # of networks that still are the equilibrium: the sum of its weights on the support
        self.log_norm = (self.network.log_equilibrium(start.x) - start.log_prob).mean(1, keepdim=True)
        self.connections = [Connections(problem.system, s, problem.observable) for s in problem.s]
        self.clusters = _clusters(problem.system, samples)
        self.tables = [compile_moves(problem.system, s, problem.observable, self.clusters) for s in problem.s]
        self.knots = [0.0]  # times of the guides
        self.guides = [[flat(self.clusters)] for _ in problem.s]
        self.ln_z = self.network.ln_z
        self.covariance = torch.zeros(2 * (len(problem.s),), dtype=torch.float64, device=self.ln_z.device)
        self.ends = self.network.measured

    @property
    def measured(self) -> Tensor:
        """Ends of trajectories in proportion to their weights, ``(R, n, n_sites)``, few enough to be independent."""
        return self.ends

    def step(self, limit: float) -> Step:
        before = self.network.batch.x.cpu().numpy()
        step = self.network.step(limit)
        self._guide(step.dt / 2, before, self.network.batch.x.cpu().numpy())
        increment = step.increments[step.default]
        ln_z, covariance = self.ln_z + increment.value, self.covariance + increment.covariance
        if step.dt >= limit * (1 - 1e-9):
            ln_z, covariance, ess = self._walk()
            step.diagnostics["ess"] = ess
        # the log adds covariances up: a step is given the growth of that of the whole
        grown = Increment(ln_z - self.ln_z, covariance - self.covariance)
        self.ln_z, self.covariance = ln_z, covariance
        return Step(step.dt, {"clones": grown}, "clones", step.diagnostics, warnings=step.warnings)

    def state(self) -> Mapping[str, Any]:
        own = {name: getattr(self, name) for name in ("knots", "ln_z", "covariance", "ends", "log_norm")}
        guides = [[torch.from_numpy(guide.factors) for guide in guides] for guides in self.guides]
        return {**own, "guides": guides, "network": dict(self.network.state())}

    def load(self, state: Mapping[str, Any]) -> None:
        self.network.load(state["network"])
        self.knots, self.ends, self.log_norm = list(state["knots"]), state["ends"], state["log_norm"]
        self.ln_z, self.covariance = state["ln_z"], state["covariance"]
        self.guides = [[Guide(self.clusters, one.cpu().numpy()) for one in guides] for guides in state["guides"]]

    def _guide(self, span: float, before: np.ndarray, after: np.ndarray) -> None:
        """The next guide of each ``s`` by Heun's rule, on the network's samples of both ends of the step."""
        self.knots.append(self.knots[-1] + span)
        for guides, connections, start, end in zip(self.guides, self.connections, before, after):
            first = velocity(guides[-1], connections, start)
            second = velocity(guides[-1].plus(first, span), connections, end)
            guides.append(guides[-1].plus(first, span / 2).plus(second, span / 2))

    def _walk(self) -> tuple[Tensor, Tensor, Tensor]:
        """``ln Z`` ``(R,)`` at the time of the last knot, its covariance, and the clones' least effective part."""
        generator = self.problem.generator
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        schedules = [self._schedule(*each) for each in zip(self.guides, self.tables)]
        starts = draw(self.problem, self.size * self.populations, self.network.tilts, self.network.share)
        log_equilibrium = self.network.log_equilibrium(starts.x) - self.log_norm
        ratio = (log_equilibrium - starts.log_prob).double()
        found = []
        for p in range(self.populations):
            part = (slice(None), slice(p, None, self.populations))
            weights = starts.mean[part].log().log_softmax(1) + ratio[part]
            clones = zip(schedules, self.tables, starts.x[part].cpu().numpy(), weights.cpu().numpy())
            found += [population(*each, np.random.default_rng([seed, p])) for each in clones]
        ln_z, ess, ends = zip(*found)  # the same random numbers for each s
        by_field = (self.populations, len(self.guides))
        self._keep(np.stack(ends).reshape(*by_field, self.size, -1), np.array(ln_z).reshape(by_field))
        values = torch.tensor(ln_z, dtype=torch.float64, device=self.ln_z.device).view(by_field).T
        whole = values.logsumexp(1) - np.log(self.populations)
        covariance = covariance_of_means(torch.exp(values - whole[:, None]))
        return whole, covariance, torch.tensor(ess, dtype=torch.float64).view(by_field).amin(0)

    def _keep(self, ends: np.ndarray, ln_z: np.ndarray) -> None:
        """Of the ends ``(populations, R, size, n_sites)`` those to measure on; each population weighs by its ``Z``."""
        every = np.concatenate(list(ends), 1)
        self.ends = torch.from_numpy(independent(every, np.repeat(ln_z.T, self.size, 1), self.populations))
        self.ends = self.ends.to(self.problem.ensemble.device)

    def _schedule(self, guides: list[Guide], tables: JumpTables) -> Schedule:
        """Spans from the middle outwards, each with the guide of the middle of the time that is left in it.

        First no span, with the guide of the middle of the trajectory itself, which starts are chosen by.
        """
        last = self.knots[-1]
        pieces = max(PIECES, int(np.ceil(last / self.every - 1e-9)))
        left = [last, *(np.arange(pieces, 0, -1) - 0.5) * last / pieces, 0.0]
        path = np.stack([guide.factors for guide in guides], 1)
        along = [Guide(self.clusters, np.array(f)) for f in zip(*(np.interp(left, self.knots, one) for one in path))]
        spans = [0.0, *pieces * [last / pieces], 0.0]
        return [(span, guide, tables.steering.tables(guide)) for span, guide in zip(spans, along)]


def _clusters(system: System, samples: int) -> Clusters:
    """The largest with few enough functions for a fit to ``samples``."""
    found = connected(system, 1)
    for size in range(2, LARGEST + 1):
        larger = connected(system, size)
        if ENOUGH * len(larger.sites) > samples:
            break
        found = larger
    return found


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
