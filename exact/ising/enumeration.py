"""Full enumeration of the Ising model, up to 25 sites (5 x 5): every thermal average, and the whole
distribution.

All 2^N configurations are walked through once in Gray-code order (one spin flip a step). What is kept is
the number of configurations with bond sum B, magnetization M and plaquette sum P: integers, independent of
T, J, h and plaquette, so that one walk serves every temperature and coupling without rounding before the
last sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy.special import logsumexp

from vanbench.exact.compiled import compiled
from vanbench.exact.errors import InputError
from vanbench.exact.ising.lattice import FloatArray, IntArray, bonds, check_couplings, plaquettes, sides, site_tables

MAX_SITES = 25


@compiled()
def _local_sums(s, site, neighbours, squares):
    """Bond sum and plaquette sum of all terms that contain `site`."""
    bond_sum, square_sum = 0, 0
    for k in range(neighbours.shape[1]):
        if neighbours[site, k, 0] >= 0:
            bond_sum += s[neighbours[site, k, 0]]
    for k in range(squares.shape[1]):
        if squares[site, k, 0] >= 0:
            square_sum += s[squares[site, k, 0]] * s[squares[site, k, 1]] * s[squares[site, k, 2]]
    return s[site] * bond_sum, s[site] * square_sum


@compiled()
def _count(n_sites, neighbours, squares, n_bonds, n_squares):
    """Histogram over (B + n_bonds, number of up spins, P + n_squares) of all configurations."""
    counts = np.zeros((2 * n_bonds + 1, n_sites + 1, 2 * n_squares + 1), dtype=np.int64)
    s = -np.ones(n_sites, dtype=np.int64)
    bond_sum, up, square_sum = n_bonds, 0, n_squares  # all down: every product is +1
    counts[bond_sum + n_bonds, up, square_sum + n_squares] += 1
    for step in range(1, 2**n_sites):
        site, rest = 0, step
        while rest & 1 == 0:
            rest >>= 1
            site += 1
        bond_change, square_change = _local_sums(s, site, neighbours, squares)
        bond_sum -= 2 * bond_change
        square_sum -= 2 * square_change
        up -= s[site]
        s[site] = -s[site]
        counts[bond_sum + n_bonds, up, square_sum + n_squares] += 1
    return counts


@compiled()
def _all_energies(n_sites, neighbours, squares, n_bonds, n_squares, J, h, plaquette):
    """Energy of every configuration, index row-major with the first site most significant."""
    energies = np.empty(2**n_sites)
    s = -np.ones(n_sites, dtype=np.int64)
    bond_sum, magnetization, square_sum = n_bonds, -n_sites, n_squares
    energies[0] = -J * bond_sum - h * magnetization - plaquette * square_sum
    for step in range(1, 2**n_sites):
        bit, rest = 0, step
        while rest & 1 == 0:
            rest >>= 1
            bit += 1
        site = n_sites - 1 - bit
        bond_change, square_change = _local_sums(s, site, neighbours, squares)
        bond_sum -= 2 * bond_change
        square_sum -= 2 * square_change
        magnetization -= 2 * s[site]
        s[site] = -s[site]
        energies[step ^ (step >> 1)] = -J * bond_sum - h * magnetization - plaquette * square_sum
    return energies


def _tables(shape: Sequence[int]) -> tuple[int, IntArray, IntArray, int, int]:
    rows, columns = sides(shape)
    n_sites = rows * columns
    if n_sites > MAX_SITES:
        raise InputError(
            f"enumeration stops at {MAX_SITES} sites and {rows}x{columns} has {n_sites}: "
            "use the transfer matrix (one side up to 10) or Kaufman's solution"
        )
    pairs, squares = bonds(shape), plaquettes(shape)
    tables = site_tables(pairs, n_sites), site_tables(squares, n_sites)
    return n_sites, tables[0], tables[1], len(pairs), len(squares)


@lru_cache(maxsize=16)
def density_of_states(shape: tuple[int, ...]) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """Bond sums, magnetizations, plaquette sums and ln(number of configurations), each (n_levels,).

    Raises InputError beyond 25 sites.
    """
    n_sites, neighbours, squares, n_bonds, n_squares = _tables(shape)
    counts = _count(n_sites, neighbours, squares, n_bonds, n_squares)
    b, up, p = np.nonzero(counts)
    return b - n_bonds, 2 * up - n_sites, p - n_squares, np.log(counts[b, up, p])


def averages(
    shape: Sequence[int], T: float, J: float = 1.0, h: float = 0.0, plaquette: float = 0.0
) -> dict[str, float]:
    """Energy <H>/N, specific heat (<H^2> - <H>^2)/(N T^2), free energy -T ln Z / N and <|M|>/N, k_B = 1."""
    check_couplings(J=J, h=h, plaquette=plaquette)
    b, m, p, ln_count = density_of_states(tuple(shape))
    n_sites = int(np.max(m))
    lowest, excess = _excess(np.stack([b, m, p]), (J, h, plaquette))
    ln_weight = ln_count - excess / T
    ln_z = float(logsumexp(ln_weight))
    weight = np.exp(ln_weight - ln_z)
    met = weight > 0  # at T -> 0 the others stand at infinitely many T
    weight, excess = weight[met], excess[met]
    mean = float(weight @ excess)
    return {
        "energy": (lowest + mean) / n_sites,
        "specific_heat": float(weight @ ((excess - mean) / T) ** 2) / n_sites,
        "free_energy": (lowest - T * ln_z) / n_sites,
        "abs_magnetization": float(weight @ np.abs(m[met])) / n_sites,
    }


def _excess(levels: IntArray, couplings: Sequence[float]) -> tuple[float, FloatArray]:
    """Lowest energy of the levels (3, n), and what each lies above it (n,), rounded once.

    The sums are taken in integers: a difference of two rounded energies, over a low T, would lift degeneracies.
    """
    exact = [Fraction(float(value)) for value in couplings]
    unit = math.lcm(*(value.denominator for value in exact))
    energies = -sum(int(value * unit) * level.astype(object) for value, level in zip(exact, levels))
    lowest = min(energies)
    return lowest / unit, np.array([(energy - lowest) / unit for energy in energies])


def correlation(shape: Sequence[int], T: float, J: float = 1.0, h: float = 0.0, plaquette: float = 0.0) -> FloatArray:
    """<s_0 s_r> at distance r = 0 .. length // 2 along the longer side, (length // 2 + 1,)."""
    rows, columns = sides(shape)
    p = np.exp(log_distribution(shape, T, J, h, plaquette))
    index = np.arange(len(p))
    first = rows * columns - 1 - np.arange(max(rows, columns) // 2 + 1) * (columns if rows > columns else 1)
    return np.array([1 - 2 * (p @ ((index >> first[0] ^ index >> bit) & 1)) for bit in first])


def energies(shape: Sequence[int], J: float = 1.0, h: float = 0.0, plaquette: float = 0.0) -> FloatArray:
    """Energy of all 2^N configurations, (2^N,), row-major index with the first site most significant."""
    check_couplings(J=J, h=h, plaquette=plaquette)
    return _all_energies(*_tables(shape), float(J), float(h), float(plaquette))


def log_distribution(
    shape: Sequence[int], T: float, J: float = 1.0, h: float = 0.0, plaquette: float = 0.0
) -> FloatArray:
    """ln p(x) = -H(x)/T - ln Z of all 2^N configurations, (2^N,), indexed as `energies` (0.3 GB at 5x5)."""
    ln_p = energies(shape, J, h, plaquette)
    ln_p -= ln_p.min()
    ln_p /= -T
    ln_p -= logsumexp(ln_p)
    return ln_p


def configurations(n_sites: int, local_dim: int = 2) -> IntArray:
    """All local_dim^n_sites configurations, (local_dim^n_sites, n_sites) int8, in the order of `energies`."""
    if local_dim**n_sites > 2**24:
        raise InputError("too many configurations to list: stay below 2^24, e.g. 24 spins")
    index = np.arange(local_dim**n_sites)
    powers = local_dim ** np.arange(n_sites - 1, -1, -1)
    return (index[:, None] // powers % local_dim).astype(np.int8)
