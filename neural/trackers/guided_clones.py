"""Clones steered by a network: the same ``Z`` on average, whatever the guide.

With a guide ``g(x) > 0`` the clones follow ``g W_s g^-1`` from ``g P_0`` and count ``1 / g`` in the end; the best guide
is the left vector ``<-|exp((T - t) W_s)|x>``, under which all weights are equal. For detailed balance it tends to
``p(x) / p_0(x)`` of the tracked distribution. The guide here is its best product, ``prod_i m_i(x_i) / m_i0(x_i)`` from
the network's site averages: then ``g W_s g^-1`` is again a sum of the same local terms, and the clones stay as fast.
Nemoto, Bouchet, Jack and Lecomte, Phys. Rev. E 93, 062123 (2016).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from exact import InputError, System, Term
from exact.trajectories.jumptables import compile_moves

from .base import Problem, Step
from .clones import Clones
from .tdvp import TDVP

LARGEST = 3.0  # of ``|ln g|`` on one site
SMOOTHING = 1.0  # configurations added to each count of a site's average


class GuidedClones(Clones):
    """As `Clones`, with a network that follows by `TDVP` and steers them.

    clones, populations, dt
        as of `Clones`.
    strength
        power of the guide: 0 are plain clones, 1 is the full product.
    every
        time between two updates of the guide.
    samples
        configurations a stage of the network's tracker.
    """

    uses_network = True

    def __init__(
        self,
        problem: Problem,
        clones: int = 100_000,
        populations: int = 10,
        dt: float = 0.25,
        strength: float = 0.5,
        every: float = 1.0,
        samples: int = 1000,
    ):
        if not (0 <= strength <= 1 and every > 0):
            raise InputError("strength must be between 0 and 1, and every positive.")
        self.strength, self.every, self.age = strength, every, 0.0
        self.guide = np.zeros((len(problem.s), problem.system.n_sites, problem.system.local_dim))
        super().__init__(problem, clones, populations, dt)
        self.network = TDVP(problem, samples=samples)

    def step(self, limit: float) -> Step:
        step = super().step(limit)
        left = step.dt
        while left > 1e-12:
            left -= self.network.step(left).dt
        self.age += step.dt
        if self.age >= self.every * (1 - 1e-9):
            self._steer()
        return step

    def _steer(self) -> None:
        """A new guide from the network as it is; the weights change with it, so that ``Z`` does not."""
        x = self.network.measured.cpu().numpy()
        values = np.arange(self.problem.system.local_dim)
        counts = (x[..., None] == values).sum(1) + SMOOTHING
        start = np.log(np.maximum(self.problem.system.initial, SMOOTHING / x.shape[1]))
        guide = np.clip(self.strength * (np.log(counts / counts.sum(-1, keepdims=True)) - start), -LARGEST, LARGEST)
        guide[:, list(self.problem.system.pinned)] = 0.0
        before = self._log_guide()
        self.guide, self.age = guide, 0.0
        self.log_weights += self._log_guide() - before
        self._compile()

    def _compile(self) -> None:
        problem = self.problem
        self.tables = [
            compile_moves(steered(problem.system, guide), s, problem.observable)
            for s, guide in zip(problem.s, self.guide)
        ]

    def _log_guide(self) -> np.ndarray:
        """``ln g`` of every clone, ``(R, clones)``."""
        sites = np.arange(self.x.shape[-1])
        return np.stack([guide[sites, x].sum(-1) for guide, x in zip(self.guide, self.x)])

    def _unguided(self) -> np.ndarray:
        return self.log_weights - self._log_guide()

    def state(self) -> Mapping[str, Any]:
        own = {"guide": torch.from_numpy(self.guide), "age": self.age}
        return {**super().state(), **own, "network": dict(self.network.state())}

    def load(self, state: Mapping[str, Any]) -> None:
        self.guide, self.age = state["guide"].cpu().numpy(), state["age"]
        self.network.load(state["network"])
        self._compile()
        super().load({name: state[name] for name in ("x", "log_weights", "banked")})


def steered(system: System, guide: np.ndarray) -> System:
    """The system of ``g W g^-1`` for ``ln g(x) = sum_i guide[i, x_i]``: each local matrix between its factors."""
    terms = []
    for term in system.terms:
        log_g = np.zeros(1)
        for site in term.sites:  # row-major, the first site most significant
            log_g = np.add.outer(log_g, guide[site]).ravel()
        gauge = np.exp(log_g[:, None] - log_g[None, :])
        counters = {
            name: tuple((increment, jump * gauge) for increment, jump in counter)
            for name, counter in term.counters.items()
        }
        terms.append(Term(term.sites, term.matrix * gauge, counters, term.potentials))
    return replace(system, terms=tuple(terms))
