"""The published objective by natural gradient: a few damped solves a step in place of a hundred epochs of Adam.

``KL(p || T p_t)`` has the gradient ``<O (ln p - ln T p_t)>`` over samples of ``p``, so the natural-gradient step
``F^-1 <O (ln T p_t - ln p)>`` is the regression of the mismatch on the scores.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.trackers.base import Problem
from vanbench.neural.trackers.kl import KL
from vanbench.neural.trackers.proposal import Batch, draw
from vanbench.neural.trackers.regression import regress, scores
from vanbench.neural.trackers.target import Average, Euler


class NaturalGradient(KL):
    """As `KL`, the same steps and estimators, fitted by ``iterations`` regressions on fresh samples.

    dt, samples, order, tilts, share, measure, full_summation
        as of `KL`.
    iterations, damping
        natural-gradient steps a fit, and what is added to the diagonal of the Fisher matrix (in units of its mean).
    """

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.05,
        samples: int = 1000,
        iterations: int = 2,
        damping: float = 1e-4,
        order: int = 1,
        tilts: tuple[float, ...] | float = (),
        share: float = 0.1,
        measure: int | None = None,
        full_summation: bool = False,
    ):
        if iterations < 1 or damping < 0:
            raise InputError("iterations must be at least 1 and damping not negative.")
        super().__init__(
            problem,
            dt,
            samples,
            order=order,
            tilts=tilts,
            share=share,
            measure=measure,
            full_summation=full_summation,
        )
        self.iterations, self.damping = iterations, damping

    @torch.no_grad()
    def _fit(self, fit: Euler | Average) -> tuple[Tensor, Tensor]:
        ensemble = self.problem.ensemble
        for _ in range(self.iterations):
            batch = self._batch()
            mismatch = fit(batch.x) - batch.log_prob
            direction = regress(scores(ensemble, batch.x), mismatch, batch, self.damping).direction
            ensemble.move(ensemble.frozen(), direction)
        batch = self._batch()
        log_weights = fit(batch.x) - batch.log_prob
        loss = -(batch.mean * log_weights).sum(1) if batch.exact else -log_weights[:, : batch.plain].mean(1)
        return log_weights[:, : batch.plain], loss.cpu()

    def _batch(self) -> Batch:
        if self.states is not None:
            return Batch.of_all(self.problem, self.states)
        return draw(self.problem, self.samples, self.tilts, self.share)
