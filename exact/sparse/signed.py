"""Vectors that may be negative: what is left of ``Z``, a sum of entries of both signs, and of Euler steps too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.eigenvectors import leading_values
from vanbench.exact.matrixfree.kernel import Layout, Operator
from vanbench.exact.matrixfree.local import tilted
from vanbench.exact.sparse.propagate import Evolved

EPS = np.finfo(float).eps
LOST = 1e-6  # relative error of Z that is refused
NEGATIVE = 1e-12  # of the total: more is no rounding


def is_signed(system: System, s: float, observable: str) -> bool:
    """Whether moves of ``W_s`` have negative rates, as those of an open quantum system over outcomes."""
    return any((p.matrix - np.diag(np.diag(p.matrix)) < 0).any() for p in tilted(system, s, observable))


def resolved(
    path: Iterable[Evolved], system: System, s: float, observable: str, layout: Layout | None = None
) -> Iterator[Evolved]:
    """``path``; raises ``InputError`` where rounding of a signed vector takes more than 1e-6 of ``Z``.

    Rounding, some ``4 eps`` of the start, grows with the leading eigenvalue: ``4 eps exp(t theta) / Z`` is lost. Dark
    states have ``theta = 0`` while ``Z``, from a start away from them, may be as small as it likes.
    """
    rate = _most(system, s)  # of theta, which is asked for only where this bound is not enough
    signed, asked = is_signed(system, s, observable), False
    for now in path:
        if signed:
            lost = _lost(now, rate)
            if not lost <= LOST and not asked:
                rate, asked = float(leading_values(system, s, observable, layout)[0].real), True
                lost = _lost(now, rate)
            if not lost <= LOST:
                instead = ": take --method liouvillian" if system.quantum is not None else ""
                raise InputError(f"at t = {now.t:g} Z is lost in rounding, since the vector has both signs{instead}.")
        yield now


def _most(system: System, s: float) -> float:
    """A bound on ``theta``: 0 where ``s >= 0``, else of the moves counted, if they are known to be quantum jumps."""
    if s >= 0:
        return 0.0
    return float(np.expm1(-s)) * system.quantum.model.jump_rate if system.quantum is not None else np.inf


def _lost(now: Evolved, rate: float) -> float:
    return float(4 * EPS * np.exp(np.minimum(now.t * rate - now.ln_z, 700.0)))


def negative(system: System, s: float, observable: str, layout: Layout, now: Evolved) -> str:
    """Why Euler steps left no distribution (of moves with positive rates), or empty."""
    p = now.derivatives[0]
    if (p.sum() > 0 and p.min() >= -NEGATIVE * p.sum()) or is_signed(system, s, observable):
        return ""
    fastest = -float(Operator(layout, tilted(system, s, observable)).diagonal().min())
    return f"unstable on exact vectors: probabilities turn negative, so dt must stay below {1 / fastest:.6g}"
