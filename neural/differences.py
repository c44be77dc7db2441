"""The dynamical activity and susceptibility from networks trained side by side at neighbouring counting fields.

``k_t(s) = -(1/(N t)) d ln Z/ds`` needs the left vector, which the tracked distribution does not hold; so it comes from
differences of ``ln Z`` over ``s`` whose runs share their random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.definitions.quantities import order_of

SHARPEST = 0.2  # of ``1 / (N t)``: a transition is wider by the inverse of its jump of ``k``
LEAST = 1e-4  # below it the rounding of ``ln Z`` shows in second differences


def spacing(s: float, volume: float, noiseless: bool) -> float:
    """The distance ``h`` of the side fields; its bias, ``h^2/6 d^3 ln Z/ds^3`` of a slope, is in no standard error.

    Where ``ln Z`` is sampled, ``h`` is a tenth of ``s``, which passes over transitions that are sharper; where it is
    ``noiseless``, a fraction of ``1 / volume``, ``volume = N t``, of the last time.
    """
    wide = max(0.02, 0.1 * abs(s))
    return float(np.clip(SHARPEST / volume, LEAST, wide)) if noiseless and volume > 0 else wide


def fields(s: Sequence[float], quantities: Sequence[str], volume: float, noiseless: bool) -> list[float]:
    """The counting fields to train: those asked for, and their neighbours where a difference is needed."""
    if not order_of(quantities):
        return list(s)
    return [value + k * spacing(value, volume, noiseless) for value in s for k in (-1, 0, 1)]


def stencils(fields: Sequence[float], order: int) -> list[np.ndarray]:
    """Weights on ``ln Z`` at `fields` for each ``s``: first or second derivative, to second order in ``h``."""
    out = []
    for i in range(len(fields) // 3):
        h, weights = (fields[3 * i + 2] - fields[3 * i]) / 2, np.zeros(len(fields))
        weights[3 * i : 3 * i + 3] = (
            np.array([-1.0, 0.0, 1.0]) / (2 * h) if order == 1 else np.array([1.0, -2.0, 1.0]) / h**2
        )
        out.append(weights)
    return out
