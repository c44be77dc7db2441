"""First and second derivatives of a function of one field by central differences, with a controlled step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

REACH = 4  # points on each side: nine-point formulas, of order h^8
SAFETY = 8.0
LUCK = 32.0  # of two orders that agree by chance, or a value that passes zero
GOAL = 1e-8  # relative truncation, as estimated, that is good enough; the estimate is mostly ten times too large
RATIO = (GOAL / SAFETY) ** 0.75  # difference of the orders six and eight that means so much
FIRST_STEP = 2.0**-8  # steps are powers of two: no field of this size is rounded when it is shifted
SMALLEST_STEP = 2.0**-40
LEVELS = 16

Values = tuple[np.ndarray, np.ndarray]  # values and bounds of their errors, one an entry


@dataclass
class Derivatives:
    """``first`` and ``second`` derivatives ``(m,)`` with estimated errors (truncation and what the bounds allow).

    ``step`` ``(m,)``: of each entry, the one to start with for a function like this one (at a neighbouring field).
    """

    first: np.ndarray
    first_error: np.ndarray
    second: np.ndarray
    second_error: np.ndarray
    step: np.ndarray


def central(f: Callable[[float], Values], centre: Values, step: float | np.ndarray = FIRST_STEP) -> Derivatives:
    """Nine-point derivatives at 0 of ``f(h)``, which is a vector of analytic functions with bounds.

    Each entry has its own step, halved until its truncation is below 1e-8 (relative) or rounding takes over: entries
    may bend on wildly different scales. Points that two steps share are computed once, and each entry keeps the best
    of all steps. The truncation, of order ``h^8``, is estimated from the difference ``r`` between the orders six and
    eight, ``8 r^(4/3)`` relative (the Taylor coefficients of a function with a nearest singularity grow geometrically),
    and from how fast the differences fall. A high order lets the step be long, so that rounding, divided by ``h^2`` in
    the second derivative, counts the less.
    """
    m = len(centre[0])
    wanted = 2.0 ** np.rint(np.log2(np.broadcast_to(step, m)))
    best = Derivatives(np.full(m, np.nan), np.full(m, np.inf), np.full(m, np.nan), np.full(m, np.inf), wanted.copy())
    known = {0.0: centre}
    open_ = np.ones(m, dtype=bool)
    for _ in range(LEVELS):
        if not open_.any():
            break
        h = float(wanted[open_].max())
        offsets = [k * h for k in range(-REACH, REACH + 1)]
        known |= {x: f(x) for x in offsets if x not in known}
        candidate, ratio, hidden = _stencil([known[x] for x in offsets], h)
        surprised = _keep(best, candidate, hidden)
        now = open_ & (wanted == h)
        best.step[now] = h * np.where(ratio[now] < RATIO / 2.0**6, np.minimum(2.0, FIRST_STEP / h), 1.0)
        # where steps of Euler are unstable at a shifted field there is no number
        now &= (~(ratio <= RATIO) | surprised) & (h > SMALLEST_STEP)
        open_ &= (wanted < h) | now
        halvings = np.where(ratio < 0.3, np.ceil(np.log2(np.maximum(ratio / RATIO, 2.0)) / 6), 3.0)
        wanted[now] = np.maximum(SMALLEST_STEP, h * 2.0 ** -halvings[now])
    return best


def _weights(order: int, reach: int) -> np.ndarray:
    """Of the central formula for the derivative of ``order`` at step one, ``(2 REACH + 1,)``; zero beyond ``reach``."""
    x = np.arange(-reach, reach + 1.0)
    wanted = np.zeros(len(x))
    wanted[order] = math.factorial(order)
    return np.pad(np.linalg.solve(np.vander(x, increasing=True).T, wanted), REACH - reach)


WEIGHTS = {(order, reach): _weights(order, reach) for order in (1, 2) for reach in range(REACH - 2, REACH + 1)}


def _stencil(points: list[Values], h: float) -> tuple[Derivatives, np.ndarray, np.ndarray]:
    """The derivatives by one step, the larger of their relative truncations of order six, and whether noise hides one."""
    values, errors = (np.array(column) for column in zip(*points))
    out: list[np.ndarray] = []
    worst, hidden = np.zeros(values.shape[1]), np.zeros(values.shape[1], dtype=bool)
    # second differences amplify rounding: a ratio that is mostly noise says nothing about the truncation
    for order, noisy in ((1, 1.0), (2, 10.0)):
        lowest, low, high = (WEIGHTS[order, reach] @ values / h**order for reach in range(REACH - 2, REACH + 1))
        noise = np.abs(WEIGHTS[order, REACH]) @ errors / h**order
        apart, before = np.abs(high - low), np.abs(low - lowest)
        ratio = apart / np.maximum(np.maximum(np.abs(high), apart), 1e-300)  # at most 1
        lucky = LUCK * apart
        falling = apart * (lucky / np.maximum(np.maximum(before, lucky), 1e-300))  # at most apart
        truncation = np.maximum(SAFETY * ratio ** (4 / 3) * np.abs(high), falling)
        out += [high, noise + np.where(apart < noise, apart, truncation)]
        below = apart < noisy * noise
        worst, hidden = np.maximum(worst, np.where(below, 0.0, ratio)), hidden | below
    first, first_error, second, second_error = out
    return Derivatives(first, first_error, second, second_error, np.full(len(worst), h)), worst, hidden


def _keep(best: Derivatives, candidate: Derivatives, hidden: np.ndarray) -> np.ndarray:
    """The better of two; where they contradict each other the larger step was beyond the radius of convergence.

    Where noise has ``hidden`` the truncation, ``(m,)``, the smaller may be beyond it, too: a kink within a step looks
    straight. Such contradictions are returned, ``(m,)``, and are the least error.
    """
    surprised = np.zeros(len(best.first), dtype=bool)
    for name in ("first", "second"):
        value, error = getattr(best, name), getattr(best, f"{name}_error")
        new, new_error = getattr(candidate, name), getattr(candidate, f"{name}_error")
        apart = np.abs(new - value)
        against = apart > new_error + error
        better = (new_error < error) | against
        error[better] = np.where(against & hidden, np.maximum(new_error, apart), new_error)[better]
        value[better] = new[better]
        surprised |= against & hidden
    return surprised
