"""Generators and Lindblad equations as QuSpin builds and evolves them: an independent route. Imported lazily.

Of the local terms each matrix is written as a sum of products of QuSpin's spin-1/2 operators ``I, z, +, -``; QuSpin
makes the sparse operator of all ``2^n`` states and multiplies vectors by its exponential.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

import numpy as np
import scipy.sparse as sp

from vanbench.exact.definitions.lindblad import Lindblad
from vanbench.exact.definitions.states import StateSpace, require_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, optional
from vanbench.exact.sparse.cumulants import recentred
from vanbench.exact.sparse.propagate import Evolved, spans, stack

WHAT = "method 'quspin'"
Parts = Iterable[tuple[tuple[int, ...], np.ndarray]]
UP, DOWN = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 0.0]])  # index 1 of a site is up
# For each operator of QuSpin the matrix whose overlap with a local matrix is the coefficient; its z is spin 1/2.
DUAL = {"I": np.eye(2) / 2, "z": np.diag([-1.0, 1.0]), "+": UP, "-": DOWN}


def check(system: System) -> None:
    """Raise ``InputError`` without QuSpin, for more than two values a site, and for what does not fit memory."""
    optional("quspin.basis", WHAT)
    if system.local_dim != 2:
        raise InputError(f"{WHAT} takes two values per site, but {system.name} has {system.local_dim}.")
    if system.n_sites > 30:
        raise InputError(f"{WHAT} stores all 2^{system.n_sites} states: take 'mps' or 'cloning'.")
    width = sum(2 ** len(term.sites) for term in system.terms)
    require_memory(24.0 * min(width, 64) * 2.0**system.n_sites, f"{WHAT} on 2^{system.n_sites} states")


def evolve(system: System, s: float, times: np.ndarray, observable: str, order: int) -> Iterator[Evolved]:
    """``p``, ``dp/ds`` and ``d^2 p/ds^2`` at the sorted ``times``, as `exact.sparse.propagate.evolve` gives them."""
    space = StateSpace(system)
    x = np.concatenate([block for _, block in space.chunks()])
    allowed = x.astype(np.int64) @ (1 << np.arange(system.n_sites - 1, -1, -1))
    w = []
    for k in range(order + 1):
        whole = operator(
            ((term.sites, term.tilted(observable, s, k)) for term in system.terms), system.n_sites, np.float64
        )
        w.append(sp.csr_array(whole[allowed][:, allowed]))
    growth = max(float(np.abs(part.sum(axis=0)).max()) for part in w[:2])
    state, logs, now = np.zeros((order + 1, space.size)), np.zeros(order + 1), 0.0
    state[0] = space.initial()
    stacked = sp.csr_matrix(stack(w))
    for t in times:
        for span in spans(float(t) - now, growth, None):
            advanced = _exponential(stacked, span, state.reshape(-1)).reshape(state.shape)
            state, logs = recentred(advanced, logs)
        now = float(t)
        yield Evolved(now, logs.copy(), state.copy())


def evolve_lindblad(model: Lindblad, states: np.ndarray, times: np.ndarray) -> Iterator[np.ndarray]:
    """Density matrices ``(2**N, 2**N)``, index 0 = all up, at the sorted ``times`` from one-spin ``states``."""
    n, size = model.n_sites, model.dim
    h = operator(((part.sites, part.matrix[::-1, ::-1]) for part in model.hamiltonian), n, np.complex128)
    jumps = [operator([(j.sites, np.sqrt(j.rate) * j.matrix[::-1, ::-1])], n, np.complex128) for j in model.jumps]
    eye = sp.identity(size, dtype=complex, format="csr")
    k = -1j * h - 0.5 * sum((g.conj().T @ g for g in jumps), sp.csr_array((size, size), dtype=complex))
    liouvillian = sp.kron(k, eye) + sp.kron(eye, k.conj()) + sum(sp.kron(g, g.conj()) for g in jumps)  # row by row
    rho, now = reduce(np.kron, states)[::-1, ::-1].astype(complex), 0.0
    for t in times:
        flat = _exponential(sp.csr_matrix(liouvillian), float(t) - now, rho.reshape(-1).copy())
        rho, now = flat.reshape(size, size), float(t)
        rho = (rho + rho.conj().T) / 2  # rounding that is not Hermitian would feel the jumps without the loss
        yield rho[::-1, ::-1]


def operator(parts: Parts, n: int, dtype: type) -> Any:
    """The sum of local matrices ``(2**k, 2**k)`` (index 1 of a site is up, the first most significant), on ``n`` sites:
    CSR, states in the order of their binary numbers."""
    basis = optional("quspin.basis", WHAT).spin_basis_1d(n, pauli=0)
    build = optional("quspin.operators", WHAT).hamiltonian
    static: dict[str, list[list[Any]]] = {}
    for sites, matrix in parts:
        for letters, c in _strings(matrix).items():
            acting = [(letter, site) for letter, site in zip(letters, sites) if letter != "I"] or [("I", sites[0])]
            name = "".join(letter for letter, _ in acting)
            static.setdefault(name, []).append([c, *(site for _, site in acting)])
    quiet = {"check_herm": False, "check_symm": False, "check_pcon": False}
    made = build([[name, items] for name, items in static.items()], [], basis=basis, dtype=dtype, **quiet)
    return sp.csr_array(made.tocsr())[::-1, ::-1].tocsr()  # QuSpin's first state is all up


def _strings(matrix: np.ndarray) -> dict[str, Any]:
    """Coefficients of products of QuSpin's operators, the zero ones left out."""
    out = {}
    for letters in itertools.product(DUAL, repeat=matrix.shape[0].bit_length() - 1):
        c = np.sum(reduce(np.kron, [DUAL[letter] for letter in letters]) * matrix)
        if c:
            out["".join(letters)] = c
    return out


def _exponential(matrix: Any, span: float, vector: np.ndarray) -> np.ndarray:
    """``exp(span matrix) vector``."""
    tool = optional("quspin.tools.evolution", WHAT).expm_multiply_parallel
    return tool(matrix, a=span, dtype=matrix.dtype).dot(vector) if span else vector
