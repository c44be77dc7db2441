"""The Liouvillian of local spin models, tilted by the number of quantum jumps: sparse, and as a function of ``rho``.

``L_s rho = -i (K rho - rho K^+) + exp(-s) sum_k gamma_k G_k rho G_k^+``, ``K = H - i/2 sum_k gamma_k G_k^+ G_k``
(full counting statistics: Garrahan and Lesanovsky, PRL 104, 160601 (2010)). ``rho`` is Hermitian of shape
``(2**N, 2**N)``. It may be held as the real matrix ``R = Re rho + Im rho`` of the same norm (the two parts are
symmetric and antisymmetric, so nothing is lost): Krylov methods then run in real arithmetic and stay Hermitian.

``apply`` returns matrices that are Hermitian to the last bit. ``-i K rho`` plus its adjoint is ``L rho`` of a Hermitian
``rho`` alone: an anti-Hermitian part, left over by rounding, would feel the recycling without the loss, and grow.
"""

from __future__ import annotations

from copy import copy
from functools import cached_property, partial, reduce
from math import comb

import numpy as np
import scipy.sparse as sp
from numba import prange
from scipy.sparse.linalg import eigsh

from vanbench.exact.definitions.lindblad import Jump, Lindblad
from vanbench.exact.definitions.pauli import embed, total
from vanbench.exact.definitions.states import require_memory
from vanbench.exact.threads import both, threads

TILE = 32
PARALLEL_FROM = 512  # rows; below, a product takes a millisecond, less than threads wait where cores are busy
SHAKEN = 4 * float(np.finfo(float).eps)
DENSE_SPINS = 4  # up to here the extreme energies come from a dense eigensolver


def require_copies(model: Lindblad, copies: int) -> None:
    require_memory(16.0 * copies * 4.0**model.n_sites, f"room for {copies} density matrices of {model.n_sites} spins")


