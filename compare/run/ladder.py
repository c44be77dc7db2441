"""``reference = "auto"``: exact vectors, then matrix products, then clones, each with the uncertainty of its values.

A quantity comes from the first rung that gives it at this size. Clones cannot see the trajectories that they lost (in
the inactive phase of a constrained model they do): their standard error is of those that they kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from vanbench.exact import InputError, System, solve
from vanbench.exact.definitions.quantities import given, kind_of
from vanbench.exact.definitions.quantity import CLASSICAL, CLONING, MPS

LARGEST = 1 << 22  # states up to which vectors take seconds to minutes for every quantity
PRODUCTS: dict[str, Any] = {"bond": 32, "tolerance": 1e-4}
PATIENCE = 3600.0  # CPU seconds that matrix products may take, as estimated before
CLONES, SEED = 100_000, 1
SIGMAS = 2.0  # standard errors that an uncertainty stands for
NO_STEPS = "the same time steps on exact vectors: too many states"
SETTINGS = {"largest": LARGEST, "products": PRODUCTS, "patience": PATIENCE, "clones": CLONES, "seed": SEED}


def fits(system: System) -> bool:
    """Whether exact vectors are the reference."""
    return bool(system.local_dim ** len(system.free_sites) <= LARGEST)


def climbed(
    system: System, s: Sequence[float], times: Sequence[float], names: Sequence[str], observable: str
) -> pd.DataFrame:
    """``quantity, s, t, value, bound, source`` beyond exact vectors; without rows where no rung gives any of it."""
    frames, left = [], list(names)
    for source, known in ((MPS, given(MPS, kind_of(system))), (CLONING, given(CLONING, CLASSICAL))):
        wanted = [name for name in left if name in known]
        if not wanted or (source == CLONING and kind_of(system) != CLASSICAL):
            continue
        try:
            frame = (_by_products if source == MPS else _by_clones)(system, s, times, wanted, observable)
        except InputError:  # this rung does not hold
            continue
        frames.append(frame.assign(source=source))
        left = [name for name in left if name not in wanted]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _by_products(system: System, s: Any, times: Any, names: list[str], observable: str) -> pd.DataFrame:
    from vanbench.exact.mps.solve_tebd import expected_seconds

    seconds = sum(expected_seconds(system, field, times, names, observable, PRODUCTS["bond"]) for field in s)
    if seconds > PATIENCE:
        raise InputError(f"matrix products would take about {seconds:.0f} s here.")
    return solve(system, s, times, names, observable=observable, method=MPS, **PRODUCTS)


def _by_clones(system: System, s: Any, times: Any, names: list[str], observable: str) -> pd.DataFrame:
    from vanbench.exact import cloning

    frame = cloning(system, s, times, CLONES, seed=SEED, observable=observable)
    bound = SIGMAS * frame.stderr + frame.bias.abs()
    return frame.assign(bound=bound)[frame.quantity.isin(names) & frame.t.notna()]
