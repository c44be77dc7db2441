"""Local operators: the terms of a system, tilted, on its free sites, as the matrix-free kernels take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, unknown


@dataclass(frozen=True, eq=False)
class Local:
    """``matrix`` ``(d**k, d**k)``, column = from, row = to, on ``k`` free sites (first most significant)."""

    sites: tuple[int, ...]
    matrix: np.ndarray


def tilted(system: System, s: float = 0.0, observable: str = "activity", order: int = 0) -> list[Local]:
    """The local parts of ``W_s`` (or its ``order``-th derivative in ``s``) on the free sites, by set of sites.

    Terms on the same sites are added. Raises ``InputError`` for an observable no term counts and for a term that
    moves a pinned site.
    """
    if (s or order) and observable not in system.observables:
        raise unknown(f"observable of {system.name}", observable, system.observables)
    parts = (Local(t.sites, t.tilted(observable, s, order)) for t in system.terms)
    return merged((_free(part, system) for part in parts), system.local_dim)


def merged(parts: Iterable[Local], d: int) -> list[Local]:
    """The same sum with one matrix for each set of sites, sites in rising order."""
    by_sites: dict[tuple[int, ...], np.ndarray] = {}
    for part in parts:
        sites, matrix = part.sites, part.matrix
        if list(sites) != sorted(sites):
            order, k = np.argsort(sites), len(sites)
            axes = [*order, *(k + order)]
            matrix = matrix.reshape((d,) * (2 * k)).transpose(axes).reshape(d**k, d**k)
            sites = tuple(int(sites[i]) for i in order)
        by_sites[sites] = by_sites[sites] + matrix if sites in by_sites else matrix
    return [Local(sites, matrix) for sites, matrix in by_sites.items()]


def _free(part: Local, system: System) -> Local:
    """``part`` with its pinned sites at their values, left out of ``sites``."""
    if not any(site in system.pinned for site in part.sites):
        return part
    d, k = system.local_dim, len(part.sites)
    digits = np.stack(np.unravel_index(np.arange(d**k), (d,) * k), axis=-1)
    held = np.ones(d**k, dtype=bool)
    for axis, site in enumerate(part.sites):
        if site in system.pinned:
            held &= digits[:, axis] == system.pinned[site]
    leak = part.matrix[np.ix_(~held, held)]
    if leak.any():
        pinned = next(site for site in part.sites if site in system.pinned)
        raise InputError(f"the term on sites {part.sites} moves the pinned site {pinned}: leave that move out.")
    free = tuple(site for site in part.sites if site not in system.pinned)
    return Local(free, part.matrix[np.ix_(held, held)])


def transposed(parts: Iterable[Local]) -> list[Local]:
    return [Local(p.sites, p.matrix.T.copy()) for p in parts]


def diagonal_of(parts: Iterable[Local], axis_of: Mapping[int, int], d: int) -> np.ndarray:
    """The diagonal of the sum over all codes of the sites of ``axis_of``; those of a part stand in rising order."""
    n = len(axis_of)
    total = np.zeros((d,) * n)
    for part in parts:
        axes = {axis_of[site] for site in part.sites}
        total += np.diagonal(part.matrix).reshape([d if axis in axes else 1 for axis in range(n)])
    return total.ravel()


def diagonal(site: int, values: np.ndarray) -> Local:
    """The one-site operator ``diag(values)``."""
    return Local((site,), np.diag(np.asarray(values, dtype=float)))
