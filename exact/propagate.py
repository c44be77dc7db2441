"""Evolution of a distribution and of its derivatives in the counting field, on sparse matrices.

``p(t) = exp(t W_s) P_0`` in continuous time, or ``(1 + dt W_s)^J P_0`` (the Euler scheme of the published algorithm),
and with it ``p' = dp/ds`` and ``p'' = d^2 p/ds^2`` by the same equation on the stacked vector: exact derivatives, no
differences. The vector is rescaled as it goes, so that no ``Z_t`` over- or underflows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg import expm
from scipy.sparse.linalg import expm_multiply

from .errors import InputError
from .sparse import generator
from .states import StateSpace
from .system import System

MAX_LOG_CHANGE = 200.0  # of the total between two rescalings: far inside the range of a double (exp(709))


@dataclass
class Evolved:
    """``derivatives[k] = d^k p / ds^k`` at time ``t``, shape ``(order + 1, size)``, times ``exp(log_scale)``."""

    t: float
    log_scale: float
    derivatives: np.ndarray

    @property
    def moments(self) -> np.ndarray:
        """``d^k Z/ds^k / Z`` for ``k = 0..order``; the first is 1."""
        totals = self.derivatives.sum(1)
        return totals / totals[0]

    @property
    def ln_z(self) -> float:
        total = self.derivatives[0].sum()
        return self.log_scale + float(np.log(total)) if total > 0 else float("nan")

    @property
    def distribution(self) -> np.ndarray:
        return self.derivatives[0] / self.derivatives[0].sum()


def evolve(
    system: System,
    s: float,
    times: np.ndarray,
    observable: str = "activity",
    order: int = 0,
    dt: float | None = None,
    space: StateSpace | None = None,
    dense: bool = False,
) -> Iterator[Evolved]:
    """The evolved distribution at each of the sorted ``times``; Euler steps of ``dt``, or continuous if it is None.

    Raises ``InputError`` for a time that is no multiple of ``dt``. Stability is the caller's check
    (``spectrum.euler_limit``). ``dense`` takes the full matrix exponential: slow, and independent.
    """
    space = space or StateSpace(system)
    w = [generator(system, s, observable, k, space) for k in range(order + 1)]
    stacked = _stack(w)
    rescale_after = MAX_LOG_CHANGE / max(np.abs(w[0].sum(axis=0)).max(), 1e-300)
    state = np.zeros((order + 1, space.size))
    state[0] = space.initial()
    now, log_scale = 0.0, 0.0
    for t in times:
        pieces = max(1, int(np.ceil((t - now) / rescale_after))) if t > now else 0
        for span in _spans(t - now, pieces, dt):
            state = _advance_dense(stacked, state, span) if dense and dt is None else _advance(stacked, state, span, dt)
            total = np.abs(state[0]).sum()
            state, log_scale = state / total, log_scale + float(np.log(total))
        now = t
        yield Evolved(float(t), log_scale, state.copy())


def _spans(total: float, pieces: int, dt: float | None) -> list[float]:
    """``total`` cut in about equal pieces, of whole steps where the scheme has steps."""
    if dt is None:
        return [total / pieces for _ in range(pieces)]
    steps = round(total / dt)
    return [dt * (steps * (i + 1) // pieces - steps * i // pieces) for i in range(pieces)]


def _advance(w: sp.csr_array, state: np.ndarray, span: float, dt: float | None) -> np.ndarray:
    flat = state.reshape(-1)
    if dt is None:
        return expm_multiply(w * span, flat, traceA=span * w.trace()).reshape(state.shape)
    for _ in range(round(span / dt)):
        flat = flat + dt * (w @ flat)
    return flat.reshape(state.shape)


def _advance_dense(w: sp.csr_array, state: np.ndarray, span: float) -> np.ndarray:
    return (expm(span * w.toarray()) @ state.reshape(-1)).reshape(state.shape)


def steps_of(times: np.ndarray, dt: float) -> np.ndarray:
    """Times in whole steps; raises ``InputError`` for one that is no multiple of ``dt``."""
    steps = np.rint(times / dt).astype(int)
    off = np.abs(steps * dt - times) > 1e-9 * np.maximum(1.0, times)
    if off.any():
        t = times[off][0]
        raise InputError(
            f"t = {t:g} is no multiple of the time step dt = {dt:g}: take e.g. t = {round(t / dt) * dt:g}."
        )
    return steps


def _stack(w: list[sp.csr_array]) -> sp.csr_array:
    """``d/dt (p, p', p'') = [[W, 0, 0], [W', W, 0], [W'', 2 W', W]] (p, p', p'')`` (Leibniz)."""
    from math import comb

    n = len(w)
    blocks = [[comb(i, j) * w[i - j] if i >= j else None for j in range(n)] for i in range(n)]
    return sp.csr_array(sp.block_array(blocks, format="csr"))
