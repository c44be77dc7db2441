"""The published tracker: fit each Euler step by minimising a Kullback-Leibler divergence. Tang et al. (2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from exact import InputError

from ..ensemble import Parameters
from ..estimators import Increment, effective_samples, from_growth, from_loss, from_weights
from .base import MAX_SUMMED, Diverged, Problem, Step

CLAMP = 1e-300  # a negative (T p)(x) / p(x) becomes this, as published


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
        measure: int | None = None,
        full_summation: bool = False,
    ):
        _check(dt, samples, epochs, first_epochs, learning_rate, decay, window, clip)
        if (problem.connections.tables()["incoming"] < 0).any():
            raise InputError("the tracker 'kl' needs a classical generator (no negative rates).")
        self.problem, self.dt, self.samples = problem, dt, samples
        self.epochs, self.first_epochs, self.window = epochs, first_epochs, window
        self.learning_rate, self.decay, self.clip = learning_rate, decay, clip
        self.measure = measure or 4 * samples
        self.steps_done = 0
        self.states = problem.all_states() if full_summation else None
        if self.states is not None and self.states.shape[1] > MAX_SUMMED:
            raise InputError(f"full summation is for at most {MAX_SUMMED} states; this system has more.")
        self.optimiser = torch.optim.Adam(list(problem.ensemble.parameters.values()), lr=learning_rate)
        self.measured = self._draw()

    def state(self) -> Mapping[str, Any]:
        return {"steps_done": self.steps_done, "optimiser": self.optimiser.state_dict(), "measured": self.measured}

    def load(self, state: Mapping[str, Any]) -> None:
        self.steps_done, self.measured = state["steps_done"], state["measured"]
        self.optimiser.load_state_dict(state["optimiser"])

    def step(self, limit: float) -> Step:
        before = self.problem.ensemble.frozen()
        summed = torch.log1p(self.dt * self.problem.summed_mean(self._growth)) if self.problem.project else None
        fit = _Fit(self, before)
        epochs = self.first_epochs if self.steps_done == 0 else self.epochs
        kept: list[Tensor] = []
        losses = torch.zeros(len(self.problem.s))
        for epoch in range(epochs):
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate * self.decay ** (epoch / epochs)
            log_weights, losses = self._epoch(fit)
            if self.states is not None:
                kept = [log_weights]
            elif epoch >= min(epochs * (1 - self.window), epochs - 1):
                kept.append(log_weights)
        if not torch.isfinite(losses).all():
            self.problem.ensemble.load(before)
            raise Diverged(f"the loss of step {self.steps_done + 1} is not finite; the last good networks were kept.")
        step = self._summary(fit, torch.cat(kept, 1), losses)
        step.summed = summed
        self.steps_done += 1
        self.measured = self._draw()
        return step

    def _growth(self, x: Tensor, log_prob: Tensor) -> Tensor:
        return self.problem.connections.column_sum(x)

    def _draw(self) -> Tensor:
        return self.problem.sample(self.measure) if self.states is None else self.states

    def _epoch(self, fit: _Fit) -> tuple[Tensor, Tensor]:
        """One Adam step; returns ``ln (T p_t)(x) - ln p(x)`` of its samples and the loss."""
        ensemble = self.problem.ensemble
        x = self.problem.sample(self.samples) if self.states is None else self.states
        log_prob = ensemble.log_prob(x)
        log_weights = fit.target(x) - log_prob.detach()
        if self.states is None:
            reward = -log_weights
            surrogate = ((reward - reward.mean(1, keepdim=True)) * log_prob).mean(1)
            loss = reward.mean(1)
        else:
            surrogate = (log_prob.exp() * (log_prob - fit.target(x))).sum(1)
            loss = surrogate.detach()
        self.optimiser.zero_grad()
        surrogate.sum().backward()
        self._clip()
        self.optimiser.step()
        return log_weights, loss.detach().cpu()

    def _clip(self) -> None:
        gradients = [p.grad for p in self.problem.ensemble.parameters.values() if p.grad is not None]
        norm = torch.stack([g.flatten(1).square().sum(1) for g in gradients]).sum(0).sqrt()
        scale = (self.clip / norm.clamp_min(1e-30)).clamp_max(1.0)
        for g in gradients:
            g.mul_(scale.view(-1, *[1] * (g.ndim - 1)))

    def _summary(self, fit: _Fit, log_weights: Tensor, loss: Tensor) -> Step:
        if self.states is None:
            growth = self.problem.connections.column_sum(self.measured)
            increments = {
                "loss": from_loss(log_weights),
                "log_mean_exp": from_weights(log_weights),
                "integrated": from_growth(growth, self.dt),
            }
            ess = effective_samples(log_weights)
        else:
            exact = fit.target(self.states).logsumexp(1)
            growth = (fit.log_prob_before.exp() * self.problem.connections.column_sum(self.states)).sum(1)
            increments = {
                "loss": Increment.certain(-loss.to(exact)),
                "log_mean_exp": Increment.certain(exact),
                "integrated": Increment.certain(torch.log1p(self.dt * growth)),
            }
            ess = torch.exp(2 * exact - (2 * log_weights + self.problem.log_prob(self.states)).logsumexp(1))
        diagnostics = {"loss": loss, "ess": ess}
        return Step(self.dt, increments, "log_mean_exp", diagnostics, fit.negative, fit.steepest)


class _Fit:
    """The target of one step, ``ln (T p_t)(x) = ln p_t(x) + ln (1 + dt (W_s p_t)(x) / p_t(x))``."""

    def __init__(self, tracker: KL, before: Parameters):
        self.problem, self.dt, self.before = tracker.problem, tracker.dt, before
        self.negative, self.steepest = 0, 0.0
        self._cached: Tensor | None = None
        if tracker.states is not None:
            self.log_prob_before = self.problem.log_prob(tracker.states, before)
            self._cached = self._target(tracker.states, self.log_prob_before)

    def target(self, x: Tensor) -> Tensor:
        return self._cached if self._cached is not None else self._target(x, self.problem.log_prob(x, self.before))

    def _target(self, x: Tensor, log_prob: Tensor) -> Tensor:
        ratio = self.problem.local_ratio(x, self.before, log_prob)
        factor = 1 + self.dt * ratio
        self.negative += int((factor <= 0).sum())
        self.steepest = max(self.steepest, float(-ratio.min()))
        return log_prob + factor.double().clamp_min(CLAMP).log()


def _check(
    dt: float, samples: int, epochs: int, first_epochs: int, rate: float, decay: float, window: float, clip: float
) -> None:
    if not dt > 0:
        raise InputError(f"dt = {dt}: the time step must be positive.")
    if samples < 2 or epochs < 1 or first_epochs < 1:
        raise InputError("samples must be at least 2, epochs and first_epochs at least 1.")
    if not (rate > 0 and 0 < decay <= 1 and 0 < window <= 1 and clip > 0):
        raise InputError("learning_rate and clip must be positive, decay and window in (0, 1].")
