"""Lindblad equations as (signed) dynamics of measurement outcomes.

A Lindblad piece on ``k`` spins becomes the real matrix ``A_ab = Tr(M_a L[N_b])`` and ``dp/dt = A p`` (Luo et al.,
PRL 128, 090501 (2022)): a local `exact.Term` with signed off-diagonal entries.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from vanbench.exact.definitions.lindblad import Jump, Lindblad, LocalOperator, as_matrix
from vanbench.exact.definitions.povm import OpenQuantum, Povm, positive
from vanbench.exact.definitions.system import System
from vanbench.exact.definitions.terms import Term
from vanbench.exact.definitions.tolerance import close
from vanbench.exact.errors import InputError

CANCELLED = 1e-15  # entries below this, relative to the largest, are what cancellation in the products leaves


def hamiltonian_term(part: LocalOperator, povm: Povm) -> Term:
    """``rho -> -i [H, rho]`` in the POVM basis."""
    h = part.matrix
    return Term(part.sites, _superoperator(lambda r: -1j * (h @ r - r @ h), len(part.sites), povm))


def jump_term(part: Jump, povm: Povm) -> Term:
    """The dissipator of one jump operator; its recycling part is counted as ``jumps``, also called ``activity``."""
    g, k = part.matrix, len(part.sites)
    loss = g.conj().T @ g / 2
    recycled = part.rate * _superoperator(lambda r: g @ r @ g.conj().T, k, povm)
    decay = part.rate * _superoperator(lambda r: -loss @ r - r @ loss, k, povm)
    counter = ((1.0, recycled),)
    return Term(part.sites, recycled + decay, {"jumps": counter, "activity": counter})


def povm_system(
    model: Lindblad, povm: Povm, states: np.ndarray, name: str = "lindblad", params: dict | None = None
) -> System:
    """A Lindblad model (a user's own too) as a `System` with ``local_dim`` 4, started from one-spin ``states``.

    ``states``: ``(n_sites, 2, 2)`` or one ``(2, 2)`` for all sites. Raises ``InputError`` unless they are density
    matrices.
    """
    states = _checked(as_matrix(states, "one-spin states"), model.n_sites)
    terms = [hamiltonian_term(part, povm) for part in model.hamiltonian]
    terms += [jump_term(part, povm) for part in model.jumps]
    return System(
        name=name,
        shape=model.shape,
        local_dim=4,
        terms=tuple(terms),
        initial=povm.probabilities(states),
        edges=model.edges,
        params={"povm": povm.name, **(params or {})},
        local_observables=povm.estimators,
        quantum=OpenQuantum(model, povm, states),
    )


def _checked(states: np.ndarray, n: int) -> np.ndarray:
    if states.shape not in ((2, 2), (n, 2, 2)):
        raise InputError(f"one-spin states: give one 2 x 2 density matrix, or {n} of them, got {states.shape}.")
    states = np.broadcast_to(states, (n, 2, 2))
    if not positive(states):
        raise InputError("one-spin states: every one must be Hermitian with no negative eigenvalue.")
    if not close(np.einsum("iaa->i", states), 1.0):
        raise InputError("one-spin states: every one must have trace 1.")
    return states


def _superoperator(action, k: int, povm: Povm) -> np.ndarray:  # type: ignore[no-untyped-def]
    """``A_ab = Tr(M_a action(N_b))`` over the outcomes of ``k`` spins, real ``(4**k, 4**k)``."""
    m, duals = _products(povm.elements, k), _products(povm.dual, k)
    images = np.array([action(n).T for n in duals])
    out = (m.reshape(len(m), -1) @ images.reshape(len(m), -1).T).real
    out[np.abs(out) < CANCELLED * max(1.0, np.abs(out).max())] = 0.0
    return out


def _products(single: np.ndarray, k: int) -> np.ndarray:
    """All tensor products of ``k`` matrices of ``single`` ``(4, 2, 2)``, first factor most significant."""

    def double(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        rows, columns = a.shape[1] * b.shape[1], a.shape[2] * b.shape[2]
        return np.einsum("aij,bkl->abikjl", a, b).reshape(-1, rows, columns)

    return reduce(double, [single] * k)
