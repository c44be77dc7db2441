"""Rayleigh-Ritz in the span of normalised networks: the flow of a symmetric operator where no network has to follow it.

For amplitudes ``psi_1 .. psi_K`` with ``|psi_k| = 1`` the matrices ``S_jk = <psi_j|psi_k>`` and
``H_jk = <psi_j|H|psi_k>`` give ``exp(t H)`` inside the span. What a network misses is then an error of second order,
and an error in the *weight* of a rare phase, which a flow of parameters carries along for ever, is none at all: weights
are solved for anew.

A network breaks the symmetries of the system; its amplitude is averaged over the images of a configuration, which
leaves only the part that ``exp(t H) v`` can have.

All sums run over equally many configurations of each network and its images, that is over their mean density ``m``.
The ratios of each density to ``m`` are bounded by ``K`` and average to 1 exactly; and because ``H`` is symmetric,
``psi_j (H psi_k) / m - psi_k (H psi_j) / m`` averages to 0. Both make control variates: the configurations are weighted
so that every one of these averages is met (calibration). Where the span holds an eigenvector its noise is then none.

The span is then doubled by the residuals ``(H - E) psi`` of its Ritz vectors ``psi``: what they leave out, to the next
power of ``H``, as a step of block Lanczos would. Their norms and energies, which need the neighbours of neighbours,
are plain averages over fewer configurations, for they make only a correction.

Errors are those of the jackknife, which also takes out the bias of first order in ``1/n``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from vanbench.exact.statistics import effective_fraction, jackknife_deviations
from vanbench.neural.ensemble import Parameters
from vanbench.neural.trackers.base import Problem, Saved
from vanbench.neural.trackers.subspace.calibration import calibrated, controls, main_directions
from vanbench.neural.trackers.subspace.symmetry import symmetries
from vanbench.neural.trackers.tangent import amplitude

BLOCKS = 10  # of the jackknife
CUT = 1e-6  # directions of the span with less of its largest squared norm are left out: they are noise
RESIDUAL_CUT = 1e-4  # the same for residuals, whose matrices are noisier
EMPTY = torch.zeros(0, 0, 0, dtype=torch.float64)
EVALUATED = ("log_density", "log_psi", "energy", "energy2")


@dataclass(frozen=True)
class Span(Saved):
    """``K`` networks for each of ``R`` counting fields, and what each of them is on the configurations ``x`` of all.

    samples, second
        configurations of each network, and those of them that the residuals are measured on.
    log_density, log_psi, energy, energy2
        of the images' averages ``(R, n, K)``, and ``(H^2 psi / psi)(x)`` of the first ``second`` of each network.
    """

    samples: int
    second: int
    networks: list[Parameters] = field(default_factory=list)
    x: Tensor | None = None
    log_density: Tensor = EMPTY
    log_psi: Tensor = EMPTY
    energy: Tensor = EMPTY
    energy2: Tensor = EMPTY

    @property
    def sizes(self) -> list[int]:
        """How many of each counting field."""
        return [len(self.networks)] * len(self.log_psi)

    def with_networks(self, problem: Problem) -> Span:
        """With the ensemble's networks as they are; they stand in the ensemble again afterwards."""
        images = problem.derived(_images)
        new, x = problem.ensemble.frozen(), problem.sample(self.samples)
        turns = torch.arange(self.samples, device=x.device) % len(images)
        x = x.gather(2, images[turns].expand_as(x))  # equally many of each image
        kept = [getattr(self, name) for name in EVALUATED]
        if self.x is not None:
            rows = [self._evaluate(problem, network, x) for network in self.networks]
            kept = [torch.cat([old, torch.stack(part, 2)], 1) for old, part in zip(kept, zip(*rows))]
            x = torch.cat([self.x, x], 1)
        added = [part[..., None] for part in self._evaluate(problem, new, x)]
        kept = added if self.x is None else [torch.cat(pair, 2) for pair in zip(kept, added)]
        return Span(self.samples, self.second, [*self.networks, new], x, *kept)

    def ln_z(self, t: float) -> tuple[Tensor, Tensor]:
        """``ln <v|exp(t H)|v>`` of the first network ``v``, ``(R,)``, and its influences ``(R, BLOCKS)``.

        The squares of the influences add up to the variance.
        """
        values = torch.tensor([[part.ln_z(t) for part in parts] for parts in self.solved], dtype=torch.float64)
        return _jackknife(values)

    def missed(self, t: float, last: int) -> Tensor:
        """How far ``ln_z(t)`` is off by what the span lacks, ``(R,)``: what it changes by without the residuals, and
        without the ``last`` networks. Each is the step before this one, so that this one misses less."""
        whole, before = [parts[0] for parts in self.solved], [parts[0] for parts in self._without(last).solved]
        values = [[one.ln_z(t), one.ln_z(t, residuals=False), less.ln_z(t)] for one, less in zip(whole, before)]
        full, plain, shorter = torch.tensor(values, dtype=torch.float64).T
        return torch.hypot(full - plain, full - shorter)

    def _without(self, last: int) -> Span:
        """Of the networks before the ``last``."""
        kept = len(self.networks) - last
        assert self.x is not None
        rows, few = kept * self.samples, kept * self.second
        evaluated = [part[:, :rows, :kept] for part in (self.log_density, self.log_psi, self.energy)]
        evaluated.append(self.energy2[:, :few, :kept])
        return Span(self.samples, self.second, self.networks[:kept], self.x[:, :rows], *evaluated)

    def top(self) -> tuple[Tensor, Tensor]:
        """The largest Ritz value, a lower bound of the largest eigenvalue up to noise; as `ln_z`."""
        values = torch.tensor([[part.values[-1] for part in parts] for parts in self.solved], dtype=torch.float64)
        return _jackknife(values)

    def weights(self, t: float) -> Tensor:
        """The normalised square of ``exp(t H / 2) v`` on the configurations ``x``, ``(R, n)``."""
        values = self._amplitudes()
        c = torch.stack([parts[0].coefficients(t) for parts in self.solved])
        square = (values @ c[..., None].to(values))[..., 0].square()
        return square / square.sum(1, keepdim=True)

    def effective(self, t: float) -> Tensor:
        """The effective part of the configurations under `weights`, ``(R,)``."""
        return effective_fraction(self.weights(t))

    def _evaluate(self, problem: Problem, network: Parameters, x: Tensor) -> tuple[Tensor, ...]:
        """What `EVALUATED` names for one network on configurations ``(R, n, n_sites)``, ``n`` whole sets of samples.

        With the average over images ``psi``: ``ln`` of the density and of ``psi``, ``H psi / psi``, ``H^2 psi / psi``.
        """
        ensemble, turns = problem.ensemble, problem.derived(_images)
        kept = ensemble.frozen()
        ensemble.load(network)
        images = torch.stack([x[..., image] for image in turns], 1)  # (R, images, n, n_sites)
        log_phi = problem.log_prob(images.flatten(1, 2))
        energy = amplitude.local(problem, images.flatten(1, 2), log_phi)
        log_phi, energy = (part.double().unflatten(1, images.shape[1:3]) for part in (log_phi, energy))
        some = self._some(x.shape[1])
        few = [part[:, :, some].flatten(1, 2) for part in (images, log_phi, energy)]
        energy2 = amplitude.twice(problem, *few).unflatten(1, (len(turns), -1))
        ensemble.load(kept)
        share = torch.softmax(log_phi / 2, 1)
        logs = [part - math.log(len(turns)) for part in (log_phi.logsumexp(1), (log_phi / 2).logsumexp(1))]
        return (*logs, (share * energy).sum(1), (share[:, :, some] * energy2).sum(1))

    def _some(self, n: int) -> Tensor:
        """Which of ``n`` configurations the residuals are measured on: the first ones of each network's."""
        return torch.arange(n) % self.samples < self.second

    def _log_m(self) -> Tensor:
        return self.log_density.logsumexp(2, keepdim=True) - math.log(len(self.networks))

    def _amplitudes(self) -> Tensor:
        """``psi_k(x) / sqrt(m(x))``, ``(R, n, K)``."""
        return (self.log_psi - self._log_m() / 2).exp()

    @cached_property
    def solved(self) -> list[list[Part]]:
        """For each counting field the solution from all configurations, then from all but each block."""
        values = self._amplitudes().cpu()
        ratios = (self.log_density - self._log_m()).exp().cpu()
        some = self._some(values.shape[1])
        block, out = torch.arange(len(some)) % BLOCKS, []
        for r, u in enumerate(values):
            main = main_directions(u, CUT)
            h, h2 = (u * self.energy[r].cpu()) @ main, (u[some] * self.energy2[r].cpu()) @ main
            powers = Powers(main, u[:, 0], u @ main, h, some, h2)
            weights = calibrated(controls(ratios[r], powers.u, powers.h), BLOCKS)
            left_out = [(block == b)[some] for b in (-1, *range(BLOCKS))]
            whole = Part(powers, weights[0], ~left_out[0])
            less = [Part(powers, w, ~left, whole.sizes) for w, left in zip(weights[1:], left_out[1:])]
            out.append([whole, *less])
        return out


