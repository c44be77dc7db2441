"""Steady states, and the leading eigenvalues of a (tilted) Liouvillian: the gap and the scgf of the jump count."""

from __future__ import annotations

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from ..errors import InputError
from .leading import COPIES, Leading, dense_leading, leading
from .lindblad import Lindblad
from .liouvillian import Liouvillian, from_real, require_copies, to_real

DENSE_SPINS = 4  # 256 x 256: a dense eigenvalue solve is quicker than any iteration, and certain
TOLERANCE = 1e-11  # residual |L rho| relative to the norm of L
RESTART = 60
NOT_UNIQUE = "the steady state is not unique: two or more states do not change in time."
STEADY_COPIES = RESTART // 2 + 8  # density matrices held: the basis vectors are real, half a matrix each
LEADING_COPIES = COPIES // 2
ROUNDED = 1e-12  # of the norm: what decays more slowly than this is known to no more than four digits
UNIQUE = 1e-8  # a second eigenvalue this close to 0, in units of the decay rates, makes the steady state ambiguous


def steady_state(model: Lindblad, tolerance: float = TOLERANCE) -> np.ndarray:
    """The state with ``L rho = 0``, trace 1, ``(2**N, 2**N)``.

    Up to 4 spins from the dense null space; beyond, GMRES on Hermitian matrices, preconditioned with the exact
    inverse of the coherent part plus a uniform damping. Raises ``InputError`` without decay, when the steady state
    is not unique, or when the iteration does not converge.
    """
    require_decay(model)
    require_copies(model, STEADY_COPIES)
    if not every_spin_decays(model) and scgf_and_gap(model)[1] < UNIQUE * 2 * _mean_decay(model):
        raise InputError(NOT_UNIQUE)
    if model.n_sites <= DENSE_SPINS:
        return _dense_steady(model)
    liouvillian = Liouvillian(model, copies=1)
    size, dim = 4**model.n_sites, model.dim
    shift = _mean_decay(model)
    precondition = damped_inverse(liouvillian, shift)
    mixed = np.eye(dim) / dim

    def matvec(flat: np.ndarray) -> np.ndarray:
        """``L rho - shift Tr(rho) 1/D``: regular, and solved by the steady state for ``- shift 1/D``."""
        rho = from_real(np.ravel(flat), dim)
        return to_real(liouvillian.apply(rho) - shift * np.trace(rho).real * mixed)

    operator = LinearOperator((size, size), matvec=matvec, dtype=float)
    preconditioner = LinearOperator((size, size), matvec=precondition, dtype=float)
    right = to_real(-shift * mixed.astype(complex))
    found, _ = gmres(
        operator,
        right,
        x0=to_real(mixed.astype(complex)),
        rtol=1e-12,
        atol=0.0,
        restart=min(RESTART, size),
        maxiter=20,
        M=preconditioner,
    )
    rho = from_real(found, dim)
    rho /= np.trace(rho).real
    residual = np.linalg.norm(liouvillian.apply(rho)) / (liouvillian.bound * np.linalg.norm(rho))
    if not residual < tolerance:
        raise InputError(f"the steady state did not converge (relative residual {residual:.1e}): is it unique?")
    return rho


def require_decay(model: Lindblad) -> None:
    if not any(jump.rate for jump in model.jumps):
        raise InputError("without decay (all rates 0) there is no unique steady state: give a positive rate.")


def every_spin_decays(model: Lindblad) -> bool:
    """Whether each spin has a lowering operator of its own (in any basis): then the steady state is unique.

    Each subspace that all jumps leave invariant holds a vector that all of them annihilate. Lowering operators of all
    spins annihilate one and the same product state, so no two such subspaces are orthogonal, and it takes two to have
    two steady states (Schirmer and Wang, Phys. Rev. A 81, 062306 (2010)).
    """
    lowered = {
        jump.sites[0]
        for jump in model.jumps
        if jump.rate > 0 and len(jump.sites) == 1 and jump.matrix.any() and not (jump.matrix @ jump.matrix).any()
    }
    return len(lowered) == model.n_sites


def leading_eigenvalues(model: Lindblad, s: float = 0.0, count: int = 2) -> np.ndarray:
    """The ``count`` eigenvalues of ``L_s`` with the largest real part, in falling order, complex."""
    return leading_pairs(model, s, count).values


def leading_pairs(model: Lindblad, s: float = 0.0, count: int = 2) -> Leading:
    """`leading_eigenvalues` and the residual ``|L v - lambda v| / |v|`` of each: up to 4 spins dense, else `leading`.

    ``tau`` is one inverse decay rate.
    """
    rates = [jump.rate for jump in model.jumps if jump.rate]
    if not rates:
        # unitary: every eigenvalue is imaginary, and 2^N of them are 0
        return Leading(np.zeros(count, dtype=complex), np.zeros(count))
    if model.n_sites <= DENSE_SPINS:
        return dense_leading(Liouvillian(model, s).dense(), count)
    require_copies(model, LEADING_COPIES)
    liouvillian = Liouvillian(model, s, copies=1)
    return leading(liouvillian.apply_real, 4**model.n_sites, liouvillian.bound, len(rates) / sum(rates), count)


def scgf_and_gap(model: Lindblad, s: float = 0.0) -> tuple[float, float]:
    """``theta(s)`` of the jump count and the distance to the next real part (the Liouvillian gap at ``s = 0``)."""
    values = leading_eigenvalues(model, s, 2)
    return float(values[0].real), float((values[0] - values[1]).real)


def damped_inverse(liouvillian: Liouvillian, shift: float):  # type: ignore[no-untyped-def]
    """``(-i [H, .] - shift)^-1`` on the real form, in the eigenbasis of ``H``."""
    energies, basis = np.linalg.eigh(liouvillian.hamiltonian.toarray())
    denominator = -1j * (energies[:, None] - energies[None, :]) - shift

    def solve(flat: np.ndarray) -> np.ndarray:
        rho = from_real(np.ravel(flat), liouvillian.dim)
        inside = basis.conj().T @ rho @ basis
        return to_real(basis @ (inside / denominator) @ basis.conj().T)

    return solve


def _dense_steady(model: Lindblad) -> np.ndarray:
    dense = Liouvillian(model).sparse().toarray()
    _, singular, vectors = np.linalg.svd(dense)
    if singular[-2] < ROUNDED * singular[0]:
        raise InputError(
            f"decay is {singular[0] / singular[-2]:.0e} times slower than the rest: too slow for rounding."
        )
    rho = vectors[-1].conj().reshape(model.dim, model.dim)
    rho = rho / np.trace(rho)
    return (rho + rho.conj().T) / 2


def _mean_decay(model: Lindblad) -> float:
    """Half the sum of the rates: what a state decays with when half the jumps are open."""
    return 0.5 * sum(j.rate * float(np.linalg.norm(j.matrix, 2)) ** 2 for j in model.jumps)
