"""Evolution under a (tilted) Liouvillian: continuous time, and the stepping schemes on the exact state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, gmres

from ..errors import InputError
from ..propagate import steps_of
from .liouvillian import Liouvillian, from_real, to_real

SPAN = 8.0  # norm of one Taylor step: its terms grow to exp(8), which costs 3 of 16 digits and saves matrix products
MOST = 1e7  # of time and norm: a day for three spins
TOLERANCE = 1e-13  # of a Taylor step, relative; hundreds of steps stay below 1e-10
SOLVE_TOLERANCE = 1e-12  # of the linear system of one implicit step, relative
SCHEMES = ("continuous", "euler", "trapezoid")


@dataclass
class EvolvedState:
    """``derivatives[k] = d^k rho / ds^k`` at time ``t``, ``(order + 1, dim, dim)``, times ``exp(log_scale)``."""

    t: float
    log_scale: float
    derivatives: np.ndarray

    @property
    def traces(self) -> np.ndarray:
        """``d^k Z/ds^k / Z``, the first 1."""
        traces = np.einsum("kii->k", self.derivatives).real
        return traces / traces[0]

    @property
    def ln_z(self) -> float:
        return self.log_scale + float(np.log(np.trace(self.derivatives[0]).real))

    @property
    def cumulants(self) -> np.ndarray:
        """``d^k ln Z/ds^k`` for ``k = 0..order``."""
        m = self.traces
        return np.array([self.ln_z, *m[1:2], *(m[2:3] - m[1:2] ** 2)])

    @property
    def rho(self) -> np.ndarray:
        """The normalised state."""
        return self.derivatives[0] / np.trace(self.derivatives[0])


def evolve_state(
    liouvillian: Liouvillian,
    rho: np.ndarray,
    times: np.ndarray,
    order: int = 0,
    scheme: str = "continuous",
    dt: float | None = None,
) -> Iterator[EvolvedState]:
    """The state (and its ``order`` derivatives in ``s``) at each of the sorted ``times``, from ``rho`` at time 0.

    ``euler``: ``rho + dt L rho``; ``trapezoid``: ``(1 - dt L/2)^-1 (1 + dt L/2)`` (one step of Luo et al. with
    ``dt = 2 tau``). Raises ``InputError`` for a missing ``dt`` or a time that is no multiple of it.
    """
    check_scheme(scheme, dt, times, order)
    state = np.zeros((order + 1, *rho.shape), dtype=complex)
    state[0] = rho
    now, log_scale = 0.0, 0.0
    for t in times:
        n_steps, step = _plan(liouvillian, t - now, scheme, dt)
        for _ in range(n_steps):
            state = step(state)
            trace = np.trace(state[0]).real
            state /= trace
            log_scale += float(np.log(trace))
        now = t
        yield EvolvedState(float(t), log_scale, state.copy())


def check_scheme(scheme: str, dt: float | None, times: np.ndarray, order: int) -> None:
    """Raise ``InputError`` for a scheme without its time step, or what it does not give."""
    if scheme == "continuous":
        return
    if dt is None or not 0 < dt < np.inf:
        raise InputError(f"the {scheme} scheme needs a positive time step: give dt (--dt).")
    steps_of(times, dt)
    if scheme == "trapezoid" and order:
        raise InputError("the trapezoid scheme gives no derivatives in s: take continuous or euler.")


def _plan(
    liouvillian: Liouvillian, span: float, scheme: str, dt: float | None
) -> tuple[int, Callable[[np.ndarray], np.ndarray]]:
    """How many steps cover ``span``, and the step."""
    if scheme == "continuous" or dt is None:
        n_steps = taylor_steps(liouvillian, span) if span > 0 else 0
        return n_steps, lambda state: taylor_step(liouvillian.apply_stack, state, span / n_steps)
    if scheme == "euler":
        return round(span / dt), lambda state: state + dt * liouvillian.apply_stack(state)
    return round(span / dt), lambda state: _trapezoid(liouvillian, state[0], dt)[None]


def taylor_steps(liouvillian: Liouvillian, span: float) -> int:
    """Steps that cover ``span``; raises ``InputError`` where there is no end to them."""
    norm = span * liouvillian.bound
    if not norm < MOST:
        raise InputError(
            f"a time of {span:g} at couplings of norm {liouvillian.bound:.3g} takes {norm:.1g} products: take shorter "
            "times or smaller couplings."
        )
    return max(1, int(np.ceil(norm / SPAN)))


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


def _trapezoid(liouvillian: Liouvillian, rho: np.ndarray, dt: float) -> np.ndarray:
    size = rho.size
    half = liouvillian.apply(rho)
    implicit = LinearOperator(
        (size, size), matvec=lambda v: v - 0.5 * dt * liouvillian.apply_real(np.ravel(v)), dtype=float
    )
    right = to_real(rho + 0.5 * dt * half)
    guess = to_real(rho + dt * half)
    found, failed = gmres(implicit, right, x0=guess, rtol=SOLVE_TOLERANCE, restart=30, maxiter=20)
    if failed:
        raise InputError(f"the implicit step did not converge at dt = {dt:g}: take a smaller dt.")
    return from_real(found, liouvillian.dim)
