"""Trajectories of the plain dynamics: the check by simulation, at any size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.seeds import number, stream


@dataclass
class Snapshot:
    """Walkers at time ``t``: configurations ``(m, n_sites)`` int8 and the observable integrated so far ``(m,)``."""

    t: float
    configurations: np.ndarray
    counts: np.ndarray


def trajectories(
    system: System, times: np.ndarray, count: int, seed: int = 0, observable: str = "activity"
) -> Iterator[Snapshot]:
    """``count`` independent trajectories seen at each of the sorted ``times``; the same seed gives the same ones.

    Raises ``InputError`` for times that are negative or fall, and for generators without classical trajectories.
    """
    from vanbench.exact.trajectories.jumptables import advance, compile_moves, draw_starts  # loads sparse matrices

    times = np.atleast_1d(np.asarray(times, dtype=float))
    if count < 1 or not np.isfinite(times).all() or (np.diff(times, prepend=0.0) < 0).any():
        raise InputError("trajectories need at least one walker and times that rise from 0.")
    tables = compile_moves(system, 0.0, observable)
    x = draw_starts(system, count, np.random.default_rng(stream(seed, 0)))
    counts, unused = np.zeros(count), np.zeros(count)
    now = 0.0
    for i, t in enumerate(times):
        advance(tables, x, counts, unused, t - now, number(seed, 1, i))
        now = t
        yield Snapshot(float(t), x.copy(), counts.copy())
