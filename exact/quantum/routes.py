"""The routes to the same answers: the Liouvillian, the generator in the POVM basis, and QuTiP.

They share the local terms and nothing else; ``quantum_table`` asks one of them for states, eigenvalues, steady states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import norm, spsolve

from vanbench.exact.definitions.povm import OpenQuantum
from vanbench.exact.definitions.quantity import QUSPIN, QUTIP, Quantity
from vanbench.exact.definitions.states import StateSpace, require_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree import krylov
from vanbench.exact.matrixfree.kernel import Layout, operator
from vanbench.exact.method import SPARSE
from vanbench.exact.quantum import steady
from vanbench.exact.quantum.leading import dense_leading, leading
from vanbench.exact.quantum.liouvillian import Liouvillian, density_matrix, require_copies
from vanbench.exact.quantum.rounding import require_stable, resolved_states
from vanbench.exact.sparse.generator import generator
from vanbench.exact.sparse.propagate import evolve
from vanbench.exact.sparse.signed import resolved
from vanbench.exact.sparse.spectrum import top_and_gap

FOREIGN = (QUTIP, QUSPIN)  # other packages: states of the plain evolution
METHODS = ("auto", "liouvillian", "povm", *FOREIGN)
DIRECT_SPINS = 6  # a sparse factorisation of 4^7 unknowns takes minutes and gigabytes
LEADING = ("scgf", "gap")  # from the leading eigenvalues


@dataclass
class Seen:
    """Time ``t``: the normalised state, and ``d^k ln Z/ds^k`` for ``k = 0..order`` (none from QuTiP)."""

    t: float
    rho: np.ndarray
    cumulants: np.ndarray


def origin_of(system: System) -> OpenQuantum:
    if system.quantum is None:
        raise InputError(f"{system.name} is no quantum system: use vanbench.exact.solve.")
    return system.quantum


def check(system: System, method: str, rows: Sequence[Quantity], order: int) -> None:
    """Raise ``InputError`` for what this method or the memory does not allow, before any work."""
    model = origin_of(system).model
    wants_steady = any(row.steady_of for row in rows)
    if wants_steady:
        steady.require_decay(model)
        if method == QUSPIN:
            raise InputError("method 'quspin' does not find steady states: take 'auto', 'povm' or 'qutip'.")
        if method in ("povm", "qutip") and model.n_sites > DIRECT_SPINS:
            raise InputError(f"method {method!r} finds steady states of up to {DIRECT_SPINS} spins: take 'auto'.")
    if method in FOREIGN and (others := [row.name for row in rows if QUTIP not in row.by and not row.observe]):
        raise InputError(f"method {method!r} gives states, not {others[0]}: take 'auto' or 'povm'.")
    if method == QUSPIN:
        require_memory(16.0 * 40 * 4.0**model.n_sites, f"QuSpin's Liouvillian of {model.n_sites} spins")
    copies = [6 * (order + 1)]
    copies += [steady.STEADY_COPIES] if wants_steady else []
    copies += [steady.LEADING_COPIES] if any(row.name in LEADING for row in rows) else []
    require_copies(model, max(copies))
    if any("state" in row.axes or row.observe for row in rows):
        require_memory(1e3 * 4.0**model.n_sites, f"a table of 4^{model.n_sites} probabilities")


def states(
    system: System,
    s: float,
    times: np.ndarray,
    order: int,
    scheme: str,
    dt: float | None,
    method: str,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Seen]:
    """The evolved state at each of the sorted ``times``; raises ``InputError`` once it blew up or rounding took it."""
    origin = origin_of(system)
    if method == "qutip":
        from vanbench.exact.quantum.qutip_route import evolve_qutip

        for t, rho in zip(times, evolve_qutip(origin.model, origin.states, times)):
            yield Seen(float(t), rho, np.zeros(0))
    elif method == QUSPIN:
        from vanbench.exact.sparse.quspin_route import evolve_lindblad

        for t, rho in zip(times, evolve_lindblad(origin.model, origin.states, times)):
            yield Seen(float(t), rho, np.zeros(0))
    elif method == "povm":
        for seen in _povm_states(system, origin, s, times, order, dt if scheme == "euler" else None, progress):
            require_stable(seen.rho, scheme, dt)
            yield seen
    else:
        liouvillian = Liouvillian(origin.model, s, copies=6 * (order + 1) * (1 if s == 0 else 2))
        for now in resolved_states(liouvillian, density_matrix(origin.states), times, order, scheme, dt, progress):
            yield Seen(now.t, now.rho, now.cumulants)


def _povm_states(
    system: System,
    origin: OpenQuantum,
    s: float,
    times: np.ndarray,
    order: int,
    dt: float | None,
    progress: Callable[[str], None] | None,
) -> Iterator[Seen]:
    """Sparse up to 2^17 outcomes, beyond matrix-free."""
    if StateSpace(system).size <= SPARSE:
        stored = evolve(system, s, times, "jumps", order, dt, progress=progress)
        for now in resolved(stored, system, s, "jumps"):
            yield Seen(now.t, origin.povm.density_matrix(now.distribution), now.cumulants)
        return
    layout = Layout(system)
    path = krylov.evolve(system, s, times, "jumps", order, dt, layout, progress)
    for now in resolved(path, system, s, "jumps", layout):
        yield Seen(now.t, origin.povm.density_matrix(layout.to_states(now.distribution)), now.cumulants)


def steady_state_by(system: System, method: str) -> steady.Steady:
    """The steady state and its error, in the trace norm.

    A direct solve answers whatever the matrix: what is not unique, or too slow, is refused by the one route that sees
    it, and the distance from its answer is the error of the others.
    """
    origin = origin_of(system)
    own = steady.steady(origin.model)
    if method not in ("qutip", "povm"):
        return own
    if method == "qutip":
        from vanbench.exact.quantum.qutip_route import steady_qutip

        rho = steady_qutip(origin.model)
    else:
        rho = origin.povm.density_matrix(_null_vector(generator(system)))
    error = own.error + float(np.linalg.norm(rho - own.rho, "nuc"))
    if not error <= steady.KNOWN:
        raise InputError(
            f"method {method!r} loses the steady state in rounding (an error of {error:.0e}): take 'auto'."
        )
    return steady.Steady(rho, error)


def _null_vector(w: sp.csr_array) -> np.ndarray:
    """``W p = 0`` with total 1: the first equation follows from the others and makes room for the second."""
    rows = sp.vstack([sp.csr_array(np.ones((1, w.shape[0]))), w[1:]], format="csc")
    right = np.zeros(w.shape[0])
    right[0] = 1.0
    return spsolve(rows, right)


def scgf_and_gap_by(system: System, s: float, method: str) -> tuple[float, float]:
    """``theta(s)`` of the jump count and its distance to the next real part."""
    model = origin_of(system).model
    if method != "povm" or not any(jump.rate for jump in model.jumps):
        return steady.scgf_and_gap(model, s)
    size = StateSpace(system).size
    if size <= 4**steady.DENSE_SPINS:
        return top_and_gap(dense_leading(generator(system, s, "jumps").toarray(), 2).values)
    if size <= SPARSE:
        w = generator(system, s, "jumps")
        apply, bound = w.__matmul__, float(np.sqrt(norm(w, 1) * norm(w, np.inf)))  # of the 2-norm
    else:
        op = operator(system, s, "jumps")
        apply, bound = op.__matmul__, op.bound
    return top_and_gap(leading(apply, size, bound, steady.decay_time(model), 2).values)
