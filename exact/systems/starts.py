"""Named initial distributions of classical systems."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vanbench.exact.errors import InputError


def bernoulli(n_sites: int, density: float, pinned: Mapping[int, int] | None = None) -> np.ndarray:
    """Product measure ``(n_sites, 2)`` of up-density ``density``; pinned sites hold their value."""
    p = np.tile([1.0 - density, density], (n_sites, 1))
    for site, value in (pinned or {}).items():
        p[site] = np.eye(2)[value]
    return p


def classical_start(
    name: str, n_sites: int, stationary: float | None, pinned: Mapping[int, int] | None = None
) -> np.ndarray:
    """``stationary``, ``up``, ``down`` or ``bernoulli:p`` as a product measure ``(n_sites, 2)``."""
    if name == "stationary":
        if stationary is None:
            raise InputError("this system has no stationary product measure: start from 'bernoulli:p', 'up' or 'down'.")
        return bernoulli(n_sites, stationary, pinned)
    if name in ("up", "down"):
        return bernoulli(n_sites, float(name == "up"), pinned)
    kind, _, value = str(name).partition(":")
    try:
        density = float(value)
    except ValueError:
        density = -1.0
    if kind != "bernoulli" or not 0 <= density <= 1:
        raise InputError(f"unknown start {name!r}: take 'stationary', 'up', 'down' or 'bernoulli:p' with 0 <= p <= 1.")
    return bernoulli(n_sites, density, pinned)
