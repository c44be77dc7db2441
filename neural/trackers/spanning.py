"""What `ritz` and `gates-ritz` share: flows that need not follow, because what they pass through spans ``exp(t H)``.

A flow of a symmetric operator that is cut or projected at each step loses the rare phase that decides the long times,
by a factor that it never gets back. Here the flows only supply trial states: at a growing sequence of times these are
taken into a span, which solves for the weights of all of them. Further flows start from the start tilted towards value
0, inside the other phase. Once new states change neither ``ln Z`` ahead nor the largest Ritz value, the flows stop, and
any later time follows from the span.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import systematic_sample
from vanbench.exact.warning import RunWarning
from vanbench.neural.estimators import Increment
from vanbench.neural.trackers.base import Problem, Step

ROUNDING = 1e-10  # of rates, which are zero at s = 0
AGAIN = 2  # times in a row that nothing must change before the flows stop


class Trials(Protocol):
    """The trial states of each of ``R`` counting fields."""

    @property
    def sizes(self) -> list[int]:
        """How many of each field."""
        ...

    def ln_z(self, t: float) -> tuple[Tensor, Tensor]:
        """``ln <v|exp(t H)|v>`` ``(R,)``, and influences whose products sum up to its covariance, ``(R, B)``."""
        ...

    def top(self) -> tuple[Tensor, Tensor]:
        """The largest Ritz value, likewise."""
        ...


class Spanning(ABC):
    """``name`` of its estimator; ``span``, ``flowed`` so far; a tracker says how its states flow on in `_flow`.
    ``first``, ``growth`` and ``still`` are told there."""

    name: str
    middle = True
    span: Trials
    least = 0.0  # flow time before which nothing counts as still

    def __init__(self, problem: Problem, first: float, growth: float, still: float):
        if not (0 < first < math.inf and 1 < growth < math.inf and 0 < still < math.inf):
            raise InputError("first and still must be positive, growth above 1, none of them infinite.")
        self.problem, self.first, self.growth, self.still = problem, first, growth, still
        self.now, self.flowed = 0.0, 0.0
        self.quiet = torch.zeros(len(problem.s), dtype=torch.int64)  # times in a row that nothing changed
        self.ahead: Tensor | None = None
        self.warnings: list[RunWarning] = []  # of the flows, since the last step

    @abstractmethod
    def _flow(self, time: float, moving: list[int]) -> None:
        """Flow on from ``flowed`` to ``time`` and take the states into the span, at least for the fields ``moving``."""

    @abstractmethod
    def _told(self) -> dict[str, Tensor]:
        """What the log holds besides, each ``(R,)``."""

    def _begin(self) -> None:
        """With the span of the starts alone."""
        self.ln_z, self.covariance = self._estimate(0.0)

    @torch.no_grad()
    def step(self, limit: float) -> Step:
        """To ``limit``, or as far as the next states reach."""
        following = self._next()
        moving = bool((self.quiet < AGAIN).any())
        dt = min(limit, max(following - self.now, self.first)) if moving else limit
        if moving and self.flowed < self.now + dt:
            self._extend(following)
        self.now += dt
        ln_z, covariance = self._estimate(self.now)
        # the log adds covariances up: a step is given the growth of that of the whole
        increment = Increment(ln_z - self.ln_z, covariance - self.covariance)
        self.ln_z, self.covariance = ln_z, covariance
        top, influences = self.span.top()
        told = {
            "scgf": top,
            "scgf_stderr": influences.square().sum(1).sqrt(),
            "flowed": torch.full_like(top, self.flowed),
            "networks": torch.tensor(self.span.sizes).to(top),
            **self._told(),
        }
        warnings, self.warnings = self.warnings, []
        return Step(dt, {self.name: increment}, self.name, told, warnings=warnings)

    def _extend(self, time: float) -> None:
        """Flow on to ``time``, and see whether the new states changed anything."""
        self._flow(time, (self.quiet < AGAIN).nonzero()[:, 0].tolist())
        self.flowed = time
        if self.ahead is not None:
            found = self._rates(time)
            same = ((found - self.ahead).abs() <= self.still * found.abs() + ROUNDING).all(0).cpu()
            same &= time >= self.least
            self.quiet = torch.where(same | (self.quiet >= AGAIN), self.quiet + 1, 0)
        self.ahead = self._rates(self._next())

    def _rates(self, time: float) -> Tensor:
        """``ln Z / t`` at twice a flow time, and the largest Ritz value: ``(2, R)``."""
        return torch.stack([self.span.ln_z(2 * time)[0] / (2 * time), self.span.top()[0]])

    def _next(self) -> float:
        """The flow time at which the next states are taken."""
        return max(self.flowed + self.first, self.flowed * self.growth)

    def _estimate(self, t: float) -> tuple[Tensor, Tensor]:
        value, influences = self.span.ln_z(t)
        return value, influences @ influences.T

    def _place(self) -> dict[str, Any]:
        """Of the checkpoint, how far this is."""
        return {"now": self.now, "flowed": self.flowed, "quiet": self.quiet, "ahead": self.ahead}

    def _resume(self, state: Mapping[str, Any]) -> None:
        """With the span of the checkpoint."""
        self.now, self.flowed, self.quiet = state["now"], state["flowed"], state["quiet"].cpu()
        self.ahead = None if state["ahead"] is None else state["ahead"].cpu()
        self.ln_z, self.covariance = self._estimate(self.now)


def spread(weights: Tensor, x: Tensor, count: int | None = None) -> Tensor:
    """``count`` of the configurations ``x``, ``(R, n, n_sites)``, in proportion to their ``weights``, ``(R, n)``."""
    rows = [systematic_sample(row, count or len(row), 0.5) for row in weights.cpu().numpy()]
    picked = torch.as_tensor(np.stack(rows), device=x.device)
    return x.gather(1, picked[..., None].expand(-1, -1, x.shape[2]))