def _images(problem: Problem) -> Tensor:
    """Permutations of the sites that leave the system as it is, ``(order, n_sites)``."""
    images = symmetries(problem.system, problem.s, problem.observable)
    return torch.as_tensor(images, device=problem.ensemble.device)


@dataclass
class Powers:
    """The first amplitude, the main directions of the span, and ``H`` and ``H^2`` on them, divided by ``sqrt(m)``."""

    directions: Tensor  # (K, D)
    first: Tensor  # (n,)
    u: Tensor  # (n, D)
    h: Tensor  # (n, D)
    some: Tensor  # (n,): on which of the configurations there is
    h2: Tensor  # (n2, D)


class Part:
    """The solution from one set of configurations: eigenvalues, and the first amplitude's share in each vector.

    ``sizes``: how many directions of the span and of its residuals are kept, those of the largest norms; without each
    block as many as of the whole, or what the jackknife sees would be directions that come and go.
    """

    def __init__(self, a: Powers, w: Tensor, use: Tensor, sizes: tuple[int, int] | None = None):
        overlap, energy = a.u.T @ (w[:, None] * a.u), a.u.T @ (w[:, None] * a.h)
        norms, vectors = _largest(overlap, CUT, sizes[0] if sizes else None)
        basis = vectors / norms.sqrt()
        reduced = basis.T @ energy @ basis
        ritz, rotation = torch.linalg.eigh((reduced + reduced.T) / 2)
        basis = basis @ rotation
        start = basis.T @ (a.u.T @ (w * a.first))
        coupling, among = _residuals(a, basis, ritz, use, sizes[1] if sizes else None)
        self.sizes = coupling.shape[0], coupling.shape[1]
        doubled = torch.cat([torch.cat([ritz.diag(), coupling], 1), torch.cat([coupling.T, among], 1)])
        self.values, self.vectors = torch.linalg.eigh(doubled)
        self.start = self.vectors[: len(ritz)].T @ start
        self.basis = a.directions @ basis
        self.plain = ritz, start

    def ln_z(self, t: float, residuals: bool = True) -> float:
        values, start = (self.values, self.start) if residuals else self.plain
        return float((2 * start.abs().log() + t * values).logsumexp(0) - start.square().sum().log())

    def coefficients(self, t: float) -> Tensor:
        """Of ``exp(t H / 2) v`` in the amplitudes, without residuals and up to a factor, ``(K,)``."""
        grown = self.start * torch.exp(t / 2 * (self.values - self.values[-1]))
        return self.basis @ (self.vectors[: self.basis.shape[1]] @ grown)


