"""``exp(t A) v`` for any matrix-free operator: Arnoldi steps with an error estimate and an adaptive time step.

Saad, SIAM J. Numer. Anal. 29, 209 (1992); step control as in Sidje, ACM Trans. Math. Softw. 24, 130 (1998).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from scipy.linalg import expm

from vanbench.exact.definitions.states import available_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree import uniformisation
from vanbench.exact.matrixfree.eigenvectors import leading_values
from vanbench.exact.matrixfree.kernel import Layout, Operator, balanced
from vanbench.exact.matrixfree.local import tilted
from vanbench.exact.matrixfree.stacked import Stacked
from vanbench.exact.sparse.cumulants import recentred
from vanbench.exact.sparse.generator import generator
from vanbench.exact.sparse.longtime import LongTimes
from vanbench.exact.sparse.propagate import FEW, Evolved, largest, reached_from, spans

BASIS = 24  # Krylov vectors a step, where memory allows
FEWEST = 4
LONG = 1e4  # products with the operator beyond which steps grow (`longtime`)
# Rescaled so much more often than overflow asks for: derivatives grow like t^2 until they are recentred, and errors are
# relative to the largest entry.
OFTEN = 20.0
TOLERANCE = 1e-13  # relative error allowed in the whole evolution, in the 2-norm


class Applies(Protocol):
    def __matmul__(self, v: np.ndarray) -> np.ndarray: ...


def expm_multiply(
    a: Applies, v: np.ndarray, t: float, tolerance: float = TOLERANCE, basis: int = BASIS
) -> tuple[np.ndarray, float]:
    """``(exp(t A) v, error)``: the estimated error is relative to the norm of the result's largest intermediate.

    ``basis`` + 2 vectors are held. Raises ``InputError`` if the step underflows (entries that are not finite).
    """
    v = v.copy()
    now, error, step = 0.0, 0.0, t
    q = np.empty((basis + 1, len(v)))
    while now < t:
        beta = float(np.linalg.norm(v))
        if beta == 0.0:
            break
        h, k = _arnoldi(a, v / beta, q, basis, 1e-2 * tolerance / t)
        step = min(step, t - now)
        while True:
            small, local = _small_exponential(h, k, step)
            if local <= tolerance * step / t or k < basis:
                break
            step *= max(0.2, 0.9 * (tolerance * step / t / local) ** (1.0 / basis))
            if not step > 1e-14 * t:
                raise InputError("the Krylov propagator cannot reach its tolerance: the rates are not finite.")
        v = beta * (small[:k] @ q[:k])
        now += step
        error += local
        step *= min(2.0, max(1.0, 0.9 * (tolerance * step / t / max(local, 1e-300)) ** (1.0 / basis)))
    return v, error


def _arnoldi(a: Applies, v: np.ndarray, q: np.ndarray, m: int, slow: float) -> tuple[np.ndarray, int]:
    """Fills ``q`` with an orthonormal Krylov basis; the Hessenberg matrix and the number of vectors reached.

    The basis is complete when it spans all states, or is left at a rate of ``slow`` at most (absorbed in a state).
    """
    h = np.zeros((m + 1, m + 1))
    q[0] = v
    for j in range(m):
        w = a @ q[j]
        scale = float(np.linalg.norm(w))
        for _ in range(2):  # twice is enough to keep the basis orthogonal to rounding
            overlap = q[: j + 1] @ w
            h[: j + 1, j] += overlap
            w -= overlap @ q[: j + 1]
        h[j + 1, j] = np.linalg.norm(w)
        if h[j + 1, j] <= max(1e-14 * scale, slow) or j + 1 == len(v):
            h[j + 1, j] = 0.0
            return h, j + 1
        q[j + 1] = w / h[j + 1, j]
    return h, m


def _small_exponential(h: np.ndarray, k: int, step: float) -> tuple[np.ndarray, float]:
    """First column of ``exp(step H)``, and the local error: the largest flow out of the basis during the step."""
    big = np.zeros((k + 1, k + 1))
    big[:k, :k] = h[:k, :k]
    big[k, k - 1] = h[k, k - 1]
    quarter = expm(0.25 * step * big)
    column, leak = quarter[:, 0], 0.0
    for _ in range(4):
        leak = max(leak, float(abs(column[k]) / np.linalg.norm(column[:k])))
        last, column = column, quarter @ column
    return last, leak


def evolve(
    system: System,
    s: float,
    times: np.ndarray,
    observable: str = "activity",
    order: int = 0,
    dt: float | None = None,
    layout: Layout | None = None,
    progress: Callable[[str], None] | None = None,
    first: Evolved | None = None,
) -> Iterator[Evolved]:
    """As ``propagate.evolve``, matrix-free; vectors in the order of ``layout``."""
    layout = layout or Layout(system)
    assert layout.closed
    operators = [Operator(layout, tilted(system, s, observable, k)) for k in range(order + 1)]
    stacked: Applies = Stacked(operators) if order else operators[0]
    growth = max(uniformisation.column_bound(tilted(system, s, observable, k)) for k in range(min(order, 1) + 1))
    basis = affordable_basis((order + 1) * layout.size)
    state = np.zeros((order + 1, layout.size))
    state[0] = layout.initial()
    now, logs, long = 0.0, np.zeros(order + 1), None
    if first is not None:
        assert first.t <= min(times, default=first.t)
        now, logs, state = first.t, first.logs, first.derivatives
    rate = operators[0].bound if dt is None else 1 / dt
    for t in times:
        if (t - now) * rate > LONG:
            long = long or _long_times(system, s, observable, layout, operators, dt, basis, progress)
            state, logs = long.advance(state, logs, t - now)
            now = t
            yield Evolved(float(t), logs.copy(), state.copy())
            continue
        for span in spans(t - now, growth * OFTEN, dt):
            flat = state.ravel()
            if dt is None:
                flat, _ = expm_multiply(stacked, flat, span, basis=basis)
            else:
                for _ in range(round(span / dt)):
                    flat = flat + dt * (stacked @ flat)
            state, logs = recentred(flat.reshape(state.shape), logs)
        now = t
        yield Evolved(float(t), logs.copy(), state.copy())


def _long_times(
    system: System,
    s: float,
    observable: str,
    layout: Layout,
    operators: Sequence[Operator],
    dt: float | None,
    basis: int,
    progress: Callable[[str], None] | None,
) -> LongTimes:
    top = _top(system, s, observable, layout, operators[0].bound)
    top = top if dt is None else float(np.log1p(dt * top) / dt)
    parts = tilted(system, s, observable)
    f, norm = balanced(parts, system.n_sites, system.local_dim)
    root = layout.product(np.exp(f))
    root[layout.excluded] = 1.0
    products = [op.__matmul__ for op in operators]
    elements = 2.0 * layout.size * len(system.terms)
    return LongTimes(products, root, norm, top, elements, dt, basis, progress)


def _top(system: System, s: float, observable: str, layout: Layout, bound: float) -> float:
    """The largest eigenvalue, of few states among those that the start leads to; ``bound`` where it is not found."""
    if layout.size <= FEW:
        w = generator(system, s, observable, space=layout.space)
        inside = reached_from(layout.to_states(layout.initial()) != 0, w)
        return largest(sp.csr_array(w[inside][:, inside]), bound)
    try:
        return float(leading_values(system, s, observable, layout, 2)[0].real)
    except InputError:
        return bound


def affordable_basis(length: int) -> int:
    """Krylov vectors of ``length`` that fit three quarters of the memory there is, between 4 and 24."""
    return int(np.clip(0.75 * available_memory() / (8.0 * length) - 5, FEWEST, BASIS))
