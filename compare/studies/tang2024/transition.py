"""Where one phase gives way to another, along the fields ``s`` at which ``y``, ``ln Z`` or its growth rate, is known.

The second derivative of ``y`` has its maximum there. Where that is broad it is the top of a parabola through the
highest three of its values. Where it is narrower than the fields are apart, what is known is the phases on both sides:
their branches of ``y`` cross at it (``Z`` is the sum of both, and the second derivative largest where they are equal).
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

NARROW = 0.65  # `_width` below which crossings are nearer: of FA and East, fields 6 to 26 % apart
APART = 1.7  # neighbours on both sides further apart, as a ratio, leave too much to the parabolas
SIDE = 3  # fields on each side of the transition that give its branch, a parabola


def derivatives(s: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second in ``s`` of ``y``, ``(n_s, ...)``, by a cubic spline through the fields and ``y(0) = 0``."""
    spline = CubicSpline(np.concatenate([[0.0], s]), np.concatenate([np.zeros_like(y[:1]), y]))
    return spline(s, 1), spline(s, 2)


def place(s: np.ndarray, y: np.ndarray, bend: np.ndarray) -> tuple[float, float]:
    """The field of the transition, and the height of ``bend``, the second derivative of ``y``, whose largest value is
    not at an end. With fewer than ``SIDE`` fields on a side of it there are no branches: the parabola stands."""
    best = int(np.argmax(bend))
    x, height = _top(np.log(s[best - 1 : best + 2]), bend[best - 1 : best + 2])
    kink = int(np.argmax(derivatives(s, y)[1]))
    dense = SIDE <= kink < len(s) - SIDE and s[kink + 1] < APART * s[kink - 1]
    crossing = _crossing(s, y, kink) if dense and _width(s, y, kink) < NARROW else None
    return crossing or float(np.exp(x)), height


def _width(s: np.ndarray, y: np.ndarray, kink: int) -> float:
    """The mean of the second derivative between the neighbours of a field, over its value there; 0.3 at a step of the
    slope, 1 where nothing is sharp."""
    first, second = derivatives(s, y)
    slopes = np.diff(y) / np.diff(s)
    before, after = np.clip(first[[kink - 1, kink + 1]], slopes[[kink - 2, kink]], slopes[[kink - 1, kink + 1]])
    return float((after - before) / (second[kink] * (s[kink + 1] - s[kink - 1])))


def _crossing(s: np.ndarray, y: np.ndarray, kink: int) -> float | None:
    """Where the parabolas through the fields before and after ``kink`` meet, between its neighbours."""
    sides = slice(kink - SIDE, kink), slice(kink + 1, kink + 1 + SIDE)
    before, after = (np.polyfit(s[side] - s[kink], y[side], 2) for side in sides)
    roots = [float(root.real) + s[kink] for root in np.roots(before - after) if abs(root.imag) < 1e-12]
    roots = [root for root in roots if s[kink - 1] < root < s[kink + 1]]
    return roots[0] if len(roots) == 1 else None


def _top(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The maximum of the parabola through three points."""
    a, b, c = np.polyfit(x - x[1], y, 2)
    return float(x[1] - b / (2 * a)), float(c - b * b / (4 * a))
