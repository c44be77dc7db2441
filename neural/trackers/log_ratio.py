"""Fit the log-ratio: ``ln p_{t+dt} - ln p_t`` is fitted to the integrated local ratio on shared samples.

In log space ``d ln p / dt = E(p)`` with ``E = (W_s p) / p``, so a Heun step asks for
``ln p_1 = ln p_0 + dt E(p_0)`` and then ``ln p = ln p_0 + dt/2 (E(p_0) + E(p_1))``, up to normalisation. Each is fitted
by Gauss-Newton: the mismatch is regressed on the scores of the current network. All of it happens on the same
configurations, so the noise of a step is that of the mismatch, which vanishes at a perfect fit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction
from vanbench.neural.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import Problem, Step
from vanbench.neural.trackers.proposal import Batch
from vanbench.neural.trackers.regression import regress, scores
from vanbench.neural.trackers.tdvp import TDVP

SHORTEST = 0.1  # a part of a Gauss-Newton step below which it is taken as it is


class LogRatio(TDVP):
    """As `TDVP`, a fitted Heun step in place of the tangent one.

    iterations
        Gauss-Newton iterations of each of the two fits; one that makes the mismatch larger is halved until it does not.
    clip
        largest change of ``ln p`` that a step asks of a configuration: a rare one, whose ratio may be anything where
        generators are signed, cannot carry the fit away.
    """

    def __init__(self, problem: Problem, iterations: int = 2, clip: float = 1.0, **options: Any):
        if iterations < 1:
            raise InputError(f"iterations = {iterations}: log-ratio needs at least 1.")
        if not clip > 0:
            raise InputError(f"clip = {clip}: it must be positive.")
        super().__init__(problem, **options)
        self.iterations, self.clip = iterations, clip

    @torch.no_grad()
    def step(self, limit: float) -> Step:
        dt, before, batch = self._span(limit), self.problem.ensemble.frozen(), self.batch
        first = self._clipped(self.local(batch.x, batch.log_prob), dt)
        there = self._fit(batch, dt * first, batch.log_prob)
        euler = growth(batch, dt * first, there)[0]
        ratio = dt / 2 * (first + self._clipped(self.local(batch.x, there), dt))
        there = self._fit(batch, ratio, there)
        increment, diagnostics = growth(batch, ratio, there)
        return self._finish(dt, before, _per(euler, dt), _per(increment, dt), diagnostics)

    def _clipped(self, local: Tensor, dt: float) -> Tensor:
        return local.clamp(-self.clip / dt, self.clip / dt)

    def _fit(self, batch: Batch, ratio: Tensor, there: Tensor) -> Tensor:
        """Move the networks, whose ``ln p`` on the batch is ``there``, towards ``ln p_0 + ratio``; the new ``ln p``."""
        ensemble = self.problem.ensemble
        for _ in range(self.iterations):
            mismatch = ratio - (there - batch.log_prob)
            fit = regress(scores(ensemble, batch.x), mismatch, batch, self.damping)
            start, span, before = ensemble.frozen(), 1.0, _spread(batch, mismatch)
            while True:
                ensemble.move(start, fit.direction, span)
                there = self.problem.log_prob(batch.x)
                if span < SHORTEST or bool((_spread(batch, ratio - (there - batch.log_prob)) <= before).all()):
                    break
                span /= 2
        return there


def _spread(batch: Batch, values: Tensor) -> Tensor:
    """The variance that a fit minimises, ``(R,)``."""
    mean = (batch.fit * values).sum(1, keepdim=True)
    return (batch.fit * (values - mean).square()).sum(1)


def growth(batch: Batch, ratio: Tensor, there: Tensor) -> tuple[Increment, dict[str, Tensor]]:
    """``ln sum_x p_0(x) exp(ratio(x))`` from samples of ``p_0``, with the new network ``p`` as control variate.

    With ``delta = ratio - ln (p / p_0)`` it is ``a + ln (1 + <(p / p_0) (exp(delta - a) - 1)>)`` for any ``a``, since
    ``<p / p_0> = 1``: free of noise where ``delta`` is constant. Diagnostics: ``residual``, the spread of ``delta``
    over that of ``ratio``, which is ``path``, and ``ess``, the effective part of samples of ``p`` with the weights
    ``exp(delta)``.
    """
    change = there - batch.log_prob
    delta = ratio - change
    middle = (batch.mean * delta).sum(1, keepdim=True)
    weight, excess = change.exp(), torch.expm1(delta - middle)
    more = (batch.mean * weight * excess).sum(1)
    value = middle[:, 0] + torch.log1p(more)
    spread = (batch.mean * (ratio - (batch.mean * ratio).sum(1, keepdim=True)).square()).sum(1).clamp_min(1e-300)
    residual = ((batch.mean * (delta - middle).square()).sum(1) / spread).sqrt()
    mass, factor = batch.mean * weight, excess + 1
    ess = effective_fraction(factor, mass)
    told = {"residual": residual, "path": spread.sqrt(), "ess": ess}
    if batch.exact:
        return Increment.certain(value), told
    influence = batch.mean.shape[1] * batch.mean * weight * excess / (1 + more)[:, None]
    return Increment(value, covariance_of_means(influence)), told


def _per(increment: Increment, dt: float) -> Increment:
    return Increment(increment.value / dt, increment.covariance / dt**2)
