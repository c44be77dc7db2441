"""What rounding takes from an evolved density matrix: seen from a second evolution with every entry changed by it.

``exp(t L_s)`` is completely positive, so a change of ``rho`` grows in the trace norm at most like the total from the
start that grows most. Where the own start has no part in that (another sector, a dark state) rounding may outgrow it.
It need not: an entry that is zero stays zero, and small ones may keep all their digits. So where the bound leaves room
for doubt the evolution runs once more, its operators changed by a few units in the last place, entry by entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from vanbench.exact.errors import InputError, Unstable
from vanbench.exact.quantum.evolve import SPAN, TOLERANCE, EvolvedState, evolve_state
from vanbench.exact.quantum.liouvillian import Liouvillian

LOST = 1e-6  # relative error of Z that is refused, and in the trace norm that of the state
BLOWN_UP = 2.0  # of a density matrix Tr rho^2 <= 1


def resolved_states(
    liouvillian: Liouvillian,
    rho: np.ndarray,
    times: np.ndarray,
    order: int,
    scheme: str,
    dt: float | None,
    progress: Callable[[str], None] | None = None,
) -> Iterator[EvolvedState]:
    """`evolve_state`; raises ``InputError`` once rounding takes more than ``LOST``, or once steps of ``dt`` blow up."""
    steps = 1 / dt if scheme != "continuous" and dt else liouvillian.bound / SPAN
    other = None
    for i, now in enumerate(evolve_state(liouvillian, rho, times, order, scheme, dt, progress)):
        require_stable(now.rho, scheme, dt)
        most = np.log(TOLERANCE * max(1.0, now.t * steps)) + now.t * liouvillian.growth - now.ln_z
        if other is None and most > np.log(LOST):
            other = evolve_state(liouvillian.shaken(), rho, times[i:], order, scheme, dt, progress)
        if other is not None and not _apart(now, next(other)) <= LOST:
            raise InputError(
                f"at t = {now.t:g}, s = {liouvillian.s:g} the state is lost in rounding: the start has almost no "
                "overlap with what grows fastest."
            )
        yield now


def require_stable(rho: np.ndarray, scheme: str, dt: float | None) -> None:
    """Raise ``Unstable`` for what is no density matrix: steps of ``dt`` blew it up."""
    if not np.linalg.norm(rho) < BLOWN_UP:
        raise Unstable(f"the {scheme} scheme is unstable on exact states at dt = {dt}: take a smaller dt.")


def _apart(state: EvolvedState, other: EvolvedState) -> float:
    scale = np.maximum(1.0, np.abs(state.cumulants))
    scale[0] = 1.0
    between = np.abs(state.cumulants - other.cumulants) / scale
    return float(max(between.max(), np.linalg.norm(state.rho - other.rho, "nuc")))
