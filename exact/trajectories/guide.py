"""A guide of walkers: ``ln g(x) = sum_k factors[k] [x has values[k] on sites[k]]`` over small clusters of sites.

Walkers under ``g W_s g^-1`` from ``g P_0`` that count ``1 / g`` in the end have the same ``Z`` on average for any
``g``; the best is the left vector ``<-|exp((T - t) W_s)|x>``, under which all weights are equal (Nemoto, Bouchet, Jack
and Lecomte, Phys. Rev. E 93, 062123 (2016)). Of it this is the part that walkers follow at the cost of their own rates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.system import System

RIDGE = 1e-4  # on the mean square of the columns, which are 0 or 1: those that depend on each other share


@dataclass(frozen=True, eq=False)
class Clusters:
    """Functions ``[x has values[k] on sites[k]]``, both ``(n_functions, width)``; smaller clusters repeat a site."""

    sites: np.ndarray
    values: np.ndarray

    def columns(self, x: np.ndarray) -> np.ndarray:
        """Of configurations ``(batch, n_sites)``: ``(batch, n_functions)`` of 0 and 1."""
        return (x[:, self.sites] == self.values).all(-1).astype(float)


@dataclass(frozen=True, eq=False)
class Guide:
    """``ln g``, with one of the ``factors`` for each function of the ``clusters``."""

    clusters: Clusters
    factors: np.ndarray

    def log(self, x: np.ndarray) -> np.ndarray:
        """``ln g``, ``(batch,)``, of configurations ``(batch, n_sites)``."""
        from vanbench.exact.trajectories.walking import log_guide

        return log_guide(x, self.clusters.sites, self.clusters.values, self.factors)

    def plus(self, other: Guide, factor: float) -> Guide:
        """``ln g + factor ln g'``."""
        return Guide(self.clusters, self.factors + factor * other.factors)


def connected(system: System, size: int) -> Clusters:
    """All clusters of up to ``size`` sites that hang together by sites that share a term.

    Value 0 is the reference of each site, which no function asks for: they are independent, and 1 is not among them.
    """
    beside: list[set[int]] = [set() for _ in range(system.n_sites)]
    for term in system.terms:
        for a in term.sites:
            beside[a] |= set(term.sites) - {a}
    layer: set[tuple[int, ...]] = {(i,) for i in range(system.n_sites)}
    sets = layer
    for _ in range(size - 1):
        layer = {tuple(sorted({*known, b})) for known in layer for a in known for b in beside[a] if b not in known}
        sets = sets | layer
    functions = [
        (sites + sites[-1:] * (size - len(sites)), values + values[-1:] * (size - len(sites)))
        for sites in sorted(sets, key=lambda sites: (len(sites), sites))
        for values in product(range(1, system.local_dim), repeat=len(sites))
    ]
    sites, values = np.array(functions).swapaxes(0, 1)
    return Clusters(sites.astype(np.int64), values.astype(np.int8))


def flat(clusters: Clusters) -> Guide:
    """``g = 1``."""
    return Guide(clusters, np.zeros(len(clusters.sites)))


def velocity(guide: Guide, connections: Connections, x: np.ndarray) -> Guide:
    """``d ln g / dt`` of the left vector, ``(W_s^T g)(x) / g(x)``, by its best approximation on the sample ``x``.

    Least squares over the functions of the guide (the time-dependent variational principle: ``ln g`` is linear in its
    factors); the constant is left out.
    """
    local = _local(guide, connections, x)
    columns = guide.clusters.columns(x)
    columns -= columns.mean(0)
    gram = columns.T @ columns + RIDGE * len(x) * np.eye(columns.shape[1])
    return Guide(guide.clusters, np.linalg.solve(gram, columns.T @ (local - local.mean())))


def _local(guide: Guide, connections: Connections, x: np.ndarray) -> np.ndarray:
    """``(W_s^T g)(x) / g(x)``, ``(batch,)``."""
    rates, there = connections.outgoing_rates(x), connections.targets(x)
    gains = guide.log(there.reshape(-1, x.shape[1])).reshape(rates.shape) - guide.log(x)[:, None]
    return connections.diagonal(x) + (rates * np.exp(np.where(rates != 0, gains, 0.0))).sum(1)
