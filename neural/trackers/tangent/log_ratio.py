"""Fit the log-ratio: ``ln p_{t+dt} - ln p_t`` is fitted to the integrated local ratio on shared samples.

In log space ``d ln p / dt = E(p)`` with ``E = (W_s p) / p``, so a Heun step asks for
``ln p_1 = ln p_0 + dt E(p_0)`` and then ``ln p = ln p_0 + dt/2 (E(p_0) + E(p_1))``, up to normalisation. Each is fitted
by Gauss-Newton: the mismatch is regressed on the scores of the current network. All of it happens on the same
configurations, so the noise of a step is that of the mismatch, which vanishes at a perfect fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vanbench.exact.statistics import effective_fraction
from vanbench.neural.run.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import Problem, Step, Variant
from vanbench.neural.trackers.options import option
from vanbench.neural.trackers.proposal import Batch
from vanbench.neural.trackers.tangent import integrate
from vanbench.neural.trackers.tangent.regression import regress, scores
from vanbench.neural.trackers.tangent.tangent import Flow, Tangent, spread

SHORTEST = 0.1  # a part of a Gauss-Newton step below which it is taken as it is


@dataclass(frozen=True)
class LogRatio(Tangent):
    """Fits Heun steps of ln p on shared samples instead of following a tangent vector; for any generator."""

    name = "log-ratio"
    variants = (Variant("four or more regressions per step"),)

    iterations: int = option(
        2, "Gauss-Newton iterations in each of the two fits; one that increases the mismatch is halved", least=1
    )
    clip: float = option(
        1.0, "largest change of ln p that a step targets at a configuration, so that rare ones, whose ratio is "
        "unbounded for signed generators, cannot dominate the fit", above=0,
    )  # fmt: skip

    @torch.no_grad()
    def step(self, problem: Problem, state: Flow, limit: float) -> tuple[Flow, Step]:
        dt, before, batch = integrate.cut(state.next_dt, limit), problem.ensemble.frozen(), state.batch
        first = self._local(problem, batch.x, batch.log_prob, dt)
        there = self._fit(problem, batch, dt * first, batch.log_prob)
        euler = growth(batch, dt * first, there)[0]
        ratio = dt / 2 * (first + self._local(problem, batch.x, there, dt))
        # the terms left out are about as much smaller than the last one as that is than the step
        last = spread(batch, ratio - dt * first)
        error = last.square() / spread(batch, ratio).clamp_min(1e-300)
        there = self._fit(problem, batch, ratio, there)
        increment, told = growth(batch, ratio, there)
        next_dt = self.next_by_path(dt, error, integrate.MIDPOINT.power)
        return self.finish(problem, state, before, dt, (_per(euler, dt), _per(increment, dt)), next_dt, told)

    def _local(self, problem: Problem, x: Tensor, log_prob: Tensor, dt: float) -> Tensor:
        """``(W_s p)(x) / p(x)``, clipped."""
        local = problem.local_ratio(x, problem.ensemble.parameters, log_prob)
        return local.clamp(-self.clip / dt, self.clip / dt)

    def _fit(self, problem: Problem, batch: Batch, ratio: Tensor, there: Tensor) -> Tensor:
        """Move the networks, whose ``ln p`` on the batch is ``there``, towards ``ln p_0 + ratio``; the new ``ln p``."""
        ensemble = problem.ensemble
        for _ in range(self.iterations):
            mismatch = ratio - (there - batch.log_prob)
            fit = regress(scores(ensemble, batch.x), mismatch, batch, self.damping)
            start, part, before = ensemble.frozen(), 1.0, _missed(batch, mismatch)
            while True:
                ensemble.move(start, fit.direction, part)
                there = problem.log_prob(batch.x)
                if part < SHORTEST or bool((_missed(batch, ratio - (there - batch.log_prob)) <= before).all()):
                    break
                part /= 2
        return there


def _missed(batch: Batch, values: Tensor) -> Tensor:
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
    path = (batch.mean * (ratio - (batch.mean * ratio).sum(1, keepdim=True)).square()).sum(1).clamp_min(1e-300)
    residual = ((batch.mean * (delta - middle).square()).sum(1) / path).sqrt()
    mass, factor = batch.mean * weight, excess + 1
    ess = effective_fraction(factor, mass)
    told = {"residual": residual, "path": path.sqrt(), "ess": ess}
    if batch.exact:
        return Increment.certain(value), told
    influence = batch.mean.shape[1] * batch.mean * weight * excess / (1 + more)[:, None]
    return Increment(value, covariance_of_means(influence)), told


def _per(increment: Increment, dt: float) -> Increment:
    return Increment(increment.value / dt, increment.covariance / dt**2)