def _residuals(a: Powers, basis: Tensor, ritz: Tensor, use: Tensor, size: int | None) -> tuple[Tensor, Tensor]:
    """``H`` between Ritz vectors and the normalised residuals, and among the latter.

    ``<r_j|H|psi_k> = <r_j|r_k>``, because a residual is orthogonal to the span.
    """
    u, h, h2 = (part[use] @ basis for part in (a.u[a.some], a.h[a.some], a.h2))
    r, hr = h - u * ritz, h2 - h * ritz
    norms, vectors = _largest(r.T @ r / len(r), RESIDUAL_CUT, size)
    scaled = vectors / norms.sqrt()
    among = scaled.T @ (r.T @ hr / len(r)) @ scaled
    return vectors * norms.sqrt(), (among + among.T) / 2


def _largest(gram: Tensor, cut: float, size: int | None) -> tuple[Tensor, Tensor]:
    """The ``size`` largest eigenvalues of ``gram``, by default those above ``cut`` of the largest, and the vectors.

    Of a part of the data some may fall below that, down to nothing, where dividing by them is dividing by noise.
    """
    norms, vectors = torch.linalg.eigh(gram)
    size = int((norms > cut * norms[-1]).sum()) if size is None else size
    return norms[-size:].clamp_min(cut * norms[-1]), vectors[:, -size:]


def _jackknife(values: Tensor) -> tuple[Tensor, Tensor]:
    """From the value of all data and those without each block, ``(R, 1 + blocks)``."""
    whole, without = values[:, 0], values[:, 1:]
    count = without.shape[1]
    return count * whole - (count - 1) * without.mean(1), jackknife_deviations(without)
