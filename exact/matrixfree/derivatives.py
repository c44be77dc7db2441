"""First and second derivatives of a function of one field by central differences, with a controlled step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SAFETY = 8.0
GOAL = 1e-9  # relative truncation aimed at
FIRST_STEP = 2e-3
SMALLEST_STEP = 1e-6
LEVELS = 4

Values = tuple[np.ndarray, np.ndarray]  # values and bounds of their errors, one an entry


@dataclass
class Derivatives:
    """``first`` and ``second`` derivatives ``(m,)`` with estimated errors (truncation and what the bounds allow)."""

    first: np.ndarray
    first_error: np.ndarray
    second: np.ndarray
    second_error: np.ndarray


def central(f: Callable[[float], Values], centre: Values) -> Derivatives:
    """Five-point derivatives at 0 of ``f(h)``, which is a vector of analytic functions with bounds.

    The step starts at 2e-3 and shrinks until the truncation is below 1e-9 (relative) in every entry, or rounding
    takes over; each entry keeps its best step. The truncation of order ``h^4`` is estimated from the difference ``r``
    between the orders two and four, ``8 r^2`` relative: the Taylor coefficients of a function with a nearest
    singularity grow geometrically.
    """
    m = len(centre[0])
    best = Derivatives(np.full(m, np.nan), np.full(m, np.inf), np.full(m, np.nan), np.full(m, np.inf))
    h = FIRST_STEP
    for _ in range(LEVELS):
        found, ratio = _stencil([f(-2 * h), f(-h), centre, f(h), f(2 * h)], h)
        _keep(best, found)
        worst = float(np.max(ratio, initial=0.0))
        if SAFETY * worst**2 <= GOAL or h <= SMALLEST_STEP:
            break
        h = max(SMALLEST_STEP, h * (np.sqrt(0.5 * np.sqrt(GOAL / SAFETY) / worst) if worst < 0.3 else 0.05))
    return best


def _stencil(points: list[Values], h: float) -> tuple[Derivatives, np.ndarray]:
    (a, ea), (b, eb), (c, ec), (d, ed), (e, ee) = points
    first, second = (a - 8 * b + 8 * d - e) / (12 * h), (-a + 16 * b - 30 * c + 16 * d - e) / (12 * h * h)
    low_first, low_second = (d - b) / (2 * h), (b - 2 * c + d) / (h * h)
    noise = (ea + 8 * eb + 8 * ed + ee) / (12 * h), (ea + 16 * eb + 30 * ec + 16 * ed + ee) / (12 * h * h)
    # second differences amplify rounding: a ratio that is mostly noise says nothing about the truncation
    ratio = np.maximum(_ratio(low_first, first, noise[0]), _ratio(low_second, second, 10 * noise[1]))
    truncation = SAFETY * ratio**2
    return (
        Derivatives(first, truncation * np.abs(first) + noise[0], second, truncation * np.abs(second) + noise[1]),
        ratio,
    )


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
