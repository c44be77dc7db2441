"""Evolution under a (tilted) Liouvillian: continuous time, and the stepping schemes on the exact state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from vanbench.exact.errors import InputError
from vanbench.exact.quantum.chebyshev import chebyshev_plan, chebyshev_step
from vanbench.exact.quantum.liouvillian import Liouvillian, from_real, to_real
from vanbench.exact.sparse.propagate import steps_of

SPAN = 8.0  # norm of one Taylor step: its terms grow to exp(8), which costs 3 of 16 digits and saves matrix products
TERMS = 41  # of one Taylor step of that norm
MOST = 1e7  # of time and norm, or of steps of a scheme: a day for three spins
PROBE = 1000  # steps after which it is told how far they are
TOLERANCE = 1e-13  # of a Taylor step, relative; hundreds of steps stay below 1e-10
SOLVE_TOLERANCE = 1e-12  # of the linear system of one implicit step, relative
SCHEMES = ("continuous", "euler", "trapezoid")


@dataclass
class EvolvedState:
    """The normalised state ``rho`` ``(dim, dim)`` at time ``t``; ``cumulants[k] = d^k ln Z/ds^k``, ``k = 0..order``."""

    t: float
    rho: np.ndarray
    cumulants: np.ndarray

    @property
    def ln_z(self) -> float:
        return float(self.cumulants[0])


Step = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # (rho, rho', ...) -> the next ones, change of the traces


def evolve_state(
    liouvillian: Liouvillian,
    rho: np.ndarray,
    times: np.ndarray,
    order: int = 0,
    scheme: str = "continuous",
    dt: float | None = None,
    progress: Callable[[str], None] | None = None,
) -> Iterator[EvolvedState]:
    """The state, and ``order`` derivatives of ``ln Z`` in ``s``, at each of the sorted ``times``, from ``rho``, t = 0.

    ``euler``: ``rho + dt L rho``; ``trapezoid``: ``(1 - dt L/2)^-1 (1 + dt L/2)`` (one step of Luo et al. with
    ``dt = 2 tau``). Raises ``InputError`` for a missing ``dt`` or a time that is no multiple of it.
    """
    check_scheme(scheme, dt, times, order)
    state = np.zeros((order + 1, *rho.shape), dtype=complex)
    state[0] = 0.5 * (rho + rho.conj().T)
    now, cumulants = 0.0, np.zeros(order + 1)
    for t in times:
        n_steps, step = _plan(liouvillian, t - now, scheme, dt)
        for done in range(1, n_steps + 1):
            state, gained = step(state)
            state, change = _recentred(state, gained)
            cumulants += change
            if progress and done % PROBE == 0:
                progress(f"s = {liouvillian.s:g}: step {done} of {n_steps} to t = {t:g}")
        now = t
        yield EvolvedState(float(t), state[0].copy(), cumulants.copy())


def _recentred(state: np.ndarray, gained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``state`` over its trace, as series in ``s`` (then of traces 1, 0, 0), and what this adds to the cumulants.

    Moments grow like ``t^2``, cumulants like ``t``: summed up step by step these keep their digits. What the traces of
    ``state`` have beyond ``gained`` is rounding.
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # unstable Euler steps: told of the state, by its norm
        m = gained / (1.0 + gained[0])
        change = np.array([np.log1p(gained[0]), *m[1:2], *(m[2:3] - m[1:2] ** 2)])
        traces = np.einsum("kii->k", state).real
        state, traces = state / traces[0], traces / traces[0]
    for k in range(1, len(state)):
        state[k] -= sum(comb(k, j) * traces[j] * state[k - j] for j in range(1, k + 1))
    return state, change


def check_scheme(scheme: str, dt: float | None, times: np.ndarray, order: int) -> None:
    """Raise ``InputError`` for a scheme without its time step, or what it does not give."""
    if scheme == "continuous":
        return
    if dt is None or not 0 < dt < np.inf:
        raise InputError(f"the {scheme} scheme needs a positive time step: give dt (--dt).")
    if steps_of(times, dt).max(initial=0) > MOST:
        raise InputError(f"dt = {dt:g} makes {times.max() / dt:.1g} steps to t = {times.max():g}: take a larger one.")
    if scheme == "trapezoid" and order:
        raise InputError("the trapezoid scheme gives no derivatives in s: take continuous or euler.")


def _plan(liouvillian: Liouvillian, span: float, scheme: str, dt: float | None) -> tuple[int, Step]:
    """How many steps cover ``span``, and the step."""
    if scheme == "continuous" or dt is None:
        n_steps = taylor_steps(liouvillian.bound, span) if span > 0 else 0
        if 2 * liouvillian.spread > liouvillian.decay:
            plan = chebyshev_plan(liouvillian.spread, liouvillian.decay, liouvillian.decline, span)
            if plan.products < TERMS * n_steps:
                return plan.n_steps, lambda state: _chebyshev(liouvillian, state, span / plan.n_steps, plan.radius)
        return n_steps, lambda state: _taylor(liouvillian, state, span / n_steps)
    advance = _euler if scheme == "euler" else _trapezoid
    return round(span / dt), lambda state: advance(liouvillian, state, dt)


def taylor_steps(norm: float, span: float) -> int:
    """Steps that cover ``span``; raises ``InputError`` where there is no end to them."""
    if not span * norm < MOST:
        raise InputError(
            f"a time of {span:g} at couplings of norm {norm:.3g} takes {span * norm:.1g} products: take shorter "
            "times or smaller couplings."
        )
    return max(1, int(np.ceil(span * norm / SPAN)))


def taylor_step(apply: Callable[[np.ndarray], np.ndarray], x: np.ndarray, h: float) -> np.ndarray:
    """``exp(h A) x`` by its Taylor series, to ``TOLERANCE``; ``h |A|`` about ``SPAN`` or less."""
    total, term = x.copy(), x
    previous = float(np.inf)
    for k in range(1, 200):
        term = (h / k) * apply(term)
        total += term
        size = float(np.linalg.norm(term))
        if size + previous <= TOLERANCE * np.linalg.norm(total):  # two terms: one may vanish by parity
            return total
        previous = size
    raise ArithmeticError("the Taylor series of the exponential did not converge.")


def _taylor(liouvillian: Liouvillian, state: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """``exp(h L) state``, and the traces from those of the terms ``L`` acts on: 0 where the trace is conserved."""
    passed, k = np.zeros_like(state), 0  # the integral of the state over the step

    def apply(term: np.ndarray) -> np.ndarray:
        nonlocal passed, k
        k += 1
        passed += h / k * term
        return liouvillian.apply_stack(term)

    new = taylor_step(apply, state, h)
    return new, liouvillian.trace_rates(passed)


def _chebyshev(liouvillian: Liouvillian, state: np.ndarray, h: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The same where frequencies outweigh decay: the decay rates lie between 0 and ``decay``."""
    new, passed = chebyshev_step(liouvillian.apply_stack, state, h, -0.5 * liouvillian.decay, radius, TOLERANCE)
    return new, liouvillian.trace_rates(passed)


def _euler(liouvillian: Liouvillian, state: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    return state + dt * liouvillian.apply_stack(state), dt * liouvillian.trace_rates(state)


def _trapezoid(liouvillian: Liouvillian, state: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    rho = state[0]
    size = rho.size
    half = liouvillian.apply(rho)
    implicit = LinearOperator(
        (size, size), matvec=lambda v: v - 0.5 * dt * liouvillian.apply_real(np.ravel(v)), dtype=float
    )
    right = to_real(rho + 0.5 * dt * half)
    guess = to_real(rho + dt * half)
    solution, failed = gmres(implicit, right, x0=guess, rtol=SOLVE_TOLERANCE, restart=30, maxiter=20)
    if failed:
        raise InputError(f"the implicit step did not converge at dt = {dt:g}: take a smaller dt.")
    new = from_real(solution, liouvillian.dim)[None]
    return new, 0.5 * dt * liouvillian.trace_rates(state + new)
