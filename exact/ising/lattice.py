"""The lattice of the Ising references: which sites interact, and the energy of a configuration.

    H(s) = -J sum_<ij> s_i s_j - h sum_i s_i - plaquette sum_[ijkl] s_i s_j s_k s_l

Every bond and every plaquette is a *set* of sites and is counted once. On a periodic direction of length 2
the neighbour to the left and to the right is the same site, so there is one bond there, not two (and none
on a direction of length 1). Closed forms that wrap around twice, such as Kaufman's, are therefore used from
length 3 on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vanbench.exact.errors import InputError

IntArray = NDArray[np.integer]
FloatArray = NDArray[np.floating]
LARGEST = 1e100  # of a coupling and a temperature: their ratios and squares stay finite


def sides(shape: Sequence[int]) -> tuple[int, int]:
    """(rows, columns) of a chain `(L,)` or a rectangle `(L, L')`; raises InputError for anything else."""
    shape = tuple(shape)
    if len(shape) not in (1, 2) or any(int(n) != n or n < 1 for n in shape):
        raise InputError(
            f"the Ising references need a shape of one or two positive lengths, got {shape}: use e.g. (4, 4)"
        )
    return (1, int(shape[0])) if len(shape) == 1 else (int(shape[0]), int(shape[1]))


def check_temperatures(temperatures: Sequence[float] | FloatArray | float) -> FloatArray:
    """Temperatures as a float array (n,); raises InputError unless all are positive and finite (1e-100 to 1e100)."""
    values = np.atleast_1d(np.asarray(temperatures, dtype=float))
    if values.ndim != 1 or values.size == 0 or not np.all((values >= 1 / LARGEST) & (values <= LARGEST)):
        raise InputError("temperatures must be positive finite numbers, 1e-100 to 1e100: give e.g. 1:4:0.1")
    return values


def check_couplings(**couplings: float) -> None:
    """Raises InputError unless every coupling is a finite number, up to 1e100 in size."""
    for name, value in couplings.items():
        if not abs(value) <= LARGEST:
            raise InputError(f"the coupling {name} must be a finite number up to 1e100 in size, got {value}")


def site_sets(shape: Sequence[int], offsets: Sequence[Sequence[tuple[int, int]]]) -> IntArray:
    """All distinct site sets (n_sets, k) that the given offsets make around each site of the periodic
    lattice.

    `offsets` is a list of patterns, each of k offsets (row, column). Sets in which a site repeats (short
    periodic directions) are left out, and sets that coincide are kept once.
    """
    rows, columns = sides(shape)
    distinct = set()
    for pattern in offsets:
        for r in range(rows):
            for c in range(columns):
                sites = {(r + dr) % rows * columns + (c + dc) % columns for dr, dc in pattern}
                if len(sites) == len(pattern):
                    distinct.add(tuple(sorted(sites)))
    width = len(offsets[0])
    return np.array(sorted(distinct), dtype=np.int64).reshape(-1, width)


def bonds(shape: Sequence[int]) -> IntArray:
    """Nearest-neighbour pairs (n_bonds, 2)."""
    return site_sets(shape, [((0, 0), (0, 1)), ((0, 0), (1, 0))])


def diagonals(shape: Sequence[int]) -> IntArray:
    """Next-nearest-neighbour (diagonal) pairs (n_pairs, 2); a chain has pairs at distance 2 instead."""
    if sides(shape)[0] == 1:
        return site_sets(shape, [((0, 0), (0, 2))])
    return site_sets(shape, [((0, 0), (1, 1)), ((0, 0), (1, -1))])


def plaquettes(shape: Sequence[int]) -> IntArray:
    """Elementary squares (n_plaquettes, 4)."""
    return site_sets(shape, [((0, 0), (0, 1), (1, 0), (1, 1))])


def spins(x: IntArray) -> NDArray[np.int8]:
    """Spins -1, +1 of configurations x in {0, 1} (spin up is 1), same shape."""
    return (2 * np.asarray(x).astype(np.int8) - 1).astype(np.int8)


def product_sum(s: IntArray, sets: IntArray) -> NDArray[np.int64]:
    """sum over the sets of the product of their spins: s (batch, n_sites), sets (n, k) -> (batch,)."""
    total = np.zeros(len(s), dtype=np.int64)
    for members in sets:  # set by set: (batch, n_sets) products at once would not fit for 1e5 configurations
        product = s[:, members[0]].copy()
        for site in members[1:]:
            product *= s[:, site]
        total += product
    return total


def energy(x: IntArray, shape: Sequence[int], J: float = 1.0, h: float = 0.0, plaquette: float = 0.0) -> FloatArray:
    """Total energy H (module docstring) of configurations x (batch, n_sites) in {0, 1}; returns (batch,)."""
    s = np.asfortranarray(spins(x))
    total = -J * product_sum(s, bonds(shape)) - h * s.sum(axis=1, dtype=np.int64)
    if plaquette:
        total = total - plaquette * product_sum(s, plaquettes(shape))
    return total.astype(np.float64)


def abs_magnetization(x: IntArray) -> FloatArray:
    """|sum_i s_i| / n_sites of configurations x (batch, n_sites) in {0, 1}; returns (batch,)."""
    return np.abs(spins(x).mean(axis=1, dtype=np.float64))


def site_tables(sets: IntArray, n_sites: int) -> IntArray:
    """For each site the partners it meets in every set: (n_sites, n_max, k - 1), padded with -1."""
    partners: list[list[list[int]]] = [[] for _ in range(n_sites)]
    for members in sets.tolist():
        for site in members:
            partners[site].append([other for other in members if other != site])
    n_max = max([len(p) for p in partners] + [1])
    width = max(sets.shape[1] - 1, 1)
    table = np.full((n_sites, n_max, width), -1, dtype=np.int64)
    for site, sets_of_site in enumerate(partners):
        for k, others in enumerate(sets_of_site):
            table[site, k] = others
    return table
