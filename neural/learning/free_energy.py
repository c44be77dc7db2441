"""The Boltzmann distribution by a network: the free energy of ``q`` is minimised on its own samples.

    F(q) = sum_x q(x) (E(x) + T ln q(x)) >= F,        F(q) - F = T KL(q | p)

with the gradient ``< (f - <f>) grad ln q >``, ``f = ln q + E / T``, and an inverse temperature that rises from zero
(Wu, Wang, Zhang, Phys. Rev. Lett. 122, 080602 (2019)).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.backend.adam import Adam

Energy = Callable[[np.ndarray], np.ndarray]  # of configurations (n, n_sites) in {0, 1}; (n,)
HEATING = 5.0  # the inverse temperature is 1 - exp(-HEATING k / steps) of the last one


@dataclass(frozen=True)
class Schedule:
    """``steps`` of Adam at ``rate`` on ``samples`` each; ``judged`` fresh samples give the numbers."""

    steps: int = 1000
    samples: int = 500
    rate: float = 5e-3
    judged: int = 20_000

    def __post_init__(self) -> None:
        if min(self.steps, self.samples, self.judged) < 2 or not 0 < self.rate < math.inf:
            raise InputError("steps and samples are at least 2, and the learning rate is a positive number.")


@dataclass(frozen=True)
class Minimum:
    """Of a trained network, from ``n`` independent samples ``x`` with ``f = ln q + E / T``."""

    x: np.ndarray
    f: np.ndarray
    T: float

    def free_energy(self) -> tuple[float, float]:
        """``T <f>``, an upper bound of the free energy in expectation, and its standard error."""
        return self.average(self.T * self.f)

    def reweighted(self) -> tuple[float, float]:
        """``-T ln <exp(-f)>``: without that bias, where samples reach all that matters; by the delta method."""
        least = self.f.min()
        weights = np.exp(least - self.f)
        mean, stderr = self.average(weights)
        return float(self.T * (least - np.log(mean))), self.T * stderr / mean

    def average(self, values: np.ndarray) -> tuple[float, float]:
        """Mean of ``values`` ``(n,)``, and its standard error."""
        return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))

    @property
    def effective(self) -> float:
        """The share of the samples that the weights ``exp(-f)`` leave."""
        weights = np.exp(self.f.min() - self.f)
        return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


def minimise(net: Autoregressive, energy: Energy, T: float, schedule: Schedule, seed: int = 1) -> Minimum:
    """Train ``net`` in place, from the uniform distribution or else as it is, at the temperature ``T``.

    Raises ``InputError`` where ``ln q`` or the energy turn non-finite.
    """
    generator = torch.Generator(net.site_bias.device).manual_seed(seed)
    if net.starts:
        net.initialise(np.full((net.n_sites, net.local_dim), 1 / net.local_dim))
    adam = Adam(net.parameters(), schedule.rate)
    for step in range(schedule.steps):
        share = -math.expm1(-HEATING * (step + 1) / schedule.steps)
        x = net.sample(schedule.samples, generator)
        adam.zero_grad()
        log_q = net.log_prob(x)
        f = log_q.detach() + _of(energy, x, log_q) * (share / T)
        loss = ((f - f.mean()) * log_q).mean()
        if not torch.isfinite(loss):
            raise InputError(f"training diverged at step {step + 1}: take a smaller learning rate.")
        loss.backward()
        adam.step()
    with torch.no_grad():
        x = net.sample(schedule.judged, generator)
        log_q = torch.cat([net.log_prob(part) for part in x.split(1 << 12)])
        f = log_q + _of(energy, x, log_q) / T
    return Minimum(x.cpu().numpy(), f.double().cpu().numpy(), T)


def _of(energy: Energy, x: Tensor, like: Tensor) -> Tensor:
    return torch.as_tensor(energy(x.cpu().numpy()), dtype=like.dtype, device=like.device)
