"""The ratio ``g(x') / g(x)`` of every move as a product of small tables, so that a walker looks it up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy.sparse as sp

from vanbench.exact.trajectories.guide import Clusters, Guide

LARGEST = 512  # entries of a table: all of them together stay in the cache of a core


@dataclass(frozen=True, eq=False)
class Steering:
    """Where the tables of a guide are read, and how they follow from its factors.

    sites, strides
        ``(n_moves, n_tables, width)``: move ``m`` reads its table ``j`` at row ``strides[m, j] . x[sites[m, j]]``.
    gains
        ``(n_moves * n_tables * rows, n_functions)``: which functions a move turns on (1) and off (-1).
    """

    sites: np.ndarray
    strides: np.ndarray
    gains: sp.csr_array

    def tables(self, guide: Guide) -> np.ndarray:
        """``(n_moves, n_tables, rows)``."""
        return np.exp(self.gains @ guide.factors).reshape(*self.sites.shape[:2], -1)

    def read(self, n_sites: int) -> np.ndarray:
        """The sites that each move reads, ``(n_moves, n_sites)`` bool."""
        out = np.zeros((len(self.sites), n_sites), dtype=bool)
        move, table, place = np.nonzero(self.strides)
        out[move, self.sites[move, table, place]] = True
        return out


NOTHING = np.zeros((1, 0, 0), dtype=np.int64)
NO_STEERING = Steering(NOTHING, NOTHING, sp.csr_array((0, 0)))


def compile_steering(clusters: Clusters, deltas: np.ndarray, d: int) -> Steering:
    """Of moves ``x -> x + deltas[m] mod d``, ``deltas`` ``(n_moves, n_sites)``."""
    groups = [_groups(clusters, np.flatnonzero(delta), d) for delta in deltas]
    n_tables, width = max(map(len, groups), default=0), max((len(g) for each in groups for g in each), default=0)
    shape = (len(deltas), n_tables, width)
    sites, strides = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    local = np.array(list(product(range(d), repeat=width)), dtype=np.int8).reshape(-1, width)
    entries = []
    for m, delta in enumerate(deltas):
        for j, (group, functions) in enumerate(groups[m].items()):
            sites[m, j, : len(group)] = group
            strides[m, j, : len(group)] = d ** np.arange(width)[::-1][: len(group)]
            x = np.zeros((len(local), deltas.shape[1]), dtype=np.int8)
            x[:, list(group)] = local[:, : len(group)]
            part = Clusters(clusters.sites[functions], clusters.values[functions])
            row, column = np.nonzero(change := part.columns((x + delta) % d) - part.columns(x))
            entries.append(((m * n_tables + j) * len(local) + row, np.array(functions)[column], change[row, column]))
    rows, columns, values = (np.concatenate(each) for each in zip(*entries))
    size = (len(deltas) * n_tables * len(local), len(clusters.sites))
    return Steering(sites, strides, sp.csr_array((values, (rows, columns)), shape=size))


def _groups(clusters: Clusters, changed: np.ndarray, d: int) -> dict[tuple[int, ...], list[int]]:
    """The functions that the ``changed`` sites enter, by the sites of the table they go to."""
    groups: list[tuple[set[int], list[int]]] = []
    for k in np.flatnonzero(np.isin(clusters.sites, changed).any(1)):
        needed = {int(i) for i in clusters.sites[k]}
        fits = (g for g in groups if d ** len(g[0] | needed | set(map(int, changed))) <= LARGEST)
        if (group := next(fits, None)) is None:
            groups.append(group := (set(map(int, changed)), []))
        group[0].update(needed)
        group[1].append(int(k))
    return {tuple(sorted(sites)): functions for sites, functions in groups}
