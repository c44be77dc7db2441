"""Population dynamics (cloning): ``ln_Z``, ``activity`` and ``scgf`` with error bars at any size.

Clones jump with the tilted rates and carry the weight ``exp(int (W_s^T 1)(x) dt)``; when the weights have become
uneven the population is resampled in proportion to them and its mean weight is banked (Giardina, Kurchan and Peliti,
Phys. Rev. Lett. 96, 120603 (2006); Lecomte and Tailleur, J. Stat. Mech. P03004 (2007)). The mean of ``Z`` is unbiased,
that of ``ln Z`` is off by ``O(1 / clones)``, which populations of half the size show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.states import require_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, unknown
from vanbench.exact.seeds import stream
from vanbench.exact.statistics import effective_fraction, relative_weights, standard_error, systematic_sample
from vanbench.exact.trajectories.jumptables import JumpTables, advance, compile_moves, draw_starts

if TYPE_CHECKING:
    import pandas as pd

EVEN = 0.7  # effective part of the population below which it is resampled
SEEN = 1000  # starts of which one that can move is looked for
UNMOVED = "no clone has moved, although they can: their scatter tells no error"
SPANS = 8  # checks of the weights between two recorded times, at least
LONGEST = 0.25  # time between two checks
PROBE = 100  # checks after which it is told how far they are
MOST = 1e7  # checks that are taken on: hours, whatever the number of clones


def cloning(
    system: System,
    s: float | Sequence[float],
    times: float | Sequence[float],
    clones: int = 100_000,
    populations: int = 10,
    seed: int = 0,
    observable: str = "activity",
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Columns ``quantity, s, t, value, stderr, bias, note``; ``scgf`` is the growth over the second half of the run.

    ``clones`` in all, in ``populations`` independent ones, whose scatter gives ``stderr`` (not a number where none of
    them has moved, as the note then says). ``bias``: the estimated
    systematic error that is left (the result at full minus that at half the population size, an independent run), for
    a reader to compare with ``stderr``. Raises ``InputError`` for fewer than two populations or ten clones in each.
    """
    grid = np.unique(np.atleast_1d(np.asarray(times, dtype=float)))
    if not np.isfinite(grid).all() or (grid <= 0).any():
        raise InputError("times must be positive and finite.")
    if not grid[-1] / LONGEST <= MOST:
        raise InputError(f"t = {grid[-1]:g} is beyond {MOST * LONGEST:g}, which takes clones days: take scgf at less.")
    if populations < 2 or clones < 20 * populations:
        raise InputError("cloning needs at least 2 populations of at least 20 clones each: raise --clones.")
    require_memory(10.0 * (clones // populations) * (system.n_sites + 16), f"{clones // populations} clones at a time")
    if observable not in system.observables:
        raise unknown(f"observable of {system.name}", observable, system.observables)
    rows = []
    starts = draw_starts(system, SEEN, np.random.default_rng(0))
    moving = bool((Connections(system).outgoing_rates(starts) != 0).any())
    for number, value in enumerate(np.atleast_1d(np.asarray(s, dtype=float))):
        tables = compile_moves(system, float(value), observable)
        full, half = (
            np.array(
                [_population(tables, grid, size, stream(seed, number, kind, p), progress) for p in range(populations)]
            )
            for kind, size in enumerate((clones // populations, clones // populations // 2))
        )
        rows += _summary(float(value), grid, full, half, system.n_sites, moving)
    import pandas as pd

    return pd.DataFrame(rows)


def _population(
    tables: JumpTables,
    times: np.ndarray,
    size: int,
    seed: np.random.SeedSequence,
    progress: Callable[[str], None] | None,
) -> np.ndarray:
    """``(3, n_times)``: ``ln Z``, the mean integrated observable, and ``ln Z`` at half of each time."""
    rng = np.random.default_rng(seed)
    x = draw_starts(tables.system, size, rng)
    counts, log_weights = np.zeros(size), np.zeros(size)
    marks = np.unique(np.concatenate([times, times[-1:] / 2]))
    out, banked, now = {}, 0.0, 0.0
    for t in marks:
        spans = max(SPANS, int(np.ceil((t - now) / LONGEST)))
        for done in range(1, spans + 1):
            advance(tables, x, counts, log_weights, (t - now) / spans, int(rng.integers(2**62)))
            banked += even_out(x, counts, log_weights, rng)
            if progress and (done == spans or done % PROBE == 0):
                progress(f"cloning: t = {now + (t - now) * done / spans:g} of {times[-1]:g}, {size} clones")
        now = t
        weights = relative_weights(log_weights)
        out[t] = (banked + np.log(weights.mean()) + log_weights.max(), weights @ counts / weights.sum())
    halfway = out[marks[marks >= times[-1] / 2][0]][0]
    return np.array([[out[t][0] for t in times], [out[t][1] for t in times], [halfway] * len(times)])


def even_out(x: np.ndarray, counts: np.ndarray, log_weights: np.ndarray, rng: np.random.Generator) -> float:
    """Resamples where the weights are uneven; the logarithm of the mean weight that was banked."""
    weights, top = relative_weights(log_weights), log_weights.max()
    if effective_fraction(weights) > EVEN:
        return 0.0
    chosen = systematic_sample(weights, len(weights), rng.random())
    x[:], counts[:] = x[chosen], counts[chosen]
    log_weights[:] = 0.0
    return float(np.log(weights.mean()) + top)


def _summary(s: float, times: np.ndarray, full: np.ndarray, half: np.ndarray, n: int, moving: bool) -> list[dict]:
    rows = []

    def add(quantity: str, t: float | None, here: np.ndarray, smaller: np.ndarray, note: str = "") -> None:
        unmoved = moving and not full[:, 1, times <= (times[-1] if t is None else t)].any()
        rows.append(
            {
                "quantity": quantity, "s": s, "t": t, "value": here.mean(),
                "stderr": np.nan if unmoved else standard_error(here), "bias": here.mean() - smaller.mean(),
                "note": UNMOVED if unmoved else note,
            }
        )  # fmt: skip

    for i, t in enumerate(times):
        add("ln_Z", t, full[:, 0, i], half[:, 0, i])
        add("activity", t, full[:, 1, i] / (n * t), half[:, 1, i] / (n * t))
    late = times[-1] / 2
    growth = [(data[:, 0, -1] - data[:, 2, -1]) / late for data in (full, half)]
    add("scgf", None, growth[0], growth[1])
    return rows
