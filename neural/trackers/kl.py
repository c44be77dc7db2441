"""The published tracker: fit each Euler step by minimising a Kullback-Leibler divergence. Tang et al. (2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction, relative_weights
from vanbench.neural.backend.adam import Adam
from vanbench.neural.backend.distributed import mine, total, whole
from vanbench.neural.estimators import Increment, from_loss, from_weights
from vanbench.neural.trackers.base import MAX_SUMMED, Diverged, Problem, Step, one_configuration
from vanbench.neural.trackers.proposal import checked, draw
from vanbench.neural.trackers.target import Average, Euler, averaged


class KL:
    """``p_{t+dt} = argmin_p KL(p || (1 + dt W_s) p_t / Z)`` by Adam and REINFORCE.

    dt, samples, epochs, first_epochs, learning_rate
        the published protocol: 0.05 (0.1 in 1D), 1000, 100, 1000, 1e-3.
    decay
        the learning rate falls geometrically to this fraction within a step; 1 keeps it, as published.
    window
        the last fraction of the epochs, whose samples make the estimates.
    clip
        largest gradient norm of each network, as published.
    order
        1: Euler, as published; 2: SSP-RK2, two fits a step, the second towards the average of the start and two Euler
        steps.
    tilts, share
        a ``share`` of the samples comes from the network tilted towards value 0 by each of ``tilts``, with importance
        weights in the gradient (see `proposal`); none as published.
    anneal
        the temperature (weight of ``ln p``) at which a fit begins; it falls to 1 over the first half of its epochs.
    measure
        samples drawn after a step for its observables and for the next step's growth; ``4 samples`` by default.
    full_summation
        sum over all configurations instead of sampling (up to 2^16 states).
    """

    euler = True  # each step approximates (1 + dt W_s)

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.05,
        samples: int = 1000,
        epochs: int = 100,
        first_epochs: int = 1000,
        learning_rate: float = 1e-3,
        decay: float = 1.0,
        window: float = 0.2,
        clip: float = 1.0,
        order: int = 1,
        tilts: tuple[float, ...] | float = (),
        share: float = 0.1,
        anneal: float = 1.0,
        measure: int | None = None,
        full_summation: bool = False,
    ):
        _check(dt, samples, epochs, first_epochs, order)
        if not (learning_rate > 0 and 0 < decay <= 1 and 0 < window <= 1 and clip > 0):
            raise InputError("learning_rate and clip must be positive, decay and window in (0, 1].")
        if measure is not None and measure < 2:
            raise InputError(f"measure = {measure}: it must be at least 2.")
        if not (0 < share < 1 and anneal >= 1):
            raise InputError("share must be between 0 and 1, and anneal, a temperature, at least 1.")
        if (problem.connections.tables()["incoming"] < 0).any():
            raise InputError("fitting a KL divergence needs a classical generator (no negative rates).")
        self.problem, self.dt, self.samples, self.order = problem, dt, samples, order
        self.epochs, self.first_epochs, self.window = epochs, first_epochs, window
        self.learning_rate, self.decay, self.clip, self.anneal = learning_rate, decay, clip, anneal
        self.tilts, self.share = checked(tilts), share
        self.measure = measure or 4 * samples
        self.steps_done = 0
        self.states = problem.all_states() if full_summation else None
        if self.states is not None and self.states.shape[1] > MAX_SUMMED:
            raise InputError(f"full summation is for at most {MAX_SUMMED} states; this system has more.")
        self.optimiser = Adam(problem.ensemble.parameters.values(), learning_rate)
        self.measured = self._draw()

    def state(self) -> Mapping[str, Any]:
        return {"steps_done": self.steps_done, "optimiser": self.optimiser.state(), "measured": self.measured}

    def load(self, state: Mapping[str, Any]) -> None:
        self.steps_done, self.measured = state["steps_done"], state["measured"]
        self.optimiser.load(state["optimiser"])

    def step(self, limit: float) -> Step:
        before, summed = self.problem.ensemble.frozen(), self._summed_mass()
        first = Euler(self.problem, self.dt, before, self.states)
        fit: Euler | Average = first
        mass = first.mass(self.measured)
        log_weights, losses = self._fit(fit)
        if self.order == 2:
            second = Euler(self.problem, self.dt, self.problem.ensemble.frozen(), self.states)
            fit, middle = Average(first, second, mass), self._summed_mass()
            mass = fit.mass(self._draw())
            summed = averaged(summed, middle) if summed and middle else None
            log_weights, losses = self._fit(fit)
        if not torch.isfinite(losses).all():
            self.problem.ensemble.load(before)
            self.optimiser.forget()  # its moments are not finite either
            raise Diverged(f"the loss of step {self.steps_done + 1} is not finite; the last good networks were kept.")
        step = self._summary(fit, mass, log_weights, losses)
        step.summed = summed.value if summed else None
        self.steps_done += 1
        self.measured = self._draw()
        step.warnings += one_configuration(self.problem.connections, self.measured)
        return step

    def _summed_mass(self) -> Increment | None:
        """``ln`` of the normaliser of an Euler step from here, summed over all configurations."""
        if not self.problem.project:
            return None
        growth = self.problem.summed_mean(lambda x, _: self.problem.connections.column_sum(x))
        return Increment.certain(torch.log1p(self.dt * growth))

    def _draw(self) -> Tensor:
        return self.problem.sample(self.measure) if self.states is None else self.states

    def _fit(self, fit: Euler | Average) -> tuple[Tensor, Tensor]:
        """Minimise ``KL(p || exp fit)``; returns ``fit(x) - ln p(x)`` of the samples to average, and the loss."""
        epochs = self.first_epochs if self.steps_done == 0 else self.epochs
        kept: list[Tensor] = []
        losses = torch.zeros(len(self.problem.s))
        for epoch in range(epochs):
            self.optimiser.rate = self.learning_rate * self.decay ** (epoch / epochs)
            temperature = 1 + (self.anneal - 1) * max(0.0, 1 - 2 * epoch / epochs)
            log_weights, losses = self._epoch(fit, temperature)
            if self.states is not None:
                kept = [log_weights]
            elif epoch >= min(epochs * (1 - self.window), epochs - 1):
                kept.append(log_weights)
        return torch.cat(kept, 1), losses

    def _epoch(self, fit: Euler | Average, temperature: float) -> tuple[Tensor, Tensor]:
        """One Adam step; returns ``fit(x) - ln p(x)`` of its samples from the network, and the loss."""
        ensemble = self.problem.ensemble
        x, weights, plain = self._samples()
        own = ensemble.log_prob(mine(x))
        log_prob, target = whole(own.detach(), x.shape[1]), fit(x)
        log_weights = target - log_prob
        if self.states is None:
            reward = temperature * log_prob - target
            loss = (weights * reward).sum(1, keepdim=True)
            surrogate = (mine(weights * (reward - loss)) * own).sum(1)
            loss = loss[:, 0]
        else:
            surrogate = (own.exp() * (temperature * own - mine(target))).sum(1)
            loss = total(surrogate.detach())
        self.optimiser.zero_grad()
        surrogate.sum().backward()
        for p in ensemble.parameters.values():
            p.grad = None if p.grad is None else total(p.grad)
        self._clip()
        self.optimiser.step()
        return log_weights[:, :plain], loss.detach().cpu()

    def _path(self, fit: Euler | Average, log_weights: Tensor) -> dict[str, Tensor]:
        """How far the step was to take ``ln p``, and the part of it that is left, as spreads over the network."""
        assert fit.change is not None
        path, left = (self._spread(values) for values in (fit.change, log_weights))
        return {"path": path, "residual": left / path.clamp_min(1e-300)}

    def _spread(self, values: Tensor) -> Tensor:
        if self.states is None:
            return values.std(1)
        p = self.problem.log_prob(self.states).double().exp()
        return (p * (values - (p * values).sum(1, keepdim=True)).square()).sum(1).sqrt()

    def _samples(self) -> tuple[Tensor, Tensor, int]:
        """Configurations, their weights in averages over the network, and how many lead that are plain samples."""
        if self.states is not None:
            return self.states, torch.ones((), device=self.states.device), self.states.shape[1]
        if self.tilts:
            batch = draw(self.problem, self.samples, self.tilts, self.share)
            return batch.x, batch.mean, batch.plain
        x = self.problem.sample(self.samples)
        return x, torch.full((), 1 / self.samples, device=x.device), self.samples

    def _clip(self) -> None:
        gradients = [p.grad for p in self.problem.ensemble.parameters.values() if p.grad is not None]
        norm = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
        scale = (self.clip / norm.clamp_min(1e-30)).clamp_max(1.0)
        for g in gradients:
            g.mul_(scale.view(-1, *[1] * (g.ndim - 1)))

    def _summary(self, fit: Euler | Average, mass: Increment, log_weights: Tensor, loss: Tensor) -> Step:
        if self.states is None:
            increments = {"loss": from_loss(log_weights), "log_mean_exp": from_weights(log_weights)}
            increments = {k: Increment(i.value, i.covariance + fit.noise(mass)) for k, i in increments.items()}
            increments["integrated"] = mass
            ess = effective_fraction(relative_weights(log_weights))
        else:
            target, log_p = fit(self.states), self.problem.log_prob(self.states)
            exact = target.logsumexp(1)
            increments = {
                "loss": Increment.certain(-loss.to(exact)),
                "log_mean_exp": Increment.certain(exact),
                "integrated": mass,
            }
            ess = effective_fraction(relative_weights(target - log_p), log_p.exp())
        diagnostics = {"loss": loss, "ess": ess, **self._path(fit, log_weights)}
        return Step(self.dt, increments, "log_mean_exp", diagnostics, fit.negative, fit.steepest)


def _check(dt: float, samples: int, epochs: int, first_epochs: int, order: int) -> None:
    if not dt > 0:
        raise InputError(f"dt = {dt}: the time step must be positive.")
    if samples < 2 or epochs < 1 or first_epochs < 1:
        raise InputError("samples must be at least 2, epochs and first_epochs at least 1.")
    if order not in (1, 2):
        raise InputError(f"order = {order}: it must be 1 (Euler) or 2 (SSP-RK2).")
