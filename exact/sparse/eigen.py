"""The outermost eigenvalues of one strongly connected matrix, each with an estimate of its error.

The matrix is balanced first. What balances to a symmetric one goes to Lanczos, the rest to Arnoldi (ARPACK), small ones
to LAPACK. Where Krylov spaces do not converge (rates over decades) the matrix is factorised and inverted at a shift
above its spectrum, which the iteration of Noda, Numer. Math. 17, 382 (1971), brings down to the largest eigenvalue.

An eigenvalue of a matrix that is not normal moves by up to ``kappa = |l| |r| / |l . r|`` times a residual, ``l`` and
``r`` its left and right eigenvectors: that product is the error told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackError, LinearOperator, SuperLU, eigs, splu

from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.symmetric_ends import two_largest
from vanbench.exact.sparse.balance import balanced

DENSE = 400  # states up to which a dense solve of a matrix that is not symmetric is quicker than ARPACK, and certain
DENSE_SYMMETRIC = 700  # the same for a symmetric one
DENSE_LAST = 2048  # where all else fails: a minute
FACTORED = 1 << 13  # states whose sparse factors take seconds and little memory
EPS = np.finfo(float).eps
RESIDUAL = 1e-12  # of an eigenvector, relative to the norm, at which an iteration ends
ACCEPTED = 1e-8  # error, relative to the norm, beyond which an eigenvalue is not told

Product = Callable[[np.ndarray], np.ndarray]


class Values(NamedTuple):
    """Eigenvalues (complex, outermost first) and the estimated error of each."""

    values: np.ndarray
    errors: np.ndarray


class Stored:
    """A symmetric CSR matrix as `lanczos` takes it."""

    def __init__(self, b: sp.csr_array):
        self.b, self.size = b, b.shape[0]
        self.bound = norm(b)

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        flow = self.b @ v
        out *= b
        out += a * flow
        return float(v @ flow)


def outermost(w: sp.csr_array, count: int = 2, which: str = "LR") -> Values:
    """The ``count`` eigenvalues of largest (``LR``) or smallest (``SR``) real part, or largest modulus (``LM``).

    ``w`` must be strongly connected. Raises ``InputError`` where no route converges.
    """
    size = w.shape[0]
    if size == 1:
        return Values(w.diagonal().astype(complex), np.zeros(1))
    b, _, symmetric = balanced(w)
    count = min(count, size)
    if size <= (DENSE_SYMMETRIC if symmetric else DENSE):
        return _first(_dense(b, symmetric), count, which)
    routes: list[Callable[[], Values]] = [lambda: _arnoldi(b, count, which)]
    if symmetric and which in ("LR", "SR") and count == 2:
        routes = [lambda: _by_lanczos(b, which)]
    if which == "LR" and size <= FACTORED and _positive(b):
        routes.append(lambda: _inverted(b, count, symmetric))
    if size <= DENSE_LAST:
        routes.append(lambda: _dense(b, symmetric))
    for route in routes:
        try:
            eigen = _first(route(), count, which)
        except (ArpackError, RuntimeError):  # RuntimeError: a factor that is singular
            continue
        if len(eigen.values) == count and (eigen.errors <= ACCEPTED * max(norm(b), 1e-300)).all():
            return eigen
    raise InputError(f"the leading eigenvalues of W_s on {size} states were not found: no eigenvalue solver converged.")


def norm(b: sp.csr_array) -> float:
    """A bound on the 2-norm: the geometric mean of the largest absolute row and column sums."""
    size = abs(b)
    return float(np.sqrt(size.sum(axis=0).max() * size.sum(axis=1).max()))


def ordered(values: np.ndarray, which: str) -> np.ndarray:
    """The order of eigenvalues in which the outermost comes first."""
    return np.argsort({"LR": -values.real, "SR": values.real, "LM": -np.abs(values)}[which], kind="stable")


def _first(eigen: Values, count: int, which: str) -> Values:
    order = ordered(eigen.values, which)[:count]
    return Values(eigen.values[order], eigen.errors[order])


def _positive(b: sp.csr_array) -> bool:
    """Whether no move has a negative rate."""
    return bool(((b - sp.diags_array(b.diagonal())).tocsr().data >= 0).all())


def _dense(b: sp.csr_array, symmetric: bool) -> Values:
    rounding = 2 * EPS * max(4.0, np.sqrt(b.shape[0])) * norm(b)
    if symmetric:
        values = np.linalg.eigvalsh(b.toarray())
        return Values(values.astype(complex), np.full(len(values), rounding))
    values, left, right = scipy.linalg.eig(b.toarray(), left=True, right=True)
    overlap = np.abs((left.conj() * right).sum(0))
    return Values(values, rounding / np.maximum(overlap, EPS))


def _by_lanczos(b: sp.csr_array, which: str) -> Values:
    """The two outermost eigenvalues, the second with the first taken out: nearly equal ones are told apart."""
    sign = 1.0 if which == "LR" else -1.0
    values, errors = two_largest(Stored(sp.csr_array(sign * b)), steps=400)
    return Values(sign * values.astype(complex), errors)


def _arnoldi(b: sp.csr_array, count: int, which: str) -> Values:
    scale = norm(b)
    return outermost_of(lambda v: b @ v, lambda v: b.T @ v, b.shape[0], scale, count, which)


def _factors(m: sp.csc_array) -> SuperLU:
    """Of an M-matrix, which needs no pivots: in an order made for its pattern."""
    return splu(m, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def outermost_of(
    product: Product,
    transposed: Product,
    size: int,
    scale: float,
    count: int,
    which: str,
    mask: np.ndarray | None = None,
    ncv: int = 40,
) -> Values:
    """By ARPACK from products with a matrix and its transpose, whose norm is about ``scale``.

    A real first eigenvalue is taken out (``A - 2 scale r l^T``) and the rest asked for again: a Krylov space takes
    nearly equal eigenvalues for one. ``mask`` confines the search to a set of states.
    """
    start = np.random.default_rng(0).random(size) * (1.0 if mask is None else mask)
    values, vectors = _eigs(product, size, count, which, start, ncv)
    first = ordered(values, which)
    values, vectors = values[first], vectors[:, first]
    turned, left = _eigs(transposed, size, count, which, start, ncv)
    kappas = [
        _kappa(vectors[:, i], left[:, np.argmin(np.abs(turned - np.conj(values[i])))]) for i in range(len(values))
    ]
    residuals = [_residual(product, values[i], vectors[:, i]) for i in range(len(values))]
    errors = np.array(kappas) * (np.array(residuals) + EPS * scale)
    if which != "LR" or abs(values[0].imag) > RESIDUAL * scale or count < 2:
        return Values(values, errors)
    right, left = vectors[:, 0].real, left[:, np.argmin(np.abs(turned - values[0]))].real
    weight = 2 * scale / (left @ right)
    others, _ = _eigs(lambda v: product(v) - weight * (left @ v) * right, size, count, which, start, ncv)
    others = others[ordered(others, which)]
    if (others[0] - values[1]).real > 1e-9 * scale:  # missed before: as uncertain as the first
        values = np.concatenate([values[:1], others])[:count]
        errors = np.full(len(values), errors[0])
    return Values(values, errors)


def _eigs(
    product: Product, size: int, count: int, which: str, start: np.ndarray, ncv: int
) -> tuple[np.ndarray, np.ndarray]:
    operator = LinearOperator((size, size), matvec=lambda v: product(np.asarray(v).ravel()), dtype=float)
    return eigs(operator, k=count, which=which, v0=start, ncv=min(size - 1, ncv), maxiter=300, tol=1e-13)


def _kappa(right: np.ndarray, left: np.ndarray) -> float:
    overlap = max(abs(left @ right), abs(left.conj() @ right))
    return float(np.linalg.norm(left) * np.linalg.norm(right) / max(overlap, EPS))


def _residual(product: Product, value: complex, vector: np.ndarray) -> float:
    real, imag = np.ascontiguousarray(vector.real), np.ascontiguousarray(vector.imag)
    applied = product(real) + (1j * product(imag) if imag.any() else 0.0)
    return float(np.linalg.norm(applied - value * vector) / np.linalg.norm(vector))


def _inverted(b: sp.csr_array, count: int, symmetric: bool) -> Values:
    """The eigenvalues next to a shift a little above the largest one, which is real: moves have positive rates."""
    size, scale = b.shape[0], norm(b)
    upper = min(float(b.sum(axis=0).max()), float(b.sum(axis=1).max())) + 1e-3 * scale
    vector = np.ones(size)
    for _ in range(12):
        shift = upper
        factors = _factors(sp.csc_array(shift * sp.eye_array(size) - b))
        for _ in range(3):
            solved = np.maximum(factors.solve(vector), 1e-300)
            ratio, vector = vector / solved, solved / solved.max()
        upper, lower = shift - float(ratio.min()), shift - float(ratio.max())
        if shift - lower <= 1e-6 * scale or upper - lower <= 1e-3 * (shift - upper):
            break
    inverse = LinearOperator(b.shape, matvec=factors.solve, dtype=float)
    flipped = LinearOperator(b.shape, matvec=lambda v: factors.solve(v, trans="T"), dtype=float)
    k = min(count + 4, size - 2)
    start = np.random.default_rng(0).random(size)
    mu, right = eigs(inverse, k=k, v0=start, ncv=min(size - 1, 60), tol=1e-13)
    nu, left = (mu, right) if symmetric else eigs(flipped, k=k, v0=start, ncv=min(size - 1, 60), tol=1e-13)
    kappas = np.array([_kappa(right[:, i], left[:, np.argmin(np.abs(nu - np.conj(mu[i])))]) for i in range(k)])
    values = shift - 1.0 / mu
    residuals = np.array([_residual(lambda v: b @ v, values[i], right[:, i]) for i in range(k)])
    return Values(values, kappas * (residuals + EPS * scale))
