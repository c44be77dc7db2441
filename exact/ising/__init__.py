"""Equilibrium Ising model on a periodic chain or rectangle: every reference answer of the `learn` family.

    H = -J sum_<ij> s_i s_j - h sum_i s_i - plaquette sum_[ijkl] s_i s_j s_k s_l        (every bond once;
    k_B = 1)

`solve` chooses among enumeration (`enumeration`), Kaufman's formula (`kaufman`), the transfer matrix
(`transfer`) and Monte Carlo (`montecarlo`); `coarse` has block sums, `ring` the three-spin ring.
"""

from vanbench.exact.ising import coarse, enumeration, kaufman, lattice, montecarlo, ring, transfer
from vanbench.exact.ising.lattice import abs_magnetization, bonds, diagonals, energy, plaquettes, spins
from vanbench.exact.ising.solve import method, solve

__all__ = [
    "abs_magnetization",
    "bonds",
    "coarse",
    "diagonals",
    "energy",
    "enumeration",
    "kaufman",
    "lattice",
    "method",
    "montecarlo",
    "plaquettes",
    "ring",
    "solve",
    "spins",
    "transfer",
]
