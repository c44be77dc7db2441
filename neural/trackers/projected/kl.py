"""The published tracker: fit each Euler step by minimising a Kullback-Leibler divergence. Tang et al. (2024)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vanbench.neural.backend.adam import Adam, Moments
from vanbench.neural.backend.distributed import mine, total, whole
from vanbench.neural.trackers.base import POSITIVE, Problem, Variant
from vanbench.neural.trackers.options import option
from vanbench.neural.trackers.projected.fitted import Fitted, Projected, Target
from vanbench.neural.trackers.proposal import draw


@dataclass(frozen=True)
class KL(Projected):
    """Fits each Euler step by minimising a Kullback-Leibler divergence with Adam and REINFORCE."""

    name = "kl"
    variants = (Variant("hundreds of iterations of Adam per step", needs=(POSITIVE,)),)

    epochs: int = option(100, "iterations of Adam per fit", least=1)
    first_epochs: int = option(1000, "iterations of Adam per fit of the first step", least=1)
    learning_rate: float = option(1e-3, "learning rate of Adam", above=0)
    decay: float = option(
        1.0, "the learning rate falls geometrically to this fraction within a fit; 1 keeps it, as published",
        above=0, most=1,
    )  # fmt: skip
    window: float = option(
        0.2, "last fraction of the iterations, from whose samples the estimates are made", above=0, most=1
    )
    clip: float = option(1.0, "largest gradient norm of each network, as published", above=0)
    anneal: float = option(
        1.0, "temperature (weight of ln p) at which a fit begins; it falls to 1 over the first half of the fit", least=1
    )

    def init(self, problem: Problem) -> Fitted:
        state = super().init(problem)
        state.moments = Moments.of(problem.ensemble.parameters.values())
        return state

    def fit(self, problem: Problem, state: Fitted, target: Target) -> tuple[Tensor, Tensor]:
        assert state.moments is not None
        optimiser = Adam(problem.ensemble.parameters.values(), self.learning_rate, moments=state.moments)
        epochs = self.first_epochs if state.steps == 0 else self.epochs
        kept: list[Tensor] = []
        losses = torch.zeros(len(problem.s))
        for epoch in range(epochs):
            optimiser.rate = self.learning_rate * self.decay ** (epoch / epochs)
            temperature = 1 + (self.anneal - 1) * max(0.0, 1 - 2 * epoch / epochs)
            log_weights, losses = self._epoch(problem, optimiser, target, temperature)
            if self.summed(problem):
                kept = [log_weights]
            elif epoch >= min(epochs * (1 - self.window), epochs - 1):
                kept.append(log_weights)
        return torch.cat(kept, 1), losses

    def _epoch(self, problem: Problem, optimiser: Adam, target: Target, temperature: float) -> tuple[Tensor, Tensor]:
        """One iteration; returns ``target(x) - ln p(x)`` of its samples from the network, and the loss."""
        ensemble = problem.ensemble
        x, weights, plain = self._samples(problem)
        own = ensemble.log_prob(mine(x))
        log_prob, aim = whole(own.detach(), x.shape[1]), target(x)
        log_weights = aim - log_prob
        if self.summed(problem):
            surrogate = (own.exp() * (temperature * own - mine(aim))).sum(1)
            loss = total(surrogate.detach())
        else:
            reward = temperature * log_prob - aim
            loss = (weights * reward).sum(1, keepdim=True)
            surrogate = (mine(weights * (reward - loss)) * own).sum(1)
            loss = loss[:, 0]
        optimiser.zero_grad()
        surrogate.sum().backward()
        for p in ensemble.parameters.values():
            p.grad = None if p.grad is None else total(p.grad)
        _clip(ensemble.parameters.values(), self.clip)
        optimiser.step()
        return log_weights[:, :plain], loss.detach().cpu()

    def _samples(self, problem: Problem) -> tuple[Tensor, Tensor, int]:
        """Configurations, their weights in averages over the network, and how many lead that are plain samples."""
        if self.summed(problem):
            states = problem.summed_states()
            return states, torch.ones((), device=states.device), states.shape[1]
        if self.tilts:
            batch = draw(problem, self.samples, self.tilts, self.share)
            return batch.x, batch.mean, batch.plain
        x = problem.sample(self.samples)
        return x, torch.full((), 1 / self.samples, device=x.device), self.samples


def _clip(parameters: Iterable[Tensor], most: float) -> None:
    """Shorten the gradient of each field to a norm of at most ``most``."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.stack([g.reshape(len(g), -1).square().sum(1) for g in gradients]).sum(0).sqrt()
    scale = (most / norm.clamp_min(1e-30)).clamp_max(1.0)
    for g in gradients:
        g.mul_(scale.view(-1, *[1] * (g.ndim - 1)))
