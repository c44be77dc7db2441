"""`Gates` on the symmetrised amplitude, where detailed balance holds and the start is the equilibrium measure.

With ``H = pi^(-1/2) W_s pi^(1/2)`` symmetric, ``Z_t = <v|exp(t H)|v> = |exp(t H / 2) v|^2`` for ``v = sqrt(pi)``: half
the time is enough, with half of the steps and of what they cut.
"""

from __future__ import annotations

import math
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.tensor_train import TensorTrain
from vanbench.neural.trackers.base import Diverged, Problem
from vanbench.neural.trackers.gates import Gates


class SymmetricGates(Gates):
    """As `Gates`, for the activity of detailed-balance systems from their equilibrium measure, in half the steps.

    At the time ``t`` the network holds ``P`` at ``t/2``, from which ``Z_t = sum_x P(x)^2 / pi(x)``; observables are
    those of the middle of the trajectory in the s-ensemble, from samples of ``P^2 / pi``. Raises ``InputError`` where
    detailed balance does not hold.
    """

    pace, middle = 0.5, True

    def __init__(self, problem: Problem, dt: float = 0.8, order: int = 4, cutoff: float = 1e-18, measure: int = 20000):
        super().__init__(problem, dt, order, cutoff, balanced=True, measure=measure)
        gates = [m for groups in self.groups for group in groups for _, m in group]
        everywhere = (problem.system.initial[list(problem.system.free_sites)] > 0).all()
        if not (everywhere and all(np.allclose(m, m.T, rtol=1e-9, atol=1e-12) for m in gates)):
            raise InputError(
                "gates-symmetric and gates-ritz need detailed balance with the start as equilibrium: take gates."
            )

    def tilted(self, h: float) -> SymmetricGates:
        """The same from the start tilted towards value 0, ``pi(x) exp(h n)`` with ``n`` sites at 0; before a step."""
        weights = np.full_like(self.scale, math.exp(min(-h, 0.0) / 2))  # none above 1
        weights[:, 0] = math.exp(min(h, 0.0) / 2)
        other = copy(self)  # with the same exponentials
        other.trains = [train.times(weights) for train in self.trains]
        for train in other.trains:
            self._shorten(train)
        return other

    @property
    def measured(self) -> Tensor:
        if self._measured is None:
            device = self.problem.ensemble.device
            drawn = [draw(train, self.measure, self.problem.generator) for train in self.trains]
            self._measured = torch.stack(drawn).to(device)
        return self._measured

    def _shorten(self, train: TensorTrain) -> float:
        """Make the norm one; by how much ``ln Z`` has grown."""
        norm = train.norm
        if not (np.isfinite(norm) and norm > 0):
            raise Diverged("the amplitude is not finite: take a smaller dt.")
        train.divide(norm)
        return 2 * math.log(norm)


def draw(train: TensorTrain, n: int, generator: torch.Generator) -> Tensor:
    """Configurations ``(n, n_sites)`` from the squares of the entries."""
    train.move(0)
    generator = on_cpu(generator)
    rows, out = torch.ones(n, 1, dtype=torch.float64), []
    for core in train.cores:
        ahead: Any = torch.einsum("nl,lvr->nvr", rows, torch.from_numpy(np.ascontiguousarray(core)))
        weights = ahead.square().sum(2)
        value = torch.multinomial(weights, 1, generator=generator)
        out.append(value[:, 0])
        rows = ahead[torch.arange(n), value[:, 0]]
        rows = rows / rows.norm(dim=1, keepdim=True)
    return torch.stack(out, 1)


def on_cpu(generator: torch.Generator) -> torch.Generator:
    """Itself, or one that begins with a number from it."""
    if generator.device.type == "cpu":
        return generator
    seed = torch.randint(1 << 62, (1,), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))
