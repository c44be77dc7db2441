"""`Gates` on the symmetrised amplitude, where detailed balance holds and the start is the equilibrium measure.

``Z_t = |exp(t H / 2) v|^2`` for ``v = sqrt(pi)`` (`exact.mps.evolution`): half the time is enough.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact.mps.state import MatrixProductState
from vanbench.neural.trackers.base import Problem
from vanbench.neural.trackers.gates import Gates


class SymmetricGates(Gates):
    """As `Gates`, for the activity of detailed-balance systems from their equilibrium measure, in half the steps.

    At the time ``t`` the network holds ``P`` at ``t/2``, from which ``Z_t = sum_x P(x)^2 / pi(x)``; observables are
    those of the middle of the trajectory in the s-ensemble, from samples of ``P^2 / pi``. Raises ``InputError`` where
    detailed balance does not hold.
    """

    symmetrised, middle = True, True

    def __init__(self, problem: Problem, dt: float = 0.8, order: int = 4, cutoff: float = 1e-18, measure: int = 20000):
        super().__init__(problem, dt, order, cutoff, measure=measure)

    def tilted(self, h: float) -> SymmetricGates:
        """The same from the start tilted towards value 0, ``pi(x) exp(h n)`` with ``n`` sites at 0; before a step."""
        other = copy(self)
        other.evolutions = [evolution.tilted(h) for evolution in self.evolutions]
        return other

    @property
    def measured(self) -> Tensor:
        if self._measured is None:
            device = self.problem.ensemble.device
            drawn = [draw(e.state, self.measure, self.problem.generator) for e in self.evolutions]
            self._measured = torch.stack(drawn).to(device)
        return self._measured


def draw(state: MatrixProductState, n: int, generator: torch.Generator) -> Tensor:
    """Configurations ``(n, n_sites)`` from the squares of the entries."""
    state.move_centre(0)
    generator = on_cpu(generator)
    rows, out = torch.ones(n, 1, dtype=torch.float64), []
    for tensor in state.tensors:
        ahead: Any = torch.einsum("nl,lvr->nvr", rows, torch.from_numpy(np.ascontiguousarray(tensor)))
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
