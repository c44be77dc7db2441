"""The published objective by natural gradient: a few damped solves a step in place of a hundred epochs of Adam.

``KL(p || T p_t)`` has the gradient ``<O (ln p - ln T p_t)>`` over samples of ``p``, so the natural-gradient step
``F^-1 <O (ln T p_t - ln p)>`` is the regression of the mismatch on the scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vanbench.neural.trackers.base import POSITIVE, Problem, Variant
from vanbench.neural.trackers.options import option
from vanbench.neural.trackers.projected.fitted import Fitted, Projected, Target
from vanbench.neural.trackers.tangent.regression import regress, scores


@dataclass(frozen=True)
class NaturalGradient(Projected):
    """Takes the steps and estimators of kl, and fits them by a few regressions on fresh samples."""

    name = "natural-gradient"
    variants = (Variant("a few regressions per step", needs=(POSITIVE,)),)

    iterations: int = option(2, "natural-gradient steps per fit", least=1)
    damping: float = option(1e-4, "added to the diagonal of the Fisher matrix, in units of its mean", least=0)

    @torch.no_grad()
    def fit(self, problem: Problem, state: Fitted, target: Target) -> tuple[Tensor, Tensor]:
        ensemble = problem.ensemble
        for _ in range(self.iterations):
            batch = self.batch(problem)
            mismatch = target(batch.x) - batch.log_prob
            direction = regress(scores(ensemble, batch.x), mismatch, batch, self.damping).direction
            ensemble.move(ensemble.frozen(), direction)
        batch = self.batch(problem)
        log_weights = target(batch.x) - batch.log_prob
        loss = -(batch.mean * log_weights).sum(1) if batch.exact else -log_weights[:, : batch.plain].mean(1)
        return log_weights[:, : batch.plain], loss.cpu()
