"""The front door of matrix products: `exact.solve` by the methods ``mps`` and ``dmrg``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vanbench.exact.definitions.quantity import DMRG
from vanbench.exact.definitions.system import System
from vanbench.exact.mps.accuracy import Accuracy, Asked
from vanbench.exact.tidy import Table


def by_field(
    system: System,
    fields: Sequence[float],
    times: np.ndarray,
    quantities: Sequence[str],
    observable: str,
    method: str,
    accuracy: Accuracy,
    progress: Callable[[str], None] | None = None,
) -> Iterator[tuple[float, Table]]:
    """Raises ``InputError`` for a system that the method cannot treat, before any work."""
    from vanbench.exact.mps.solve_dmrg import Leading
    from vanbench.exact.mps.solve_tebd import Evolved

    asked = [Asked(system, float(s), times, quantities, observable, accuracy, progress) for s in fields]
    solvers = [Leading(ask) if method == DMRG else Evolved(ask) for ask in asked]
    for solver in solvers:
        if isinstance(solver, Evolved):
            solver.require_time()
    for solver in solvers:
        yield solver.ask.s, Table(list(solver.rows()), (solver.how,))
