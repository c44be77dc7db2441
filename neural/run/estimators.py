"""Estimators of one step's increment of ``ln Z`` from samples, each with its covariance over the counting fields.

Every estimator is the logarithm (or plain value) of a sample mean; its noise follows from the per-sample influence
(delta method). The copies of an ensemble share their random numbers, so the covariance between different ``s`` is kept:
it is what makes the standard error of a difference over ``s`` small.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

VARIATIONAL, REWEIGHTED, DATA = "variational", "reweighted", "data"  # of equilibrium
ONE_SIDED = {VARIATIONAL, DATA}  # off by a divergence, whatever the samples


@dataclass
class Increment:
    """Of ``ln Z``: ``value`` ``(R,)`` and ``covariance`` ``(R, R)``, one entry for each counting field."""

    value: Tensor
    covariance: Tensor

    @staticmethod
    def certain(value: Tensor) -> Increment:
        return Increment(value, value.new_zeros(len(value), len(value)))


def covariance_of_means(influence: Tensor) -> Tensor:
    """Of the means of per-sample influences ``(R, n)``; ``(R, R)``."""
    centred = influence - influence.mean(1, keepdim=True)
    return centred @ centred.T / (influence.shape[1] * max(influence.shape[1] - 1, 1))


def from_loss(log_weights: Tensor) -> Increment:
    """``<ln w>``, the published one: minus the loss. It bounds this step's ``ln`` normaliser from below.

    ``log_weights``: ``ln (T p_t)(x) - ln p(x)`` for ``x`` drawn from ``p``, ``(R, n)``.
    """
    return Increment(log_weights.mean(1), covariance_of_means(log_weights))


def from_weights(log_weights: Tensor) -> Increment:
    """``ln <w>``: importance-weighted, exact on average whatever ``p``."""
    n = log_weights.shape[1]
    value = log_weights.logsumexp(1) - torch.log(log_weights.new_tensor(float(n)))
    return Increment(value, covariance_of_means(torch.exp(log_weights - value[:, None])))


def from_growth(growth: Tensor, dt: float) -> Increment:
    """``ln (1 + dt <(W_s^T 1)(x)>)`` over samples of the distribution before the step: its exact normaliser.

    ``growth``: ``(W_s^T 1)(x)``, ``(R, n)``; for the activity ``-(1 - exp(-s)) r(x)``.
    """
    normaliser = 1 + dt * growth.mean(1)
    return Increment(normaliser.log(), covariance_of_means(dt * growth / normaliser[:, None]))
