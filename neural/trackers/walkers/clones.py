"""Population dynamics as a tracker: the baseline without a network that every table holds beside the networks.

The clones of `exact.trajectories.cloning`, taken a step at a time: Gillespie moves at the tilted rates, weights
``exp(int (W_s^T 1)(x) dt)``, resampling where they have become uneven.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction, relative_weights, systematic_sample
from vanbench.exact.trajectories.cloning import even_out
from vanbench.exact.trajectories.jumptables import JumpTables, advance, compile_moves, draw_starts
from vanbench.neural.run.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import POSITIVE, Observed, Problem, Step, Tracker, Variant
from vanbench.neural.trackers.options import option


@dataclass
class Population:
    """Walkers ``x`` ``(s, clones, n_sites)``, their ``log_weights`` since they were last evened out, and what was
    ``banked`` before, ``(s, populations)``; ``ln Z`` so far, ``(R,)``, with its covariance."""

    x: np.ndarray
    log_weights: np.ndarray
    banked: np.ndarray
    ln_z: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class Clones(Tracker[Population]):
    """Cloning of walkers without a network, in independent populations whose scatter gives the standard error.

    ``Z`` is the mean over the populations: unbiased, so ``ln Z`` is too low by half its variance.
    """

    name = "clones"
    variants = (Variant("Gillespie moves of each clone", needs=(POSITIVE,), network="none"),)
    saved = (Population,)

    clones: int = option(100_000, "total number of walkers for each s", least=1)
    populations: int = option(10, "number of independent populations", least=2)
    dt: float = option(0.25, "longest time between two checks of the weights", above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        enough(self.clones, self.populations)

    @property
    def size(self) -> int:
        """Of a population."""
        return self.clones // self.populations

    @property
    def longest_step(self) -> float:
        return self.dt

    def init(self, problem: Problem) -> Population:
        tables = problem.derived(_tables)
        start = draw_starts(problem.system, self.size * self.populations, _rng(problem))
        x = np.stack([start] * len(tables))  # the same starts and seeds for each s: common random numbers
        log_weights, banked = np.zeros(x.shape[:2]), np.zeros((len(tables), self.populations))
        return Population(x, log_weights, banked, *self._estimate(log_weights, banked))

    def step(self, problem: Problem, state: Population, limit: float) -> tuple[Population, Step]:
        dt = limit / max(1, int(np.ceil(limit / self.dt - 1e-9)))
        seed = int(_rng(problem).integers(2**62))
        walkers, log_weights, banked = state.x.copy(), state.log_weights.copy(), state.banked.copy()
        for r, tables in enumerate(problem.derived(_tables)):
            x, weights = walkers[r], log_weights[r]
            advance(tables, x, np.zeros(0), weights, dt, seed)
            for p, part in enumerate(self._parts()):
                rng = np.random.default_rng([seed, p])
                banked[r, p] += even_out(x[part], np.zeros(self.size), weights[part], rng)
        ln_z, covariance = self._estimate(log_weights, banked)
        # the log adds covariances up: a step is given the growth of that of the whole
        increment = Increment(ln_z - state.ln_z, covariance - state.covariance)
        told = {"ess": self._effective(log_weights)}
        after = Population(walkers, log_weights, banked, ln_z, covariance)
        return after, Step(dt, {self.name: increment}, self.name, told, off=beside(self._each(log_weights, banked)))

    def observe(self, problem: Problem, state: Population) -> Observed:
        """Clones in proportion to their weights, few enough to count as independent."""
        log_weights = state.log_weights + np.repeat(state.banked, self.size, 1)
        x = torch.from_numpy(independent(state.x, log_weights, self.populations))
        return Observed(x, certain=[doubt(self.populations)] * len(problem.s))

    def _parts(self) -> list[slice]:
        return [slice(p * self.size, (p + 1) * self.size) for p in range(self.populations)]

    def _estimate(self, log_weights: np.ndarray, banked: np.ndarray) -> tuple[Tensor, Tensor]:
        """``ln Z`` ``(R,)`` and its covariance from the scatter of the populations."""
        each = self._each(log_weights, banked)
        whole = each.logsumexp(1) - np.log(self.populations)
        return whole, covariance_of_means(torch.exp(each - whole[:, None]))

    def _each(self, log_weights: np.ndarray, banked: np.ndarray) -> Tensor:
        """``ln Z`` of each population, ``(R, populations)``."""
        weights = torch.from_numpy(log_weights).view(len(log_weights), self.populations, self.size)
        return torch.from_numpy(banked) + weights.logsumexp(2) - np.log(self.size)

    def _effective(self, log_weights: np.ndarray) -> Tensor:
        """The least effective part of a population, ``(R,)``."""
        weights = torch.from_numpy(log_weights).view(len(log_weights), self.populations, self.size)
        return effective_fraction(relative_weights(weights)).amin(1)


def enough(clones: int, populations: int) -> None:
    """Raise ``InputError`` for populations that are too small."""
    if clones < 20 * populations:
        raise InputError("clones needs at least 2 populations of at least 20 clones each: raise 'clones'.")


def beside(each: Tensor) -> Tensor:
    """What standard errors leave out of the error of ``ln Z``, ``(R,)``, from that of ``each`` population, ``(R, P)``.

    Few populations do not know their scatter well (Student's distribution). And one of them alone is typically too low,
    by the difference between ``ln`` of the mean and the mean of ``ln``: where a few walkers carry ``Z``, all together
    may be too low by as much.
    """
    whole = each.logsumexp(1) - np.log(each.shape[1])
    variance = covariance_of_means(torch.exp(each - whole[:, None])).diagonal()
    return ((doubt(each.shape[1]) ** 2 - 1) * variance + (whole - each.mean(1)) ** 2).sqrt()


def doubt(populations: int) -> float:
    """By what standard errors from the scatter of ``populations`` are to be multiplied for two of them to hold the
    truth in 95 %."""
    return float(stdtrit(populations - 1, 0.975) / ndtri(0.975))


def _tables(problem: Problem) -> list[JumpTables]:
    return [compile_moves(problem.system, s, problem.observable) for s in problem.s]


def _rng(problem: Problem) -> np.random.Generator:
    generator = problem.generator
    return np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator, device=generator.device)))


def independent(x: np.ndarray, log_weights: np.ndarray, populations: int) -> np.ndarray:
    """Of walkers ``(R, clones, n_sites)`` some in proportion to their weights, ``(R, n, n_sites)``, few enough to count
    as independent.

    Relatives are not: ``n`` is the variance of the density over the walkers divided by that of its mean, known from the
    scatter of the populations, which follow each other, at the field where it is least.
    """
    counts, rows = [], []
    for own, walkers in zip(log_weights, x):
        weights, density = relative_weights(own), walkers.mean(1)
        order = np.argsort(density, kind="stable")  # as strata, so that picking adds no noise to the density
        counts.append(_worth(weights / weights.sum(), density, populations))
        rows.append((weights[order], walkers[order]))
    count, offset = min(counts), np.random.default_rng(0).random()
    return np.stack([walkers[systematic_sample(weights, count, offset)] for weights, walkers in rows])


def _worth(weights: np.ndarray, values: np.ndarray, populations: int) -> int:
    """How many independent values have a mean as uncertain as that of these, by the scatter of the populations."""
    parts = weights * (values - weights @ values)
    scatter = populations * parts.reshape(populations, -1).sum(1).var(ddof=1)
    spread = weights @ (values - weights @ values) ** 2
    return int(np.clip(spread / max(scatter, 1e-300), 2, len(values)))
