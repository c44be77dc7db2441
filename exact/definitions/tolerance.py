"""Whether what a user gives is equal to what it should be, up to rounding."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-12  # relative: some thousand units in the last place, which sums of given numbers may differ by


def close(given: np.ndarray, wanted: np.ndarray | float) -> bool:
    """Whether all elements are finite and agree to `ROUNDING` of the largest, or of 1 where all are smaller."""
    if not np.isfinite(given).all():
        return False
    scale = max(1.0, float(np.abs(given).max(initial=0.0)))
    return bool((np.abs(given - wanted) <= ROUNDING * scale).all())
