"""Derivatives of an evolved vector in the counting field, kept as cumulants so that long times lose no digits."""

from __future__ import annotations

import numpy as np


def recentred(state: np.ndarray, logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``state`` (p, p', p'') of total (1, 0, 0), and ``logs`` with the logarithm's derivatives that this took out.

    Cumulants grow like ``t``, moments like ``t^2``: summed up piece by piece the cumulants keep their digits.
    """
    total = np.abs(state[0]).sum()
    state = state / total
    m = state.sum(1) / state[0].sum()
    out = [np.log(total)]
    if len(state) > 1:
        first = state[1] - m[1] * state[0]
        out.append(m[1])
        if len(state) > 2:
            variance = m[2] - m[1] ** 2
            state[2] += -2 * m[1] * state[1] + (m[1] ** 2 - variance) * state[0]
            out.append(variance)
        state[1] = first
    return state, logs + np.array(out)
