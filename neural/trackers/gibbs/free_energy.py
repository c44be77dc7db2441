"""The Boltzmann distribution by a network: the free energy of ``q`` is minimised on its own samples.

    F(q) = sum_x q(x) (E(x) + T ln q(x)) >= F,        F(q) - F = T KL(q | p)

with the gradient ``< (f - <f>) grad ln q >``, ``f = ln q + E / T``, and an inverse temperature that rises from that of
the last report (Wu, Wang, Zhang, Phys. Rev. Lett. 122, 080602 (2019)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vanbench.neural.backend.adam import Adam, Moments
from vanbench.neural.backend.distributed import mine, total
from vanbench.neural.run.estimators import VARIATIONAL
from vanbench.neural.trackers.base import STATIC, Diverged, Observed, Problem, Step, Tracker, Variant
from vanbench.neural.trackers.gibbs.weights import (
    Cooled,
    aim,
    begin,
    by_samples,
    heated,
    independent,
    summed_over,
)
from vanbench.neural.trackers.options import SUMMED, option

PARTS = 20  # of the way to a report: after each there is a checkpoint, and a budget is looked at


@dataclass(frozen=True)
class FreeEnergy(Tracker[Cooled]):
    """Adam minimises the free energy of the network's own samples while the temperature falls; for equilibrium."""

    name = "free-energy"
    variants = (Variant("each iteration, an energy and a backward pass for each sample", needs=(STATIC,)),)
    saved = (Cooled, Moments)
    begins = False

    iterations: int = option(1000, "iterations of Adam up to each report time", least=1)
    samples: int = option(500, "configurations drawn per iteration", least=2)
    learning_rate: float = option(5e-3, "learning rate of Adam", above=0)
    measure: int = option(10_000, "samples for ln Z and the observables", least=2)
    full_summation: bool | None = option(None, SUMMED.format(16))

    def init(self, problem: Problem) -> Cooled:
        if self.summed(problem):
            problem.summed_states()
        return begin(problem)

    def step(self, problem: Problem, state: Cooled, limit: float) -> tuple[Cooled, Step]:
        """One of the parts of the way."""
        parts = min(PARTS, self.iterations)
        if state.part == 0:
            state.start = state.now
        end, last = state.now + limit, state.part + 1 == parts
        span = end - state.start
        adam = Adam(problem.ensemble.parameters.values(), self.learning_rate, moments=state.moments)
        first, beyond = (self.iterations * part // parts for part in (state.part, state.part + 1))
        for iteration in range(first, beyond):
            self._iterate(problem, adam, state.start + span * heated((iteration + 1) / self.iterations))
        now = end if last else state.start + span * heated(beyond / self.iterations)
        x = problem.sample(self.measure if last else self.samples)
        known, effective = by_samples(problem, x, now)
        summed = summed_over(problem, now, data=False)
        told = {"ess": effective} if last else {}  # on the way there are few samples, and the network is behind
        step = Step(now - state.now, state.grown(known), VARIATIONAL, told, summed=state.added(summed))
        state.now, state.part = now, (state.part + 1) % parts
        return state, step

    def observe(self, problem: Problem, state: Cooled) -> Observed:
        return problem.everything() if self.summed(problem) else independent(problem, self.measure)

    def _iterate(self, problem: Problem, adam: Adam, t: float) -> None:
        """One iteration at the inverse temperature ``s t``. Raises ``Diverged`` where it is not finite."""
        summed = self.summed(problem)
        x = problem.summed_states() if summed else problem.sample(self.samples)
        own = problem.ensemble.log_prob(part := mine(x))
        f = own.detach() - aim(problem, part, t).to(own)
        if summed:
            p = own.detach().exp()
            centred = p * (f - total((p * f).sum(1, keepdim=True)))
        else:
            centred = (f - total(f.sum(1, keepdim=True)) / x.shape[1]) / x.shape[1]
        loss: Tensor = (centred * own).sum()
        if not torch.isfinite(loss):
            raise Diverged("the free energy is not finite: take a smaller learning rate.")
        adam.zero_grad()
        loss.backward()
        for p in problem.ensemble.parameters.values():
            p.grad = None if p.grad is None else total(p.grad)
        adam.step()
