"""Population dynamics as a tracker: the baseline without a network that every table holds beside the networks.

The clones of `exact.trajectories.cloning`, taken a step at a time: Gillespie moves at the tilted rates, weights
``exp(int (W_s^T 1)(x) dt)``, resampling where they have become uneven.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction, relative_weights, systematic_sample
from vanbench.exact.trajectories.cloning import even_out
from vanbench.exact.trajectories.jumptables import advance, compile_moves, draw_starts
from vanbench.neural.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import Problem, Step


class Clones:
    """``clones`` walkers in ``populations`` independent ones, whose scatter gives the standard error.

    ``Z`` is the mean over the populations: unbiased, so ``ln Z`` is too low by half its variance. No network is used:
    the architecture of the run stays as it was made.

    clones, populations
        in all, for each ``s``, and the independent parts they are in.
    dt
        the longest time between two checks of the weights.
    """

    uses_network = False

    def __init__(self, problem: Problem, clones: int = 100_000, populations: int = 10, dt: float = 0.25):
        if not dt > 0:
            raise InputError(f"dt = {dt}: the time step must be positive.")
        if populations < 2 or clones < 20 * populations:
            raise InputError("clones needs at least 2 populations of at least 20 clones each: raise 'clones'.")
        self.problem, self.dt = problem, dt
        self.size, self.populations = clones // populations, populations
        self.tables = [compile_moves(problem.system, s, problem.observable) for s in problem.s]
        start = draw_starts(problem.system, self.size * populations, self._rng())
        self.x = np.stack([start] * len(self.tables))  # the same starts and seeds for each s: common random numbers
        self.log_weights = np.zeros(self.x.shape[:2])
        self.banked = np.zeros((len(self.tables), populations))
        self.ln_z, self.covariance = self._estimate()

    def step(self, limit: float) -> Step:
        dt = limit / max(1, int(np.ceil(limit / self.dt - 1e-9)))
        seed = int(self._rng().integers(2**62))
        for r, tables in enumerate(self.tables):
            x, weights = self.x[r], self.log_weights[r]
            advance(tables, x, np.zeros(0), weights, dt, seed)
            for p, part in enumerate(self._parts()):
                rng = np.random.default_rng([seed, p])
                self.banked[r, p] += even_out(x[part], np.zeros(self.size), weights[part], rng)
        ln_z, covariance = self._estimate()
        # the log adds covariances up: a step is given the growth of that of the whole
        increment = Increment(ln_z - self.ln_z, covariance - self.covariance)
        self.ln_z, self.covariance = ln_z, covariance
        return Step(dt, {"clones": increment}, "clones", {"ess": self._effective()})

    @property
    def measured(self) -> Tensor:
        """Clones in proportion to their weights, ``(R, n, n_sites)``, few enough to count as independent."""
        log_weights = self.log_weights + np.repeat(self.banked, self.size, 1)
        return torch.from_numpy(independent(self.x, log_weights, self.populations))

    def state(self) -> Mapping[str, Any]:
        return {name: torch.from_numpy(getattr(self, name)) for name in ("x", "log_weights", "banked")}

    def load(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value.cpu().numpy())
        self.ln_z, self.covariance = self._estimate()

    def _parts(self) -> list[slice]:
        return [slice(p * self.size, (p + 1) * self.size) for p in range(self.populations)]

    def _estimate(self) -> tuple[Tensor, Tensor]:
        """``ln Z`` ``(R,)`` and its covariance from the scatter of the populations."""
        weights = torch.from_numpy(self.log_weights).view(len(self.x), self.populations, self.size)
        each = torch.from_numpy(self.banked) + weights.logsumexp(2) - np.log(self.size)
        whole = each.logsumexp(1) - np.log(self.populations)
        return whole, covariance_of_means(torch.exp(each - whole[:, None]))

    def _effective(self) -> Tensor:
        """The least effective part of a population, ``(R,)``."""
        weights = torch.from_numpy(self.log_weights).view(len(self.x), self.populations, self.size)
        return effective_fraction(relative_weights(weights)).amin(1)

    def _rng(self) -> np.random.Generator:
        generator = self.problem.generator
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
