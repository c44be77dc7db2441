"""The equilibrium Ising model as a system without moves: ``s`` tilts its energy, ``s t`` is the inverse temperature.

From the uniform start ``<-|exp(t W_s)|P_0> = 2^-N sum_x exp(-s t E(x))``, so that ``ln Z = ln Z_t(s) + N ln 2``.
"""

from __future__ import annotations

import numpy as np

from vanbench.exact.definitions.system import ENERGY, System
from vanbench.exact.definitions.terms import Term


def ising(shape: tuple[int, ...], J: float = 1.0, h: float = 0.0, plaquette: float = 0.0) -> System:
    """Spins in equilibrium at the inverse temperature s t (observable ``energy``), on a periodic chain or rectangle.

    ``E = -J sum_<ij> s_i s_j - h sum_i s_i - plaquette sum_[ijkl] s_i s_j s_k s_l``, each bond once. Raises
    ``InputError`` for three dimensions and couplings that are not finite.
    """
    from vanbench.exact.ising.lattice import bonds, check_couplings, plaquettes, sides  # with numba, not at start-up

    sides(shape)
    couplings = {"J": float(J), "h": float(h), "plaquette": float(plaquette)}
    check_couplings(**couplings)
    n = int(np.prod(shape))
    sets = ((J, bonds(shape)), (h, np.arange(n)[:, None]), (plaquette, plaquettes(shape)))
    terms = [_term(tuple(map(int, sites)), -float(value)) for value, rows in sets if value for sites in rows]
    terms = terms or [_term((0,), 0.0)]
    return System(
        name="ising",
        shape=tuple(shape),
        local_dim=2,
        terms=tuple(terms),
        initial=np.full((n, 2), 0.5),
        edges=bonds(shape).astype(int),
        params=couplings,
    )


def _term(sites: tuple[int, ...], factor: float) -> Term:
    """``factor`` times the product of the spins at ``sites``."""
    product = np.ones(1)
    for _ in sites:
        product = np.outer(product, [-1.0, 1.0]).ravel()
    size = len(product)
    return Term(sites, np.zeros((size, size)), potentials={ENERGY: factor * product})
