"""Operators built by Kronecker products from the textbook definitions, sharing no code with `exact`.

Site 0 is the first factor, so a configuration is the base-2 number of its spins, first site most significant.
Flips and exclusion hops are written in spin operators, never as local terms:

    kinetically constrained  W_s = sum_i f_i [e^-s (c s+_i + (1-c) s-_i) - c (1-n_i) - (1-c) n_i]
    exclusion                W_s = sum_bonds [p e^-a s-_i s+_j + q e^-b s+_i s-_j - p n_i (1-n_j)
                                              - q (1-n_i) n_j] + reservoirs
    voter                    W_s = sum_i sum_{j ~ i} (1/z_i) [e^-s sx_i - 1] (i and j disagree)
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

UP = np.array([[0.0, 0.0], [1.0, 0.0]])  # s+: down (0) to up (1)
N = np.diag([0.0, 1.0])
EMPTY = np.diag([1.0, 0.0])
OUTSIDE = -1


def at(op: np.ndarray, i: int, n: int) -> sp.csr_array:
    """``op`` on site ``i`` of ``n``, the identity elsewhere."""
    return _at(tuple(op.ravel()), i, n)


@functools.lru_cache(maxsize=256)
def _at(entries: tuple[float, ...], i: int, n: int) -> sp.csr_array:
    left, right = sp.eye_array(2**i), sp.eye_array(2 ** (n - 1 - i))
    return sp.csr_array(sp.kron(sp.kron(left, np.reshape(entries, (2, 2))), right, format="csr"))


def neighbours(shape: Sequence[int], boundary: str, lower_only: bool = False) -> list[list[int]]:
    """Neighbours of each site by coordinates; ``OUTSIDE`` once for each step that leaves the lattice.

    A ring of two sites has one bond, a ring of one site none.
    """
    sites = list(itertools.product(*map(range, shape)))
    found = []
    for x in sites:
        around: list[int] = []
        for axis, length in enumerate(shape):
            steps = [-1] if lower_only else ([-1, 1] if length != 2 or boundary != "periodic" else [1])
            for step in steps:
                y = list(x)
                y[axis] += step
                if boundary == "periodic":
                    y[axis] %= length
                    if length > 1:
                        around.append(sites.index(tuple(y)))
                elif tuple(y) in sites:
                    around.append(sites.index(tuple(y)))
                else:
                    around.append(OUTSIDE)
        found.append(around)
    return found


def graph_neighbours(edges: Sequence[tuple[int, int]], n: int) -> list[list[int]]:
    return [[b if a == i else a for a, b in edges if i in (a, b)] for i in range(n)]


def constrained(
    around: list[list[int]], c: float, s: float, outside_up: bool, pinned: Sequence[int] = ()
) -> sp.csr_array:
    """FA (all neighbours) or East (lower ones) on the full space of ``2^n`` states."""
    n = len(around)
    w = sp.csr_array((2**n, 2**n))
    for i in set(range(n)) - set(pinned):
        f = sum(
            (outside_up * sp.eye_array(2**n) if j == OUTSIDE else at(N, j, n) for j in around[i]),
            sp.csr_array((2**n, 2**n)),
        )
        flip = math.exp(-s) * (c * at(UP, i, n) + (1 - c) * at(UP.T, i, n))
        w = w + f @ (flip - c * at(EMPTY, i, n) - (1 - c) * at(N, i, n))
    return sp.csr_array(w)


def voter(around: list[list[int]], s: float, boundary: str, pinned: Sequence[int] = ()) -> sp.csr_array:
    n = len(around)
    one = sp.eye_array(2**n)
    w = sp.csr_array((2**n, 2**n))
    for i in set(range(n)) - set(pinned):
        js = [j for j in around[i] if j != OUTSIDE or boundary in ("up", "down")]
        for j in js:
            opinion = (boundary == "up") * one if j == OUTSIDE else at(N, j, n)
            disagree = at(N, i, n) @ (one - opinion) + at(EMPTY, i, n) @ opinion
            w = w + (math.exp(-s) * at(UP + UP.T, i, n) - one) @ disagree / len(js)
    return sp.csr_array(w)


def exclusion(
    shape: Sequence[int],
    s: float = 0.0,
    tilt: str = "activity",
    boundary: str = "open",
    p: float = 1.0,
    q: float = 1.0,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 0.5,
    delta: float = 0.5,
) -> sp.csr_array:
    """Tilted by the activity, the total current along axis 0, or ``current_b`` through its cut ``b``."""
    n = math.prod(shape)
    sites = list(itertools.product(*map(range, shape)))
    w = sp.csr_array((2**n, 2**n))

    def factor(cut: int | None, sign: int) -> float:
        if tilt == "activity":
            return math.exp(-s)
        counted = cut is not None and tilt in ("current", f"current_{cut}")
        return math.exp(-s * sign) if counted else 1.0

    def hop(a: int, b: int, rate: float, weight: float) -> sp.csr_array:
        move = at(UP.T, a, n) @ at(UP, b, n)
        return rate * (weight * move - at(N, a, n) @ at(EMPTY, b, n))

    for x, axis in itertools.product(sites, range(len(shape))):
        y = list(x)
        y[axis] += 1
        if y[axis] == shape[axis]:
            if boundary == "open" or shape[axis] <= 2:
                continue
            y[axis] = 0
        a, b = sites.index(x), sites.index(tuple(y))
        cut = x[0] + 1 if axis == 0 else None
        forward, backward = (p, q) if axis == 0 else ((p + q) / 2, (p + q) / 2)
        w = w + hop(a, b, forward, factor(cut, 1)) + hop(b, a, backward, factor(cut, -1))
    if boundary == "open":
        for i, x in enumerate(sites):
            ends = [(alpha, gamma, 1, 0)] * (x[0] == 0) + [(delta, beta, -1, shape[0])] * (x[0] == shape[0] - 1)
            for come, go, sign, cut in ends:
                w = w + come * (factor(cut, sign) * at(UP, i, n) - at(EMPTY, i, n))
                w = w + go * (factor(cut, -sign) * at(UP.T, i, n) - at(N, i, n))
    return sp.csr_array(w)


def restrict(w: sp.csr_array, configurations: np.ndarray) -> sp.csr_array:
    """The block of ``w`` on the given configurations, in their order."""
    n = configurations.shape[1]
    codes = configurations.astype(int) @ (1 << np.arange(n - 1, -1, -1))
    return w[codes][:, codes]


def embed(matrix: np.ndarray, sites: Sequence[int], n: int, d: int) -> np.ndarray:
    """A local matrix on ``sites`` as a dense matrix on ``d^n`` states."""
    k = len(sites)
    rest = [i for i in range(n) if i not in sites]
    full = np.kron(matrix, np.eye(d ** (n - k))).reshape((d,) * (2 * n))
    back = np.argsort([*sites, *rest])
    return full.transpose(*back, *(n + back)).reshape(d**n, d**n)
