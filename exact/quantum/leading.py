"""The eigenvalues of largest real part of a real operator with a wide imaginary spectrum, such as a Liouvillian.

Arnoldi runs on ``exp(tau L)``, whose largest eigenvalues are those; on ``L`` itself the coherences far along the
imaginary axis hide them. One Krylov space holds one vector of each eigenvalue, and eigenvalues that ``exp(tau L)``
shows closer together than its tolerance are one to it. So what a run found is projected out, a fresh one follows, and
Rayleigh and Ritz resolve the span of all runs with ``L`` itself (deflation; Saad, Numerical Methods for Large
Eigenvalue Problems, 4.2 and 8.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import ArpackError, LinearOperator, eigs

from vanbench.exact.errors import InputError
from vanbench.exact.quantum.evolve import taylor_step, taylor_steps

BASIS = 20  # Arnoldi vectors of ARPACK beyond two for each eigenvalue; with 8 a ring of 6 takes 20 times as long
RESTARTS = 200  # of ARPACK
TOLERANCE = 1e-12  # of ARPACK
MOST = 40  # vectors: more eigenvalues that close together are left alone
RESOLVED = 1e-4  # residual of an eigenvector, relative to the distance from the first eigenvalue
ROUNDING = 1e-12  # of the norm: distances below this are none
COPIES = 2 * (MOST + BASIS) + 10  # real vectors of the size of the operator that are held

Apply = Callable[[np.ndarray], np.ndarray]


class Leading(NamedTuple):
    """``values`` in falling order of their real parts, and the residual ``|L v - lambda v| / |v|`` of each."""

    values: np.ndarray
    residuals: np.ndarray


def dense_leading(matrix: np.ndarray, count: int) -> Leading:
    values, vectors = np.linalg.eig(matrix)
    first = np.argsort(-values.real)[:count]
    return Leading(values[first], np.linalg.norm((matrix @ vectors - values * vectors)[:, first], axis=0))


def leading(apply: Apply, size: int, norm: float, span: float, count: int) -> Leading:
    """Of the real operator ``apply`` ``(size,) -> (size,)`` of 2-norm ``norm`` or less; ``span`` is ``tau``.

    Raises ``InputError`` where ARPACK fails, or where more eigenvalues lie together than it can tell apart.
    """
    n_steps = taylor_steps(norm, span)
    rng = np.random.default_rng(0)  # fixed: the same answer at every call
    basis, images, now = np.zeros((size, 0)), np.zeros((size, 0)), Leading(np.zeros(0), np.zeros(0))

    def outside(v: np.ndarray) -> np.ndarray:
        return v - basis @ (basis.T @ v)

    def propagate(v: np.ndarray) -> np.ndarray:
        v = outside(np.ravel(v))
        for _ in range(n_steps):
            v = taylor_step(apply, v, span / n_steps)
        return outside(v)

    while basis.shape[1] < MOST:
        start = outside(rng.standard_normal(size))
        operator = LinearOperator((size, size), matvec=propagate, dtype=float)
        try:
            vectors = _arnoldi(operator, count, start)
        except ArpackError as error:
            if len(now.values) and _resolved(now, norm):  # what is left is too close together to matter
                return now
            raise InputError(f"ARPACK did not find the leading eigenvalues ({error}).") from error
        new = _orthonormal(np.hstack([vectors.real, vectors.imag]), basis)
        basis = np.hstack([basis, new])
        images = np.hstack([images, np.stack([apply(v) for v in new.T], axis=1)])
        before, now = now, _ritz(basis, images, count, ROUNDING * norm)
        if len(before.values) and _settled(before, now, norm):
            return now
    raise InputError(
        f"more than {MOST} eigenvalues lie within {abs(now.values[0] - now.values[-1]):.1e} of the leading one: "
        "too close together to resolve the gap."
    )


def _arnoldi(operator: LinearOperator, count: int, start: np.ndarray) -> np.ndarray:
    """Eigenvectors; with more vectors where many eigenvalues are nearly equal. Raises ``ArpackError``."""
    options = {"which": "LM", "v0": start, "maxiter": RESTARTS, "tol": TOLERANCE}
    try:
        return eigs(operator, k=count, ncv=2 * count + BASIS, **options)[1]
    except ArpackError:
        return eigs(operator, k=count, ncv=2 * count + 2 * BASIS, **options)[1]


def _orthonormal(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """What ``vectors`` add to ``basis``: of the real and imaginary parts of a conjugate pair, two of four."""
    for _ in range(2):  # once more: what a projection leaves over is rounding of what it took
        vectors = vectors - basis @ (basis.T @ vectors)
    left, singular, _ = np.linalg.svd(vectors, full_matrices=False)
    return left[:, singular > 1e-6]  # unit vectors: less is the error of the others


def _ritz(basis: np.ndarray, images: np.ndarray, count: int, rounding: float) -> Leading:
    values, inner = np.linalg.eig(basis.T @ images)
    first = np.argsort(-values.real - rounding * (values.imag == 0))[:count]  # of equal real parts, the real one leads
    values, inner = values[first], inner[:, first]
    return Leading(values, np.linalg.norm(images @ inner - basis @ (inner * values), axis=0))


def _settled(before: Leading, now: Leading, norm: float) -> bool:
    """Whether a fresh run brought nothing larger, and the eigenvalues are resolved."""
    moved = np.abs(now.values.real - before.values.real).max()
    return bool(moved <= max(RESOLVED * np.ptp(now.values.real), ROUNDING * norm)) and _resolved(now, norm)


def _resolved(now: Leading, norm: float) -> bool:
    """The leading eigenvalue of a completely positive semigroup is real (Evans and Hoegh-Krohn, J. London Math. Soc.
    17, 345 (1978)): as long as it is not, it lies in a vector that Arnoldi had no need to resolve."""
    apart = np.abs(now.values - now.values[0]).max()
    return bool(now.values[0].imag == 0 and now.residuals.max() <= max(RESOLVED * apart, ROUNDING * norm))
