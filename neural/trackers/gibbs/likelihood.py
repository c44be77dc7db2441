"""The Boltzmann distribution by maximum likelihood on its own configurations, which Monte Carlo draws.

The energies are not shown to the network: ``-T ln q`` is the Hamiltonian that it learns, up to ``F`` (Wang, Jiang,
Zhou, arXiv:2007.01037), and ``<ln P_0 - s t E - ln q>`` over configurations is ``ln Z + KL(p | q)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vanbench.exact.statistics import standard_error
from vanbench.neural.backend.adam import Moments
from vanbench.neural.learning import likelihood
from vanbench.neural.run.estimators import DATA, Increment
from vanbench.neural.trackers.base import STATIC, Observed, Problem, Step, Tracker, Variant
from vanbench.neural.trackers.gibbs.weights import Cooled, aim, begin, by_samples, independent, summed_over
from vanbench.neural.trackers.options import option


@dataclass(frozen=True)
class Likelihood(Tracker[Cooled]):
    """Maximum likelihood on Monte Carlo configurations, without their energies; for equilibrium."""

    name = "likelihood"
    variants = (Variant("Monte Carlo, and each epoch a backward pass for each configuration", needs=(STATIC,)),)
    saved = (Cooled, Moments)
    begins = False

    configurations: int = option(20_000, "configurations drawn for each s and report time", least=20)
    epochs: int = option(
        20, "largest number of epochs; training ends when the held-out likelihood stops rising", least=1
    )
    batches: int = option(64, "batches per epoch", least=1)
    learning_rate: float = option(2e-3, "peak learning rate of AdamW", above=0)
    measure: int = option(10_000, "fresh configurations, and samples, for ln Z and the observables", least=2)

    def init(self, problem: Problem) -> Cooled:
        from vanbench.exact.ising import gibbs

        state = begin(problem)
        for s in problem.s:
            gibbs.require_configurations(problem.system, s)
        return state

    def step(self, problem: Problem, state: Cooled, limit: float) -> tuple[Cooled, Step]:
        """To the report time at once."""
        t = state.now + limit
        means, errors = zip(*(self._learn(problem, r, t) for r in range(len(problem.s))))
        data = Increment(torch.tensor(means), torch.diag(torch.tensor(errors) ** 2))
        known, effective = by_samples(problem, problem.sample(self.measure), t)
        summed = summed_over(problem, t, data=True)
        step = Step(limit, state.grown({DATA: data, **known}), DATA, {"ess": effective}, summed=state.added(summed))
        state.now = t
        return state, step

    def observe(self, problem: Problem, state: Cooled) -> Observed:
        return independent(problem, self.measure)

    def _learn(self, problem: Problem, r: int, t: float) -> tuple[float, float]:
        """Train one member; ``<aim - ln q>`` over fresh configurations, with its standard error."""
        from vanbench.exact.ising import gibbs

        seeds = torch.randint(2**31, (3,), generator=problem.generator, device=problem.generator.device).tolist()
        system, s = problem.system, problem.s[r]
        x, _ = gibbs.configurations(system, s * t, self.configurations, seeds[0])
        training = likelihood.Training(self.batches, self.epochs, self.learning_rate, seed=seeds[1])
        net = problem.ensemble.copy_of(r).requires_grad_(True)
        likelihood.fit(net, x, training)
        problem.ensemble.put(r, net)
        fresh, chains = gibbs.configurations(system, s * t, self.measure, seeds[2])
        every = torch.as_tensor(fresh, device=problem.ensemble.device).expand(len(problem.s), *fresh.shape)
        values = aim(problem, every, t)[r].cpu().numpy() - likelihood.log_prob(net, fresh)
        return float(values.mean()), _error(values, chains)


def _error(values: np.ndarray, chains: int) -> float:
    """The standard error of the mean of ``values`` from so many Markov chains, or of independent ones."""
    from vanbench.exact.ising.montecarlo import mean_error

    return float(mean_error(values, chains)[1] if chains else standard_error(values))
