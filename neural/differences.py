"""The dynamical activity and susceptibility from networks trained side by side at neighbouring counting fields.

``k_t(s) = -(1/(N t)) d ln Z/ds`` needs the left vector, which the tracked distribution does not hold; so it comes from
differences of ``ln Z`` over ``s`` whose runs share their random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NEEDS_DIFFERENCES = ("activity", "susceptibility")


def spacing(s: float) -> float:
    """The distance ``h`` of the side fields: its bias is ``h^2/6 d^3 ln Z/ds^3``, below a percent for a tenth of s."""
    return max(0.02, 0.1 * abs(s))


def fields(s: Sequence[float], quantities: Sequence[str]) -> list[float]:
    """The counting fields to train: those asked for, and their neighbours where a difference is needed."""
    if not set(NEEDS_DIFFERENCES) & set(quantities):
        return list(s)
    return [value + k * spacing(value) for value in s for k in (-1, 0, 1)]


def stencils(s: Sequence[float], quantity: str) -> list[np.ndarray]:
    """Weights on ``ln Z`` at ``fields(s, ...)`` for each ``s``: first or second derivative, second order in ``h``."""
    out = []
    for i, value in enumerate(s):
        h, weights = spacing(value), np.zeros(3 * len(s))
        weights[3 * i : 3 * i + 3] = (
            np.array([-1.0, 0.0, 1.0]) / (2 * h) if quantity == "activity" else np.array([1.0, -2.0, 1.0]) / h**2
        )
        out.append(weights)
    return out
