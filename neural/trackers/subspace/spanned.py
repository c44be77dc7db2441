"""The state of `ritz`, and what both kinds of its trial states answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vanbench.exact.statistics import effective_fraction, systematic_sample
from vanbench.exact.warning import RunWarning
from vanbench.neural.trackers.base import Observed, Problem
from vanbench.neural.trackers.subspace.span import Span
from vanbench.neural.trackers.subspace.train_span import TrainSpan


@dataclass(frozen=True)
class Spanned:
    """``flows``: their states, ``flowed`` so far; ``span``: of what they have passed through.

    quiet
        times in a row that nothing changed, for each field.
    ahead
        what `Ritz` expects of the next states.
    """

    flows: list[Any]
    span: Span | TrainSpan
    now: float
    flowed: float
    quiet: Tensor
    ahead: Tensor | None
    ln_z: Tensor
    covariance: Tensor


class Trials(Protocol):
    """How trial states of one kind begin, flow on, and are measured."""

    def begin(self, problem: Problem) -> tuple[list[Any], Span | TrainSpan]:
        """The flows at their starts, and the span of these."""

    def flow(
        self, problem: Problem, state: Spanned, time: float, moving: Sequence[int]
    ) -> tuple[list[Any], Any, list[RunWarning]]:
        """The flows at ``time``, and the span with their states, at least for the fields ``moving``."""

    def observe(self, problem: Problem, state: Spanned) -> Observed:
        """Configurations of the square of ``exp(t H / 2) v``; as many as count, for the field where fewest do: more
        would make standard errors too small."""

    def told(self, state: Spanned) -> dict[str, Tensor]:
        """What the log holds besides, each ``(R,)``."""


def spread(weights: Tensor, x: Tensor, count: int) -> Tensor:
    """``count`` of the configurations ``x``, ``(R, n, n_sites)``, in proportion to their ``weights``, ``(R, n)``."""
    rows = [systematic_sample(row, count, 0.5) for row in weights.cpu().numpy()]
    picked = torch.as_tensor(np.stack(rows), device=x.device)
    return x.gather(1, picked[..., None].expand(-1, -1, x.shape[2]))


def effective(weights: Tensor) -> int:
    """How many of the ``weights`` ``(R, n)`` count, for the field where fewest do; at least 2."""
    return max(2, round(weights.shape[1] * float(effective_fraction(weights).min())))
