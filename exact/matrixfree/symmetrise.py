"""Detailed balance, found from the terms, and the similarity transform that makes ``W_s`` symmetric.

If ``W_s[x', x] pi(x) = W_s[x, x'] pi(x')`` for a product measure ``pi`` then ``H_s = pi^-1/2 W_s pi^1/2`` is symmetric
(Garrahan et al., J. Phys. A 42, 075007 (2009), sec. 4). It holds at every ``s`` for a counter that counts a move and
its reverse alike (the activity), not for currents.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.matrixfree.local import Local, tilted

TOLERANCE = 1e-13  # relative asymmetry of a local matrix: rates and measures are given to a few units of rounding


def equilibrium(system: System, s: float = 0.0, observable: str = "activity") -> np.ndarray | None:
    """A product measure ``(n_sites, d)``, positive on the free sites, that symmetrises ``W_s`` and its derivative.

    Tried: the initial measure, the one that the one-site moves ask for, and the uniform one. The check is exact, on
    each local matrix (terms on the same sites added), to a relative 1e-13. None when all fail.
    """
    free = list(system.free_sites)
    parts = [tilted(system, s, observable, order) for order in ((0, 1) if observable in system.observables else (0,))]
    for pi in _candidates(system, parts[0]):
        if (pi[free] > 0).all() and all(symmetric(p, pi, system.local_dim) is not None for p in parts):
            return pi
    return None


def symmetric(parts: Sequence[Local], pi: np.ndarray, d: int) -> list[Local] | None:
    """The local matrices ``pi^-1/2 M pi^1/2``, or None where one of them is not symmetric."""
    out = []
    for part in parts:
        root = np.ones(1)
        for site in part.sites:
            root = np.multiply.outer(root, np.sqrt(pi[site])).ravel()
        h = part.matrix * root / root[:, None]
        if np.abs(h - h.T).max(initial=0.0) > TOLERANCE * np.abs(h).max(initial=0.0):
            return None
        out.append(Local(part.sites, (h + h.T) / 2))
    return out


def is_equilibrium_start(system: System, pi: np.ndarray) -> bool:
    """Whether the system starts from ``pi`` (conditioned on its support), to rounding."""
    start, free = system.initial, list(system.free_sites)
    return start.ndim == 2 and bool((np.abs(start[free] - pi[free]) <= 1e-14).all())


def _candidates(system: System, parts: Sequence[Local]) -> list[np.ndarray]:
    d, uniform = system.local_dim, np.full((system.n_sites, system.local_dim), 1.0 / system.local_dim)
    guesses = [system.initial] if system.initial.ndim == 2 else []
    if d == 2:
        guesses.append(_from_flips(parts, uniform.copy()))
    return [*guesses, uniform]


def _from_flips(parts: Sequence[Local], pi: np.ndarray) -> np.ndarray:
    """For each site ``pi(1) / pi(0) = rate(0 -> 1) / rate(1 -> 0)``, from any flip that has both rates."""
    for part in parts:
        k = len(part.sites)
        for place, site in enumerate(part.sites):
            flip = 1 << (k - 1 - place)
            for down in (row for row in range(1 << k) if not row & flip):
                rise, fall = part.matrix[down | flip, down], part.matrix[down, down | flip]
                if rise > 0 and fall > 0:
                    pi[site] = np.array([fall, rise]) / (rise + fall)
    return pi
