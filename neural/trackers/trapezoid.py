"""The published dynamics of open systems: implicit trapezoidal steps, fitted in the L1 norm. Luo et al., PRL (2022)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.ensemble import Parameters
from vanbench.neural.estimators import Increment
from vanbench.neural.trackers.base import Problem, Step
from vanbench.neural.trackers.l1 import L1Tracker, Residual, cooled


class Trapezoid(L1Tracker):
    """``(1 - dt L/2) p_{t+dt} = (1 + dt L/2) p_t`` by minimising the L1 norm of the difference with Adam.

    Second order and stable for any step; any generator, signed or not, at ``s = 0``. ``dt`` is twice the published
    ``tau``.

    dt
        the largest time step; a report time is met by equal shorter ones.
    epochs
        iterations a step.
    decay
        the learning rate falls to this fraction in the second half of each step; 1 keeps it.
    window
        the last fraction of the iterations, over which the reported loss is averaged.
    samples, learning_rate, neighbours, measure, full_summation
        as of `L1Tracker`.
    """

    scheme = "trapezoid"

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.016,
        epochs: int = 120,
        decay: float = 0.05,
        window: float = 0.2,
        **options: Any,
    ):
        if not (dt > 0 and 0 < decay <= 1 and 0 < window <= 1) or epochs < 1:
            raise InputError("dt must be positive, epochs at least 1, decay and window in (0, 1].")
        super().__init__(problem, **options)
        self.dt, self.epochs, self.decay, self.window = dt, epochs, decay, window

    def step(self, limit: float) -> Step:
        dt = limit / max(1, math.ceil(limit / self.dt - 1e-9))
        loss = self._minimise(step_residual(dt), self.problem.ensemble.frozen())
        self._measured = None
        return conserved(dt, self.problem, {"loss": loss})

    def _minimise(self, residual: Residual, before: Parameters) -> Tensor:
        """All iterations of a step; the loss at the end. Whatever stops them, the networks of before come back."""
        losses = []
        try:
            for epoch in range(self.epochs):
                losses.append(self.fit.iterate([residual], before, cooled(epoch / self.epochs, self.decay)))
        except Exception:
            self.problem.ensemble.load(before)
            raise
        last = max(1, round(self.window * self.epochs))
        return torch.stack(losses[-last:]).mean(0)


def step_residual(dt: float) -> Residual:
    """What a trapezoidal step of length ``dt`` makes zero."""
    return Residual(1.0, 1.0, -dt / 2, -1.0, -dt / 2)


def conserved(dt: float, problem: Problem, diagnostics: dict[str, Tensor]) -> Step:
    """A step that keeps the total probability: ``ln Z`` stays where it is."""
    zero = torch.zeros(len(problem.s), dtype=torch.float64, device=problem.ensemble.device)
    return Step(dt, {"conserved": Increment.certain(zero)}, "conserved", diagnostics)
