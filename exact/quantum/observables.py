"""Spin averages, two-point functions and purity, from a density matrix or from a distribution over outcomes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vanbench.exact.definitions.pauli import PAULI
from vanbench.exact.definitions.povm import Povm, site_by_site


def one_site(rho: np.ndarray) -> np.ndarray:
    """Reduced states of every site, ``(N, 2, 2)``."""
    n = _spins(rho)
    out = [np.einsum("aibajb->ij", rho.reshape(2**i, 2, 2 ** (n - 1 - i), 2**i, 2, 2 ** (n - 1 - i))) for i in range(n)]
    return np.array(out)


def two_site(rho: np.ndarray, i: int, j: int) -> np.ndarray:
    """Reduced state of sites ``i < j``, ``(4, 4)``."""
    n = _spins(rho)
    dims = (2**i, 2, 2 ** (j - i - 1), 2, 2 ** (n - 1 - j))
    return np.einsum("aibjcakblc->ijkl", rho.reshape(*dims, *dims)).reshape(4, 4)


def spin_averages(rho: np.ndarray) -> dict[str, float]:
    """``{"sigma_x": (1/N) sum_i <x_i>, ...}``."""
    mean = one_site(rho).mean(0)
    return {f"sigma_{a}": float(np.trace(matrix @ mean).real) for a, matrix in PAULI.items()}


def purity(rho: np.ndarray) -> float:
    """``Tr rho^2``."""
    return float(np.vdot(rho, rho).real)


def two_point(rho: np.ndarray, axis: str, pairs: list[tuple[int, int]]) -> np.ndarray:
    """``<sigma^a_i sigma^a_j>`` (not connected) for every pair."""
    operator = np.kron(PAULI[axis], PAULI[axis])
    return np.array([np.trace(operator @ two_site(rho, *sorted(pair))).real for pair in pairs])


def pairs_by_distance(shape: tuple[int, ...], periodic: bool) -> dict[int, list[tuple[int, int]]]:
    """Pairs of different sites by their distance in steps along the lattice (shortest way round if periodic)."""
    places = np.stack(np.unravel_index(np.arange(int(np.prod(shape))), shape), axis=-1)
    by_distance: dict[int, list[tuple[int, int]]] = {}
    for i in range(len(places)):
        for j in range(i + 1, len(places)):
            steps = np.abs(places[i] - places[j])
            if periodic:
                steps = np.minimum(steps, np.array(shape) - steps)
            by_distance.setdefault(int(steps.sum()), []).append((i, j))
    return dict(sorted(by_distance.items()))


def distribution_averages(p: np.ndarray, vectors: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Site averages of one-site functions ``(d,)`` under ``p`` ``(d**N,)``, on the distribution itself."""
    d = len(next(iter(vectors.values())))
    n = round(np.log(p.size) / np.log(d))
    marginal = sum(p.reshape(d**i, d, -1).sum((0, 2)) for i in range(n)) / n
    return {name: float(q @ marginal) for name, q in vectors.items()}


def distribution_two_point(p: np.ndarray, q: np.ndarray, i: int, j: int) -> float:
    """``<q(x_i) q(x_j)>`` for ``i < j``."""
    d = len(q)
    joint = p.reshape(d**i, d, d ** (j - i - 1), d, -1).sum((0, 2, 4))
    return float(q @ joint @ q)


def distribution_purity(p: np.ndarray, povm: Povm) -> float:
    """``Tr rho^2 = p^T (T^-1)^{(x) N} p`` (``Tr N_a N_b = T^-1_ab``)."""
    return float(p @ site_by_site(np.linalg.inv(povm.overlap), p))


def smallest_eigenvalue(rho: np.ndarray) -> float:
    """Negative for an unphysical state."""
    return float(np.linalg.eigvalsh(rho)[0])


def _spins(rho: np.ndarray) -> int:
    return rho.shape[0].bit_length() - 1
