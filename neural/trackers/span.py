"""Rayleigh-Ritz in the span of normalised networks: the flow of a symmetric operator where no network has to follow it.

For amplitudes ``psi_1 .. psi_K`` with ``|psi_k| = 1`` the matrices ``S_jk = <psi_j|psi_k>`` and
``H_jk = <psi_j|H|psi_k>`` give ``exp(t H)`` inside the span. What a network misses is then an error of second order,
and an error in the *weight* of a rare phase, which a flow of parameters carries along for ever, is none at all: weights
are solved for anew.

All sums run over equally many configurations of each ``psi_k^2``, that is over ``m = mean_k psi_k^2``. The ratios
``psi_k^2 / m`` are bounded by ``K`` and average to 1 exactly, which makes them control variates: the configurations
are weighted so that every one of these averages is met (calibration; Deville and Saerndal, J. Am. Stat. Assoc. 87, 376
(1992)). Errors are those of the jackknife, which also takes out the bias of first order in ``1/n``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..ensemble import Parameters
from .base import Problem

BLOCKS = 10  # of the jackknife
CUT = 1e-6  # directions of the span with less of its largest squared norm are left out: they are noise


class Span:
    """``K`` networks for each of ``R`` counting fields, and what each of them is on the configurations of all.

    local
        ``(x, ln phi) -> (H psi / psi)(x)`` of the ensemble's networks as they are, ``(R, n)``.
    samples
        configurations of each network.
    """

    def __init__(self, problem: Problem, local: Callable[[Tensor, Tensor], Tensor], samples: int):
        self.problem, self.local, self.samples = problem, local, samples
        self.networks: list[Parameters] = []
        self.x: Tensor | None = None
        self.log_phi = torch.zeros(len(problem.s), 0, 0)  # (R, n, K)
        self.energy = torch.zeros(len(problem.s), 0, 0)
        self.parts: list[list[Part]] = []

    def __len__(self) -> int:
        return len(self.networks)

    def add(self) -> None:
        """Take the ensemble's networks as they are into the span; they stand in the ensemble again afterwards."""
        ensemble = self.problem.ensemble
        new, x = ensemble.frozen(), self.problem.sample(self.samples)
        self.networks.append(new)
        if self.x is not None:
            rows = [self._evaluate(network, x) for network in self.networks[:-1]]
            phi, energy = (torch.stack(part, 2) for part in zip(*rows))
            self.log_phi = torch.cat([self.log_phi, phi], 1)
            self.energy = torch.cat([self.energy, energy], 1)
            x = torch.cat([self.x, x], 1)
        self.x = x
        phi, energy = (part[..., None] for part in self._evaluate(new, x))
        self.log_phi = torch.cat([self.log_phi, phi], 2) if self.log_phi.numel() else phi
        self.energy = torch.cat([self.energy, energy], 2) if self.energy.numel() else energy
        self.parts = []

    def ln_z(self, t: float) -> tuple[Tensor, Tensor]:
        """``ln <v|exp(t H)|v>`` of the first network ``v``, ``(R,)``, and its influences ``(R, BLOCKS)``.

        The squares of the influences add up to the variance.
        """
        values = torch.tensor([[part.ln_z(t) for part in parts] for parts in self._solved()], dtype=torch.float64)
        return _jackknife(values)

    def top(self) -> tuple[Tensor, Tensor]:
        """The largest Ritz value, a lower bound of the largest eigenvalue up to noise; as `ln_z`."""
        values = torch.tensor([[part.values[-1] for part in parts] for parts in self._solved()], dtype=torch.float64)
        return _jackknife(values)

    def weights(self, t: float) -> Tensor:
        """The normalised square of ``exp(t H / 2) v`` on the configurations ``x``, ``(R, n)``."""
        amplitude = self._amplitudes()
        c = torch.stack([parts[0].coefficients(t) for parts in self._solved()])
        square = (amplitude @ c[..., None].to(amplitude))[..., 0].square()
        return square / square.sum(1, keepdim=True)

    def effective(self, t: float) -> Tensor:
        """The effective part of the configurations under `weights`, ``(R,)``."""
        w = self.weights(t)
        return 1 / (w.square().sum(1) * w.shape[1])

    def _evaluate(self, network: Parameters, x: Tensor) -> tuple[Tensor, Tensor]:
        ensemble = self.problem.ensemble
        kept = ensemble.frozen()
        ensemble.load(network)
        log_phi = self.problem.log_prob(x)
        energy = self.local(x, log_phi)
        ensemble.load(kept)
        return log_phi.double(), energy.double()

    def _amplitudes(self) -> Tensor:
        """``psi_k(x) / sqrt(m(x))``, ``(R, n, K)``."""
        log_m = self.log_phi.logsumexp(2, keepdim=True) - math.log(len(self))
        return ((self.log_phi - log_m) / 2).exp()

    def _solved(self) -> list[list[Part]]:
        """For each counting field the solution from all configurations, then from all but each block."""
        if not self.parts:
            u = self._amplitudes().cpu()
            h = u * self.energy.cpu()
            block = torch.arange(u.shape[1]) % BLOCKS
            choices = [block >= 0, *(block != b for b in range(BLOCKS))]
            self.parts = [[Part(a[keep], b[keep]) for keep in choices] for a, b in zip(u, h)]
        return self.parts

    def state(self) -> Mapping[str, Any]:
        networks = [dict(network) for network in self.networks]
        return {"networks": networks, "x": self.x, "log_phi": self.log_phi, "energy": self.energy}

    def load(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self.parts = []


class Part:
    """The solution from one set of configurations: Ritz values, and the first amplitude's share in each vector."""

    def __init__(self, u: Tensor, h: Tensor):
        w = calibrated(u.square())
        overlap, energy = u.T @ (w[:, None] * u), u.T @ (w[:, None] * h)
        norms, vectors = torch.linalg.eigh(overlap)
        keep = norms > CUT * norms[-1]
        basis = vectors[:, keep] / norms[keep].sqrt()
        reduced = basis.T @ energy @ basis
        self.values, rotation = torch.linalg.eigh((reduced + reduced.T) / 2)
        self.basis = basis @ rotation
        self.start = self.basis.T @ overlap[:, 0]
        self.norm = float(self.start.square().sum())

    def ln_z(self, t: float) -> float:
        return float((2 * self.start.abs().log() + t * self.values).logsumexp(0)) - math.log(self.norm)

    def coefficients(self, t: float) -> Tensor:
        """Of ``exp(t H / 2) v`` in the amplitudes, up to a factor, ``(K,)``."""
        return self.basis @ (self.start * torch.exp(t / 2 * (self.values - self.values[-1])))


def calibrated(ratios: Tensor) -> Tensor:
    """Weights ``(n,)`` close to ``1/n`` under which every column of ``ratios`` ``(n, K)`` averages to exactly 1."""
    n = len(ratios)
    miss = ratios.mean(0) - 1
    centred = ratios - ratios.mean(0)
    gram = centred.T @ centred / n
    return (1 - centred @ (torch.linalg.pinv(gram, rtol=1e-10, hermitian=True) @ miss)) / n


def _jackknife(values: Tensor) -> tuple[Tensor, Tensor]:
    """From the value of all data and those without each block, ``(R, 1 + blocks)``."""
    whole, without = values[:, 0], values[:, 1:]
    count = without.shape[1]
    mean = without.mean(1, keepdim=True)
    influences = (without - mean) * ((count - 1) / count) ** 0.5
    return count * whole - (count - 1) * mean[:, 0], influences