class Liouvillian:
    """``L_s`` of ``model``, never stored. Raises ``InputError`` when ``copies`` density matrices do not fit memory."""

    def __init__(self, model: Lindblad, s: float = 0.0, copies: int = 5):
        self.model, self.s, self.dim = model, float(s), model.dim
        require_copies(model, copies)
        n = model.n_sites
        self.hamiltonian = total([(p.sites, p.matrix) for p in model.hamiltonian], n)
        loss = total([(j.sites, j.rate * j.matrix.conj().T @ j.matrix) for j in model.jumps], n)
        self.effective = sp.csr_array(self.hamiltonian - 0.5j * loss)
        self._loss = sp.coo_array(loss)
        self._jumps = _stack([sp.csr_array(np.sqrt(j.rate) * embed(j.sites, j.matrix, n)) for j in model.jumps])

    def apply(self, rho: np.ndarray, s_order: int = 0) -> np.ndarray:
        """``L_s rho`` of a Hermitian ``rho``; ``s_order > 0``: that derivative of ``L_s`` in ``s``."""
        parallel = self.dim >= PARALLEL_FROM and threads() > 1
        out = np.zeros_like(rho)
        if s_order == 0:
            k = self.effective
            _coherent[parallel](rho, out, k.indptr, k.indices, k.data)
        weight = 0.5 * (-1.0) ** s_order * np.exp(-self.s)  # half of what is Hermitian: its adjoint is the other half
        _recycle[parallel](rho, out, weight, *self._jumps)
        _add_adjoint[parallel](out)
        return out

    def apply_stack(self, stack: np.ndarray) -> np.ndarray:
        """``d/dt (rho, rho', rho'', ...)`` for derivatives in ``s``, shape ``(order + 1, dim, dim)`` (Leibniz)."""
        out = np.array([self.apply(rho) for rho in stack])
        for i in range(1, len(stack)):
            for j in range(i):
                out[i] += comb(i, j) * self.apply(stack[j], i - j)
        return out

    def trace_rates(self, stack: np.ndarray) -> np.ndarray:
        """``d/dt Tr (rho, rho', rho'', ...)``, ``(order + 1,)``, without the cancellation of ``Tr L_s rho``.

        ``Tr L_s rho = (exp(-s) - 1) sum_k gamma_k Tr(G_k^+ G_k rho)``: 0 at ``s = 0``.
        """
        jumps = np.array([np.sum(self._loss.data * rho[self._loss.col, self._loss.row]).real for rho in stack])
        slopes = [np.expm1(-self.s), *((-1.0) ** k * np.exp(-self.s) for k in range(1, len(stack)))]
        return np.array([sum(comb(i, j) * slopes[i - j] * jumps[j] for j in range(i + 1)) for i in range(len(stack))])

    def apply_real(self, flat: np.ndarray) -> np.ndarray:
        """``L_s`` on the real form, ``(4**N,)``."""
        return to_real(self.apply(from_real(flat, self.dim)))

    @property
    def bound(self) -> float:
        """A bound on the 2-norm: the spread of energies, and the norms of the local dissipators."""
        return self.spread + self.decay

    @cached_property
    def decay(self) -> float:
        """A bound on the 2-norm of the dissipator."""
        return sum(_dissipator_norm(jump, self.s) for jump in self.model.jumps)

    @cached_property
    def spread(self) -> float:
        """A bound on the spread of energies, the largest frequency."""
        if self.hamiltonian.nnz == 0:
            return 0.0
        if self.model.n_sites <= DENSE_SPINS:
            energies = np.linalg.eigvalsh(self.hamiltonian.toarray())
            return float(energies[-1] - energies[0])
        options = {"k": 1, "return_eigenvectors": False, "tol": 1e-3, "v0": np.cos(np.arange(self.dim))}
        top, bottom = (eigsh(self.hamiltonian, which=which, **options)[0] for which in ("LA", "SA"))
        return 1.01 * float(top - bottom)

    @property
    def growth(self) -> float:
        """A bound on the growth rate of ``Tr rho`` from any start: ``(exp(-s) - 1) sum_k gamma_k |G_k|^2``, or 0."""
        return max(0.0, float(np.expm1(-self.s))) * self.model.jump_rate

    @property
    def decline(self) -> float:
        """A bound on the rate at which ``Tr rho`` falls from any start: ``(1 - exp(-s)) sum_k gamma_k |G_k|^2``, or
        0."""
        return max(0.0, -float(np.expm1(-self.s))) * self.model.jump_rate

    def shaken(self) -> Liouvillian:
        """The same with every entry of its operators changed at random by a few units in the last place."""
        other, rng = copy(self), np.random.default_rng(0)
        other.effective = self.effective.copy()
        other.effective.data *= 1 + SHAKEN * rng.standard_normal(self.effective.nnz)
        *places, values = self._jumps
        other._jumps = (*places, values * (1 + SHAKEN * rng.standard_normal(len(values))))
        return other

    def sparse(self) -> sp.csr_array:
        """``L_s`` as a CSR matrix on row-major ``vec(rho)``, ``(4**N, 4**N)`` complex."""
        n = self.model.n_sites
        entries = 2 * self.effective.nnz + len(self.model.jumps) * 2**n
        require_memory(64.0 * entries * 2**n, f"the sparse Liouvillian of {n} spins")
        identity = sp.eye_array(self.dim, format="csr")
        out = -1j * sp.kron(self.effective, identity) + 1j * sp.kron(identity, self.effective.conj())
        for jump in self.model.jumps:
            g = embed(jump.sites, jump.matrix, n)
            out = out + np.exp(-self.s) * jump.rate * sp.kron(g, g.conj())
        return sp.csr_array(out)

    def dense(self) -> np.ndarray:
        """``L_s`` on the real form, ``(4**N, 4**N)`` real: ``T^+ L_s T`` with the unitary ``T`` of ``from_real``."""
        size = self.dim**2
        require_memory(24.0 * size**2, f"the dense Liouvillian of {self.model.n_sites} spins")
        code = np.arange(size)
        transpose = sp.csr_array((np.ones(size), (code, (code % self.dim) * self.dim + code // self.dim)))
        to_complex = sp.csr_array((1 + 1j) / 2 * sp.eye_array(size) + (1 - 1j) / 2 * transpose)
        return (to_complex.conj().T @ self.sparse() @ to_complex).real.toarray()


def density_matrix(states: np.ndarray) -> np.ndarray:
    """The product of one-spin states ``(n, 2, 2)``, ``(2**n, 2**n)``."""
    return np.ascontiguousarray(reduce(np.kron, states))


def to_real(rho: np.ndarray) -> np.ndarray:
    return (rho.real + rho.imag).ravel()


def from_real(flat: np.ndarray, dim: int) -> np.ndarray:
    r = flat.reshape(dim, dim)
    return np.ascontiguousarray(0.5 * (r + r.T) + 0.5j * (r - r.T))


def _dissipator_norm(jump: Jump, s: float) -> float:
    g, eye = jump.matrix, np.eye(len(jump.matrix))
    loss = g.conj().T @ g / 2
    local = np.exp(-s) * np.kron(g, g.conj()) - np.kron(loss, eye) - np.kron(eye, loss.conj())
    return jump.rate * float(np.linalg.norm(local, 2))


def _stack(jumps: list[sp.csr_array]) -> tuple[np.ndarray, ...]:
    """Row pointers ``(jumps, dim + 1)`` into joint arrays of row, column and value."""
    if not jumps:
        return np.zeros((0, 1), np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, complex)
    starts = np.cumsum([0] + [g.nnz for g in jumps])
    pointers = np.array([g.indptr + start for g, start in zip(jumps, starts)], dtype=np.int64)
    rows = np.concatenate([np.repeat(np.arange(g.shape[0]), np.diff(g.indptr)) for g in jumps]).astype(np.int64)
    columns = np.concatenate([g.indices for g in jumps]).astype(np.int64)
    return pointers, rows, columns, np.concatenate([g.data for g in jumps])


@both
def _coherent(rho, out, indptr, indices, data):  # type: ignore[no-untyped-def]
    for i in prange(rho.shape[0]):
        target = out[i]
        for e in range(indptr[i], indptr[i + 1]):
            value, source = -1j * data[e], rho[indices[e]]
            for j in range(target.size):
                target[j] += value * source[j]


@partial(both, fastmath=False)
def _add_adjoint(a):  # type: ignore[no-untyped-def]
    """``a + a^+`` in place, tile by tile: both triangles of a pair of tiles stay in the cache."""
    size = a.shape[0]
    for block in prange((size + TILE - 1) // TILE):
        i0, i1 = block * TILE, min(size, (block + 1) * TILE)
        for j0 in range(0, i1, TILE):
            for i in range(i0, i1):
                for j in range(j0, min(j0 + TILE, i + 1)):
                    value = a[i, j] + np.conj(a[j, i])
                    a[i, j] = value
                    a[j, i] = np.conj(value)


@both
def _recycle(rho, out, weight, pointers, rows, columns, values):  # type: ignore[no-untyped-def]
    """``out += weight sum_k G_k rho G_k^+``."""
    for i in prange(rho.shape[0]):
        target = out[i]
        for k in range(pointers.shape[0]):
            for e in range(pointers[k, i], pointers[k, i + 1]):
                value, source = weight * values[e], rho[columns[e]]
                for f in range(pointers[k, 0], pointers[k, -1]):
                    target[rows[f]] += value * np.conj(values[f]) * source[columns[f]]
