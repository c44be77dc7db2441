"""Steps of the exact scheme, each projected onto the networks by a fit: what `KL` and `NaturalGradient` share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction, relative_weights
from vanbench.neural.backend.adam import Moments
from vanbench.neural.run.estimators import Increment, from_loss, from_weights
from vanbench.neural.trackers.base import POSITIVE, Diverged, Observed, Problem, Step, Tracker, one_configuration
from vanbench.neural.trackers.options import SUMMED, Numbers, option
from vanbench.neural.trackers.projected.target import Average, Euler, averaged
from vanbench.neural.trackers.proposal import Batch, draw
from vanbench.neural.trackers.tangent import integrate

Target = Euler | Average
STABLE = 0.9  # of a configuration, what a stage may take: below 1 no target is negative


@dataclass
class Fitted:
    """``measured``: configurations of the networks as they are; ``moments`` of Adam."""

    measured: Tensor
    moments: Moments | None = None
    steps: int = 0
    now: float = 0.0


@dataclass(frozen=True)
class Projected(Tracker[Fitted]):
    """``p_{t+dt} = argmin_p KL(p || (1 + dt W_s) p_t / Z)``."""

    saved = (Fitted, Moments)

    dt: float = option(0.05, "time step (published: 0.05, in one dimension 0.1)", above=0)
    samples: int = option(1000, "configurations drawn per iteration of a fit", least=2)
    order: int = option(
        2,
        "1: Euler, as published; 2: SSP-RK2, two fits per step, the second to the average of the start and two Euler "
        "steps",
        among=(1, 2),
    )
    control: str = option(
        "stable", "for order 2: `stable` takes steps shorter than dt where a rate requires it; `fixed` never does",
        among=("stable", "fixed"),
    )  # fmt: skip
    tilts: Numbers = option(
        (), "tilts towards value 0: for each, some samples come from the tilted network, with weights"
    )
    share: float = option(0.1, "fraction of the samples that come from tilted networks", above=0, below=1)
    measure: int = option(0, "samples for the observables and the growth of the next step; 0: four times `samples`")
    full_summation: bool | None = option(None, SUMMED.format(16))
    strict: bool = option(False, "treat a negative target as an error; otherwise it is clamped, as published")

    @property
    def euler(self) -> bool:
        return self.order == 1

    @property
    def path(self) -> Literal["", "P", "psi"]:
        return "P"

    @property
    def fixed_step(self) -> float | None:
        return self.dt if self.order == 1 or self.control == "fixed" else None

    @property
    def longest_step(self) -> float:
        return self.dt

    @abstractmethod
    def fit(self, problem: Problem, state: Fitted, target: Target) -> tuple[Tensor, Tensor]:
        """Move the networks to the ``target``; returns ``target(x) - ln p(x)`` of samples, ``(R, n)``, and the loss."""

    def init(self, problem: Problem) -> Fitted:
        if (problem.connections.tables()["incoming"] < 0).any():
            raise InputError(f"{self.name} needs {POSITIVE} (no negative rates): take tdvp.")
        if self.measure == 1:
            raise InputError("measure = 1: it must be at least 2.")
        if self.summed(problem):
            problem.summed_states()
        return Fitted(self._draw(problem), now=problem.opened)

    def step(self, problem: Problem, state: Fitted, limit: float) -> tuple[Fitted, Step]:
        dt = self._length(problem, state, limit)
        before, summed = problem.ensemble.frozen(), self._summed_mass(problem, dt)
        states = self._states(problem)
        first = Euler(problem, dt, before, states)
        target: Target = first
        mass = first.mass(state.measured)
        log_weights, losses = self.fit(problem, state, target)
        if self.order == 2:
            second = Euler(problem, dt, problem.ensemble.frozen(), states)
            target, middle = Average(first, second, mass), self._summed_mass(problem, dt)
            mass = target.mass(self._draw(problem))
            summed = averaged(summed, middle) if summed and middle else None
            log_weights, losses = self.fit(problem, state, target)
        if not torch.isfinite(losses).all():
            problem.ensemble.load(before)
            if state.moments:
                state.moments.forget()  # they are not finite either
            raise Diverged(f"the loss of step {state.steps + 1} is not finite; the last good networks were kept.")
        step = self._summary(problem, dt, target, mass, log_weights, losses)
        if step.negative and self.strict:
            raise InputError(f"{step.negative_targets(state.now)} (strict).")
        step.summed = summed.value if summed else None
        after = replace(state, measured=self._draw(problem), steps=state.steps + 1, now=state.now + dt)
        step.warnings += one_configuration(problem.connections, after.measured)
        return after, step

    def observe(self, problem: Problem, state: Fitted) -> Observed:
        return problem.everything() if self.summed(problem) else Observed(state.measured)

    def batch(self, problem: Problem) -> Batch:
        """Configurations to fit on."""
        if self.summed(problem):
            return Batch.of_all(problem, problem.summed_states())
        return draw(problem, self.samples, self.tilts, self.share)

    def _length(self, problem: Problem, state: Fitted, limit: float) -> float:
        """Of the next step: no configuration seen loses more than ``STABLE`` of its weight in one stage, and from a
        point a step at most doubles the time."""
        if self.fixed_step is not None:
            return min(self.dt, limit)
        fastest = -float(problem.connections.diagonal(state.measured).min())
        dt = self.dt if fastest <= 0 else min(self.dt, STABLE / fastest)
        return integrate.cut(min(dt, state.now) if problem.opened else dt, limit)

    def _states(self, problem: Problem) -> Tensor | None:
        return problem.summed_states() if self.summed(problem) else None

    def _summed_mass(self, problem: Problem, dt: float) -> Increment | None:
        """``ln`` of the normaliser of an Euler step from here, summed over all configurations."""
        if not problem.project:
            return None
        growth = problem.summed_mean(lambda x, _: problem.connections.column_sum(x))
        return Increment.certain(torch.log1p(dt * growth))

    def _draw(self, problem: Problem) -> Tensor:
        return problem.summed_states() if self.summed(problem) else problem.sample(self.measure or 4 * self.samples)

    def _summary(
        self, problem: Problem, dt: float, target: Target, mass: Increment, log_weights: Tensor, loss: Tensor
    ) -> Step:
        states = self._states(problem)
        if states is None:
            increments = {"loss": from_loss(log_weights), "log_mean_exp": from_weights(log_weights)}
            increments = {k: Increment(i.value, i.covariance + target.noise(mass)) for k, i in increments.items()}
            increments["integrated"] = mass
            ess = effective_fraction(relative_weights(log_weights))
        else:
            aim, log_p = target(states), problem.log_prob(states)
            exact = aim.logsumexp(1)
            increments = {
                "loss": Increment.certain(-loss.to(exact)),
                "log_mean_exp": Increment.certain(exact),
                "integrated": mass,
            }
            ess = effective_fraction(relative_weights(aim - log_p), log_p.exp())
        # how far the step was to take ln p, and the part of it that is left, as spreads over the network
        assert target.change is not None
        path, left = (_spread(problem, values, states) for values in (target.change, log_weights))
        told = {"loss": loss, "ess": ess, "path": path, "residual": left / path.clamp_min(1e-300)}
        return Step(dt, increments, "log_mean_exp", told, target.negative, target.steepest)


def _spread(problem: Problem, values: Tensor, states: Tensor | None) -> Tensor:
    if states is None:
        return values.std(1)
    p = problem.log_prob(states).double().exp()
    return (p * (values - (p * values).sum(1, keepdim=True)).square()).sum(1).sqrt()
