"""First and second derivatives of a function of one field by central differences, with a controlled step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

REACH = 4  # points on each side: nine-point formulas, of order h^8
SAFETY = 8.0
GOAL = 1e-8  # relative truncation, as estimated, that is good enough; the estimate is mostly ten times too large
RATIO = (GOAL / SAFETY) ** 0.75  # difference of the orders six and eight that means so much
FIRST_STEP = 2.5e-3
LARGEST_STEP, SMALLEST_STEP = 5e-3, 1e-6
LEVELS = 4

Values = tuple[np.ndarray, np.ndarray]  # values and bounds of their errors, one an entry


@dataclass
class Derivatives:
    """``first`` and ``second`` derivatives ``(m,)`` with estimated errors (truncation and what the bounds allow).

    ``step``: the one to start with for a function like this one (at a neighbouring field).
    """

    first: np.ndarray
    first_error: np.ndarray
    second: np.ndarray
    second_error: np.ndarray
    step: float


def central(f: Callable[[float], Values], centre: Values, step: float = FIRST_STEP) -> Derivatives:
    """Nine-point derivatives at 0 of ``f(h)``, which is a vector of analytic functions with bounds.

    The step is halved until the truncation is below 1e-8 (relative) in every entry, or rounding takes over; points
    that two steps share are computed once, and each entry keeps its best step. The truncation, of order ``h^8``, is
    estimated from the difference ``r`` between the orders six and eight, ``8 r^(4/3)`` relative: the Taylor
    coefficients of a function with a nearest singularity grow geometrically. A high order lets the step be long, so
    that rounding, divided by ``h^2`` in the second derivative, counts the less.
    """
    m = len(centre[0])
    best = Derivatives(np.full(m, np.nan), np.full(m, np.inf), np.full(m, np.nan), np.full(m, np.inf), step)
    known = {0.0: centre}
    h = step
    for _ in range(LEVELS):
        offsets = [k * h for k in range(-REACH, REACH + 1)]
        known |= {x: f(x) for x in offsets if x not in known}
        found, ratio = _stencil([known[x] for x in offsets], h)
        _keep(best, found)
        worst = float(np.max(ratio, initial=0.0))
        best.step = min(LARGEST_STEP, h * min(2.0, 0.8 * (RATIO / max(worst, 1e-300)) ** (1 / 6)))
        if worst <= RATIO or h <= SMALLEST_STEP:
            break
        h = max(SMALLEST_STEP, h / (2.0 ** math.ceil(math.log2(worst / RATIO) / 6) if worst < 0.3 else 8.0))
    best.step = max(SMALLEST_STEP, best.step)
    return best


def _weights(order: int, reach: int) -> np.ndarray:
    """Of the central formula for the derivative of ``order`` at step one, ``(2 REACH + 1,)``; zero beyond ``reach``."""
    x = np.arange(-reach, reach + 1.0)
    wanted = np.zeros(len(x))
    wanted[order] = math.factorial(order)
    return np.pad(np.linalg.solve(np.vander(x, increasing=True).T, wanted), REACH - reach)


WEIGHTS = {(order, reach): _weights(order, reach) for order in (1, 2) for reach in (REACH - 1, REACH)}


def _stencil(points: list[Values], h: float) -> tuple[Derivatives, np.ndarray]:
    values, errors = (np.array(column) for column in zip(*points))
    out: list[np.ndarray] = []
    ratio = np.zeros(values.shape[1])
    # second differences amplify rounding: a ratio that is mostly noise says nothing about the truncation
    for order, noisy in ((1, 1.0), (2, 10.0)):
        low, high = (WEIGHTS[order, reach] @ values / h**order for reach in (REACH - 1, REACH))
        noise = np.abs(WEIGHTS[order, REACH]) @ errors / h**order
        ratio = np.maximum(ratio, _ratio(low, high, noisy * noise))
        out += [high, noise]
    first, first_noise, second, second_noise = out
    truncation = SAFETY * ratio ** (4 / 3)
    found = Derivatives(
        first, truncation * np.abs(first) + first_noise, second, truncation * np.abs(second) + second_noise, h
    )
    return found, ratio


def _ratio(low: np.ndarray, high: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Relative difference of two orders, at most 1; zero where ``noise`` exceeds it."""
    apart = np.abs(low - high)
    return np.where(apart < noise, 0.0, np.minimum(apart / np.maximum(np.abs(high), 1e-300), 1.0))


def _keep(best: Derivatives, found: Derivatives) -> None:
    """The better of two; where they contradict each other the larger step was beyond the radius of convergence."""
    for name in ("first", "second"):
        value, error = getattr(best, name), getattr(best, f"{name}_error")
        new, new_error = getattr(found, name), getattr(found, f"{name}_error")
        better = (new_error < error) | (np.abs(new - value) > new_error + error)
        value[better], error[better] = new[better], new_error[better]
