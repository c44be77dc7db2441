"""What a distribution that is a matrix product state tells: averages of functions of one site and of two."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vanbench.exact.definitions.quantities import CORRELATIONS, PROFILES, SPINS
from vanbench.exact.definitions.system import System
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.mps.state import MatrixProductState
from vanbench.exact.quantum.observables import pairs_by_distance

Average = Callable[[MatrixProductState], Any]


def averages(system: System, s: float) -> dict[str, Average]:
    """By quantity, a function of the normalised state: one number ``()``, or one a site or a distance ``(m,)``."""
    if system.quantum is None:
        values = np.arange(system.local_dim, dtype=float)
        out: dict[str, Average] = {
            "density": lambda p: (p.marginals() @ values).mean(),
            "density_profile": lambda p: p.marginals() @ values,
            "instantaneous_activity": lambda p: _escape(system, p) * math.exp(-s) / system.n_sites,
        }
        return out
    out = {"purity": lambda p: _purity(system, p)}
    for spin in SPINS:
        q = system.local_observables[spin]
        out[spin] = lambda p, q=q: (p.marginals() @ q).mean()  # type: ignore[misc]
        out[PROFILES[spin]] = lambda p, q=q: p.marginals() @ q  # type: ignore[misc]
        out[CORRELATIONS[spin]] = lambda p, q=q: _correlations(system, p, q)  # type: ignore[misc]
    return out


def distances(system: System) -> dict[int, list[tuple[int, int]]]:
    """Pairs of sites by their distance."""
    return pairs_by_distance(system.shape, system.params.get("boundary") == "periodic")


def total(operator: LocalOperatorSum, p: MatrixProductState) -> float:
    """``sum_x (A p)(x)``."""
    ones = MatrixProductState.product(np.ones((operator.n_sites, operator.d)), 1, 0.0)
    return operator.between(ones, p)[1]


def _escape(system: System, p: MatrixProductState) -> float:
    """``<r>``, minus the mean of the diagonal of the plain generator."""
    parts = [Local(term.sites, np.diag(np.diag(term.matrix))) for term in system.terms]
    return -total(LocalOperatorSum(parts, system.n_sites, system.local_dim), p)


def _correlations(system: System, p: MatrixProductState, q: np.ndarray) -> np.ndarray:
    pair = np.diag(np.kron(q, q))
    sums = []
    for pairs in distances(system).values():
        both = LocalOperatorSum([Local(sites, pair / len(pairs)) for sites in pairs], system.n_sites, system.local_dim)
        sums.append(total(both, p))
    return np.array(sums)


def _purity(system: System, p: MatrixProductState) -> float:
    """``Tr rho^2 = sum_ab p(a) p(b) Tr(N_a N_b)``, with ``Tr(N_a N_b) = T^-1_ab`` on each site."""
    assert system.quantum is not None
    gram, left = np.linalg.inv(system.quantum.povm.overlap), np.ones((1, 1))
    for tensor in p.tensors:
        right = np.tensordot(left, np.einsum("ab,lbr->lar", gram, tensor), 1)
        left = np.tensordot(tensor, right, ((0, 1), (0, 1)))
    return float(left[0, 0])
