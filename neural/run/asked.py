"""What a run can be asked for; anything else is refused before it begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vanbench.exact import InputError, System
from vanbench.exact.definitions.quantities import TRACK_DEFAULT, asked, kind_of
from vanbench.exact.definitions.quantity import NETWORKS
from vanbench.exact.errors import unknown
from vanbench.neural import quantum, trackers
from vanbench.neural.run.log import RunLog

DTYPES = {"float64": torch.float64, "float32": torch.float32}
MOST_STEPS = 1e8  # a week of the fastest ones


def check_times(times: np.ndarray, log: RunLog) -> None:
    """Of a run that goes on: what it has passed it must have recorded."""
    recorded = {float(row["t"]) for row in log.records}
    for t in times[times <= log.t]:
        if not np.isclose(list(recorded), t, rtol=1e-9).any():
            raise InputError(f"the checkpoint is at t = {log.t:g} and has no values at t = {t:g}: take another folder.")


def numbers(name: str, given: object) -> np.ndarray:
    """One number or several, ``(n,)``. Raises ``InputError`` for anything else."""
    try:
        return np.atleast_1d(np.asarray(given, float)).ravel()
    except (TypeError, ValueError):
        raise InputError(f"{name} = {given!r}: give a number, or several.") from None


def names(system: System, quantities: str | Sequence[str] | None) -> tuple[str, ...]:
    """Of quantities: one, several, or by default those of this kind of systems. Raises ``InputError``."""
    if not isinstance(system, System):
        raise InputError(f"{system!r} is no System: vanbench.build('east', (4, 4)) makes one from a name.")
    if quantities is None:
        return TRACK_DEFAULT[kind_of(system)]
    return (quantities,) if isinstance(quantities, str) else tuple(quantities)


def check(
    system: System,
    s: Sequence[float],
    times: np.ndarray,
    observable: str,
    quantities: Sequence[str],
    tracker: trackers.Tracker,
    target: trackers.Target,
    dtype: str,
) -> None:
    asked(quantities, (NETWORKS,), kind_of(system))
    if "purity" in quantities and system.n_sites > quantum.WHOLE:
        raise InputError(f"purity takes the whole state: up to {quantum.WHOLE} spins.")
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, list(DTYPES))
    if observable not in system.observables:
        raise unknown(f"observable of {system.name}", observable, system.observables)
    if not len(s) or not np.isfinite(np.asarray(s, float)).all():
        raise InputError("s must be one or more finite numbers.")
    if len(set(s)) < len(s):
        raise InputError(f"s = {next(value for value in s if list(s).count(value) > 1):g} is given twice.")
    if not times.size or not np.isfinite(times).all() or (times < 0).any():
        raise InputError("times must be finite and not negative.")
    if system.initial.ndim != 2:
        raise InputError("networks start from a product distribution: give the initial state site by site.")
    if tracker.variant(target).iterations and (times % 1).any():
        raise InputError(f"the time of {tracker.name} counts iterations: give whole numbers, like 100,500.")
    if tracker.longest_step < times.max() / MOST_STEPS:
        raise InputError(f"dt = {tracker.longest_step} makes more than {MOST_STEPS:.0e} steps to t = {times.max():g}.")
    if tracker.fixed_step is not None:
        from vanbench.exact.sparse.propagate import steps_of

        steps_of(times, tracker.fixed_step)
