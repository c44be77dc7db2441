"""Steady states, and the leading eigenvalues of a (tilted) Liouvillian: the gap and the scgf of the jump count."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from vanbench.exact.definitions.lindblad import Lindblad
from vanbench.exact.errors import InputError
from vanbench.exact.quantum.leading import COPIES, Leading, dense_leading, leading
from vanbench.exact.quantum.liouvillian import Liouvillian, density_matrix, from_real, require_copies, to_real
from vanbench.exact.quantum.models import bloch_state

DENSE_SPINS = 4  # 256 x 256: a dense eigenvalue solve is quicker than any iteration, and certain
RESIDUAL = 1e-12  # of GMRES
CONVERGED = 1e-11  # |L rho|, relative to the norms of both
RESTART = 60
RESTARTS = 10  # ten times what models of spins with decay of their own have taken
STEADY_COPIES = RESTART // 2 + 10  # density matrices held: the basis vectors are real, half a matrix each
LEADING_COPIES = COPIES // 2
EPS = float(np.finfo(float).eps)
KNOWN = 1e-4  # error of a steady state, in the trace norm, beyond which it is refused
MARGIN = 10.0  # of the error over the difference of two iterations
STILL = 1e-13  # of the norm: a gap, or a second singular value, below this is 0 as far as rounding can tell
NOT_UNIQUE = "the steady state is not unique: two or more states do not change in time."


class Steady(NamedTuple):
    """``rho`` ``(2**N, 2**N)``, and an estimate of its error in the trace norm: that of ``<O>`` where ``|O| <= 1``."""

    rho: np.ndarray
    error: float


def steady_state(model: Lindblad) -> np.ndarray:
    """The state with ``L rho = 0``, trace 1, ``(2**N, 2**N)``; raises ``InputError`` as `steady` does."""
    return steady(model).rho


def steady(model: Lindblad) -> Steady:
    """The steady state and its error.

    Up to 4 spins from the singular values; beyond by GMRES, twice: what decays slowly leaves no residual and stays
    what it was at the start, so that two starts which differ in everything end apart. Raises ``InputError`` without
    decay, where the steady state is not unique, where decay is too slow for rounding, or without convergence.
    """
    require_decay(model)
    require_copies(model, STEADY_COPIES)
    return _by_singular_values(model) if model.n_sites <= DENSE_SPINS else _by_iteration(model)


def _by_singular_values(model: Lindblad) -> Steady:
    _, singular, vectors = np.linalg.svd(Liouvillian(model).dense())
    slower = float(singular[0] / max(singular[-2], EPS * singular[0]))
    error = EPS * (slower + 1) * model.dim  # rounding of L by EPS in 2-norm; the trace norm is sqrt(dim) times that
    if error > KNOWN:
        raise _refusal(model, slower)
    rho = from_real(vectors[-1], model.dim)
    return Steady(rho / np.trace(rho).real, error)


def _by_iteration(model: Lindblad) -> Steady:
    liouvillian = Liouvillian(model, copies=1)
    solve = _solver(liouvillian)
    generic = np.random.default_rng(0).standard_normal((model.n_sites, 3))  # no Pauli string has the mean 0 in it
    spins = np.array([bloch_state(tuple(r / np.linalg.norm(r))) for r in generic])
    rho, other = solve(np.eye(model.dim, dtype=complex) / model.dim), solve(density_matrix(spins))
    apart = rho - other
    error = MARGIN * float(np.abs(np.linalg.eigvalsh(apart)).sum()) + EPS * model.dim  # and rounding of rho itself
    residual = np.linalg.norm(liouvillian.apply(rho)) / (liouvillian.bound * np.linalg.norm(rho))
    if error > KNOWN:
        left = np.linalg.norm(liouvillian.apply(apart)) / np.linalg.norm(apart)
        raise _refusal(model, liouvillian.bound / max(float(left), EPS * liouvillian.bound))
    if not residual < CONVERGED:
        raise InputError(f"the steady state did not converge (relative residual {residual:.1e}).")
    return Steady(rho, error)


def _refusal(model: Lindblad, slower: float) -> InputError:
    """Why there is no steady state, or none known to ``KNOWN``; ``slower``: the norm over the slowest decay."""
    if not every_spin_decays(model) and scgf_and_gap(model)[1] < STILL * Liouvillian(model, copies=1).bound:
        return InputError(NOT_UNIQUE)
    return InputError(f"decay is {slower:.0e} times slower than the rest: the steady state is lost in rounding.")


def _solver(liouvillian: Liouvillian) -> Callable[[np.ndarray], np.ndarray]:
    """The steady state by GMRES from a start ``(dim, dim)``, on Hermitian matrices.

    Preconditioned with the exact inverse of the coherent part plus a uniform damping.
    """
    dim = liouvillian.dim
    size, shift = dim**2, _mean_decay(liouvillian.model)
    mixed = np.eye(dim, dtype=complex) / dim

    def matvec(flat: np.ndarray) -> np.ndarray:
        """``L rho - shift Tr(rho) 1/D``: regular, and solved by the steady state for ``- shift 1/D``."""
        rho = from_real(np.ravel(flat), dim)
        return to_real(liouvillian.apply(rho) - shift * np.trace(rho).real * mixed)

    operator = LinearOperator((size, size), matvec=matvec, dtype=float)
    preconditioner = LinearOperator((size, size), matvec=damped_inverse(liouvillian, shift), dtype=float)
    options = {"rtol": RESIDUAL, "atol": 0.0, "restart": min(RESTART, size), "maxiter": RESTARTS, "M": preconditioner}

    def solve(start: np.ndarray) -> np.ndarray:
        solution, _ = gmres(operator, to_real(-shift * mixed), x0=to_real(start), **options)
        rho = from_real(solution, dim)
        return rho / np.trace(rho).real

    return solve


def require_decay(model: Lindblad) -> None:
    if not model.jump_rate:
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
    """`leading_eigenvalues` and the residual ``|L v - lambda v| / |v|`` of each: `leading` beyond 4 spins."""
    if not model.jump_rate:
        # unitary: every eigenvalue is imaginary, and 2^N of them are 0
        return Leading(np.zeros(count, dtype=complex), np.zeros(count))
    if model.n_sites <= DENSE_SPINS:
        return dense_leading(Liouvillian(model, s).dense(), count)
    require_copies(model, LEADING_COPIES)
    liouvillian = Liouvillian(model, s, copies=1)
    return leading(liouvillian.apply_real, 4**model.n_sites, liouvillian.bound, decay_time(model), count)


def decay_time(model: Lindblad) -> float:
    """The inverse mean rate of the jumps, ``gamma |G|^2``, however it is shared between the two."""
    rates = [jump.rate * float(np.linalg.norm(jump.matrix, 2)) ** 2 for jump in model.jumps]
    rates = [rate for rate in rates if rate > 0]
    return len(rates) / sum(rates)


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


def _mean_decay(model: Lindblad) -> float:
    """Half the sum of the rates: what a state decays with when half the jumps are open."""
    return 0.5 * model.jump_rate
