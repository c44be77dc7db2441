"""A guide of walkers: ``ln g(x) = sum_i site[i, x_i] + sum_(i,j) pair[(i,j), x_i, x_j]`` over edges ``(i, j)``.

Walkers under ``g W_s g^-1`` from ``g P_0`` that count ``1 / g`` in the end have the same ``Z`` on average for any
``g``; the best is the left vector ``<-|exp((T - t) W_s)|x>``, under which all weights are equal (Nemoto, Bouchet, Jack
and Lecomte, Phys. Rev. E 93, 062123 (2016)). Of it this is the part that walkers follow at the cost of their own rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from ..connections import Connections
from ..system import System

RIDGE = 1e-4  # on the mean square of the columns, which are 0 or 1: those that depend on each other share


@dataclass(frozen=True, eq=False)
class Guide:
    """``site`` ``(n_sites, d)``, ``pair`` ``(n_edges, d, d)`` over ``edges`` ``(n_edges, 2)``."""

    edges: np.ndarray
    site: np.ndarray
    pair: np.ndarray

    def log(self, x: np.ndarray) -> np.ndarray:
        """``ln g``, ``(batch,)``, of configurations ``(batch, n_sites)``."""
        return _log(x, self.edges, self.site, self.pair)

    def plus(self, other: Guide, factor: float) -> Guide:
        """``ln g + factor ln g'``."""
        return Guide(self.edges, self.site + factor * other.site, self.pair + factor * other.pair)


@njit(cache=True)
def _log(x, edges, site, pair):  # type: ignore[no-untyped-def]
    out = np.zeros(len(x))
    for walker in range(len(x)):
        here = x[walker]
        for i in range(len(site)):
            out[walker] += site[i, here[i]]
        for e in range(len(edges)):
            out[walker] += pair[e, here[edges[e, 0]], here[edges[e, 1]]]
    return out


NO_GUIDE = Guide(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 1)), np.zeros((0, 1, 1)))


def interacting(system: System) -> np.ndarray:
    """The pairs of sites that share a term, ``(n_edges, 2)``."""
    pairs = {(a, b) for term in system.terms for a in term.sites for b in term.sites if a < b}
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def flat(system: System, edges: np.ndarray) -> Guide:
    """``g = 1``."""
    d = system.local_dim
    return Guide(edges, np.zeros((system.n_sites, d)), np.zeros((len(edges), d, d)))


def velocity(guide: Guide, connections: Connections, x: np.ndarray) -> Guide:
    """``d ln g / dt`` of the left vector, ``(W_s^T g)(x) / g(x)``, by its best approximation on the sample ``x``.

    Least squares over site and pair functions (the time-dependent variational principle: ``ln g`` is linear in its
    parameters); the constant is left out. Value 0 is the reference of each site: its rows and columns stay zero.
    """
    local = _local(guide, connections, x)
    d, (n_edges, n) = guide.site.shape[1], (len(guide.edges), len(guide.site))
    up = (x[..., None] == np.arange(1, d)).astype(float)  # (batch, n, d - 1)
    pairs = up[:, guide.edges[:, 0], :, None] * up[:, guide.edges[:, 1], None, :]
    columns = np.concatenate([up.reshape(len(x), -1), pairs.reshape(len(x), -1)], 1)
    columns -= columns.mean(0)
    gram = columns.T @ columns + RIDGE * len(x) * np.eye(columns.shape[1])
    found = np.linalg.solve(gram, columns.T @ (local - local.mean()))
    out = Guide(guide.edges, np.zeros_like(guide.site), np.zeros_like(guide.pair))
    out.site[:, 1:] = found[: n * (d - 1)].reshape(n, d - 1)
    out.pair[:, 1:, 1:] = found[n * (d - 1) :].reshape(n_edges, d - 1, d - 1)
    return out


def _local(guide: Guide, connections: Connections, x: np.ndarray) -> np.ndarray:
    """``(W_s^T g)(x) / g(x)``, ``(batch,)``."""
    rates, there = connections.outgoing_rates(x), connections.targets(x)
    gains = guide.log(there.reshape(-1, x.shape[1])).reshape(rates.shape) - guide.log(x)[:, None]
    return connections.diagonal(x) + (rates * np.exp(np.where(rates != 0, gains, 0.0))).sum(1)
