"""Explicit steps along a velocity that is only known from samples, and how long they may be.

A step of a scheme ends where the next begins, so the velocity there is known anyway, and with it a second solution:
that of the trapezoidal rule beside the midpoint rule, and of the pair 4(3) beside the classical Runge-Kutta rule. Their
distance tells what the step is off by, at no cost; Reh, Schmitt and Gaerttner, Phys. Rev. Lett. 127, 230501 (2021),
compare a step with two half steps. As there it is measured in the Fisher norm: the spread of ``ln p - ln p'`` over
samples of the networks. That holds for every generator, also where ``ln Z`` stays zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

GROWS, FALLS = 1.5, 0.5  # of one step to the next
SHORTEST = 1024  # as many steps in the longest: what asks for more is noise
FIRST = 16  # likewise, of the first step
SAFE = 0.9  # of the step that the error allows
REFUSED = 2.0  # times the error allowed: such a step is taken again


@dataclass(frozen=True)
class Scheme:
    """``nodes``: where the stages after the first stand in the step, each reached along the velocity before it;
    ``weights`` of all of them in the step.

    apart
        weights of the stages and of the velocity at the end, in the distance to the other solution.
    power
        of ``dt``, by which that grows.
    stable
        steps amplify what decays faster than this divided by ``dt``.
    """

    nodes: tuple[float, ...]
    weights: tuple[float, ...]
    apart: tuple[float, ...]
    power: int
    stable: float


MIDPOINT = Scheme((0.5,), (0.0, 1.0), (-0.5, 1.0, -0.5), 3, 2.0)
RUNGE_KUTTA = Scheme((0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6), (0.0, 0.0, 0.0, 1 / 6, -1 / 6), 4, 2.785)
SCHEMES = {2: MIDPOINT, 4: RUNGE_KUTTA}


def weighted(weights: Sequence[float], values: Sequence[Tensor]) -> Tensor:
    return torch.stack([weight * value for weight, value in zip(weights, values)]).sum(0)


def cut(dt: float, limit: float) -> float:
    """``dt``, or less, so that ``limit`` is met without a short last step."""
    pieces = max(1, math.ceil(limit / dt - 1e-9))
    return limit / pieces if pieces < 3 else dt


def adapted(dt: float, longest: float, factor: float) -> float:
    """The next step: ``factor`` times this one, within bounds."""
    return min(longest, dt * min(GROWS, max(FALLS, factor)))


def noise(scheme: Scheme, dt: float, lengths: Sequence[Tensor]) -> Tensor:
    """Of the distance between the solutions, where each velocity is known to within a ``length`` ``(R,)``."""
    return dt * weighted([w**2 for w in scheme.apart], [length.square() for length in lengths]).sqrt()
