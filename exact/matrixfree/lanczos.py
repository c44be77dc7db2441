"""The Lanczos process for symmetrised generators: every time, both schemes, from one tridiagonal matrix.

Two vectors are held. Small systems are reorthogonalised in full, twice, which is enough (Giraud, Langou and Rozloznik,
Comput. Math. Appl. 50, 1069 (2005)); on large ones the loss of orthogonality only repeats converged Ritz values, and
the rules keep their accuracy (Golub and Strakos, Numer. Algorithms 8, 241 (1994)).

A residual of the size of rounding ends the process: a vector made of it alone is none of the Krylov space. It is no
proof that nothing is left, so it stays in the matrix as the coupling to what was not reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from vanbench.exact.matrixfree.checkpoint import Checkpoint
from vanbench.exact.matrixfree.quadrature import EPS, Tridiagonal
from vanbench.exact.matrixfree.vectors import square, subtract

SMALL = 1 << 13  # states up to which the basis is kept and reorthogonalised: beyond, it would cost more than the steps
NOISE = 64 * EPS  # of the operator's bound: more than what products and sums leave of a vector that should vanish


class SymmetricOperator(Protocol):
    """What the process needs: ``apply`` writes ``a * A v + b * out`` to ``out`` and returns ``<v|A v>``."""

    size: int
    bound: float  # on the 2-norm

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = ..., b: float = ...) -> float: ...


Visit = Callable[[int, np.ndarray, float], None]  # number, vector, its norm: of each Lanczos vector as it comes
Stop = Callable[[Tridiagonal], bool]


def lanczos(
    op: SymmetricOperator,
    start: np.ndarray,
    stop: Stop,
    max_steps: int = 600,
    visit: Visit | None = None,
    keep: Checkpoint | None = None,
) -> Tridiagonal:
    """Runs from ``start`` (overwritten) until ``stop(tridiagonal)``, a residual of rounding alone, or ``max_steps``.

    ``op`` must be symmetric. ``visit`` sees each vector times its norm, in place: it must not write to it. With
    ``keep`` the run is saved now and then, and goes on from there (``visit`` sees only the vectors that are left); one
    that had ended is read again.
    """
    diagonal: list[float] = []
    off: list[float] = []
    norm = float(np.sqrt(square(start)))
    log_mass = 2 * float(np.log(norm))
    here, before = start, np.zeros_like(start)
    scales = [norm]  # vectors are kept unnormalised: each holds its unit vector times its scale
    most = min(max_steps, op.size)
    basis = np.empty((most, op.size)) if op.size <= SMALL else None
    next_check = 5
    noise = NOISE * op.bound
    keep = keep if basis is None else None
    if keep and (saved := keep.load()):
        diagonal, off = list(saved["diagonal"]), list(saved["off"])
        if "here" not in saved:
            return Tridiagonal(np.array(diagonal), np.array(off), log_mass, op.bound)
        here, before, scales = saved["here"], saved["before"], list(saved["scales"])
        next_check = len(diagonal) + 5
    for step in range(len(diagonal), most):
        if keep:
            keep.save(here=here, before=before, diagonal=diagonal, off=off, scales=scales)
        if visit:
            visit(step, here, scales[-1])
        if basis is not None:
            np.divide(here, scales[-1], out=basis[step])
        back = off[-1] / scales[-2] if off else 0.0
        inner = op.apply(here, before, 1.0 / scales[-1], -back) / scales[-1] ** 2
        residual = np.sqrt(subtract(before, inner / scales[-1], here))
        if basis is not None:
            residual = _reorthogonalise(before, basis[: step + 1])
        diagonal.append(inner)
        off.append(0.0 if step + 1 == op.size else max(residual, noise))
        tri = Tridiagonal(np.array(diagonal), np.array(off), log_mass, op.bound)
        if residual <= noise or tri.exhausted or (step + 1 >= next_check and stop(tri)):
            break
        if step + 1 >= next_check:
            next_check += max(5, next_check // (10 if basis is None else 2))  # a check may cost more than small steps
        scales.append(residual)
        here, before = before, here
    if keep:
        keep.finish(diagonal=diagonal, off=off)
    return tri


def combine(op: SymmetricOperator, start: np.ndarray, tri: Tridiagonal, coefficients: np.ndarray) -> np.ndarray:
    """A second pass: ``sum_k coefficients[k] q_k`` over the same Lanczos vectors, ``(size,)`` or ``(m, size)``.

    ``start`` (overwritten) must be the vector of the first pass; ``coefficients``: ``(n,)`` or ``(m, n)``.
    """
    rows = np.atleast_2d(coefficients)
    out = np.zeros((len(rows), op.size))

    def visit(step: int, vector: np.ndarray, norm: float) -> None:
        for row, target in zip(rows, out):
            subtract(target, -row[step] / norm, vector)

    lanczos(op, start, lambda _: False, rows.shape[1], visit=visit)
    return out if np.ndim(coefficients) == 2 else out[0]


def _reorthogonalise(v: np.ndarray, basis: np.ndarray) -> float:
    for _ in range(2):
        v -= (basis @ v) @ basis
    return float(np.sqrt(square(v)))
