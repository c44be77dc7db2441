"""What a fitted step aims at: ``ln`` of the stepped distribution at any configuration, unnormalised.

One Euler step, and the second stage of the strong-stability-preserving Runge-Kutta scheme of second order, which
averages the start with two Euler steps (Shu and Osher, J. Comput. Phys. 77, 439 (1988)).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vanbench.neural.ensemble import Parameters
from vanbench.neural.run.estimators import Increment, from_growth
from vanbench.neural.trackers.base import Problem

CLAMP = 1e-300  # a negative (T p)(x) / p(x) becomes this, as published


class Euler:
    """``ln (T p)(x) = ln p(x) + ln (1 + dt (W_s p)(x) / p(x))`` of the networks with the parameters ``before``."""

    def __init__(self, problem: Problem, dt: float, before: Parameters, states: Tensor | None):
        self.problem, self.dt, self.before = problem, dt, before
        self.negative, self.steepest = 0, 0.0
        self.change: Tensor | None = None  # of ``ln p`` of the last configurations, unnormalised, (R, n)
        self._cached: Tensor | None = None
        if states is not None:
            self.log_prob_before = problem.log_prob(states, before)
            self._cached = self._target(states, self.log_prob_before)

    def __call__(self, x: Tensor) -> Tensor:
        return self._cached if self._cached is not None else self._target(x, self.log_prob(x))

    def log_prob(self, x: Tensor) -> Tensor:
        """``ln p(x)`` before the step."""
        return self.log_prob_before if self._cached is not None else self.problem.log_prob(x, self.before)

    def mass(self, measured: Tensor) -> Increment:
        """``ln sum_x (T p)(x)`` from samples of ``p``, or exactly from all configurations."""
        growth = self.problem.connections.column_sum(measured)
        if self._cached is None:
            return from_growth(growth, self.dt)
        return Increment.certain(torch.log1p(self.dt * (self.log_prob_before.exp() * growth).sum(1)))

    def noise(self, mass: Increment) -> Tensor | float:
        """The covariance of ``ln`` of the target's sum given all configurations: it depends on no estimate."""
        return 0.0

    def _target(self, x: Tensor, log_prob: Tensor) -> Tensor:
        ratio = self.problem.local_ratio(x, self.before, log_prob)
        factor = 1 + self.dt * ratio
        self.negative += int((factor <= 0).sum())
        self.steepest = max(self.steepest, float(-ratio.min()))
        self.change = factor.double().clamp_min(CLAMP).log()
        return log_prob + self.change


class Average:
    """``ln (p_0(x) + Z_1 (T p_1)(x)) / 2`` with ``p_1``, ``ln Z_1 = first_mass`` of the first Euler step."""

    def __init__(self, first: Euler, second: Euler, first_mass: Increment):
        self.first, self.second, self.first_mass = first, second, first_mass
        self.change: Tensor | None = None  # as of `Euler`

    def __call__(self, x: Tensor) -> Tensor:
        whole = self.second(x) + self.first_mass.value[:, None]
        before = self.first.log_prob(x).to(whole)
        target = torch.logaddexp(before, whole) - math.log(2)
        self.change = target - before
        return target

    def mass(self, measured: Tensor) -> Increment:
        """As of `Euler`, from samples of ``p_1``."""
        return averaged(self.first_mass, self.second.mass(measured))

    def noise(self, mass: Increment) -> Tensor | float:
        """The covariance that ``ln`` of the whole target's sum, ``mass``, has from that of ``first_mass`` in it.

        ``ln (1 + Z_1 Z_2) / 2`` changes with ``ln Z_1`` by ``Z_1 Z_2 / (1 + Z_1 Z_2)``.
        """
        share = 1 - (-mass.value).exp() / 2
        return share[:, None] * share[None, :] * self.first_mass.covariance

    @property
    def negative(self) -> int:
        return self.first.negative + self.second.negative

    @property
    def steepest(self) -> float:
        return max(self.first.steepest, self.second.steepest)


def averaged(first: Increment, second: Increment) -> Increment:
    """``ln (1 + Z_1 Z_2) / 2``."""
    both = first.value + second.value
    share = torch.sigmoid(both)
    covariance = share[:, None] * share[None, :] * (first.covariance + second.covariance)
    return Increment(torch.logaddexp(torch.zeros_like(both), both) - math.log(2), covariance)
