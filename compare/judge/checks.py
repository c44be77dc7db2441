"""What a run is checked for where exact vectors are known; `neural.checks` has what needs none."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from vanbench.exact import System
from vanbench.exact.definitions.quantities import row_of
from vanbench.exact.warning import RunWarning
from vanbench.neural.run.checks import SIGMAS

HALF = 0.5  # of the change since the start: with more lost, the network and not the system decides the number

BETTER = "take a network that can represent more, or train it longer"
ADVICE = {  # by part of the error, in the order in which they are looked for: what it is, and what to do
    "projection": ("the projection onto the network", BETTER),
    "network": ("the network", BETTER),
    "total": ("the whole error", "what of it the network, its samples and its time steps make is not known here"),
}


def projections(compared: pd.DataFrame, system: System) -> Iterator[RunWarning]:
    """Where the network's part of an error exceeds half of the change since the start, the first time for each ``s``.

    ``compared``: as of `errors.errors`. The part is ``projection``, with sampling in it where sums are not affordable;
    where the error is not split, as of imported values, the kind of the warning is ``error``.
    """
    told: set[tuple[str, float]] = set()
    for row in compared.to_dict("records"):
        key = (row["quantity"], row["s"])
        if key not in told and (text := _eaten(row, system)):
            told.add(key)
            yield RunWarning("error" if _part(row) == "total" else "projection", text, *key, row["t"])


def _part(row: dict) -> str | None:
    return next((name for name in ADVICE if _finite(row[name])), None)


def _eaten(row: dict, system: System) -> str:
    start, part = _start(row["quantity"], system), _part(row)
    reference = row["scheme"] if _finite(row["scheme"]) else row["exact"]
    if start is None or part is None or not _finite(reference):
        return ""
    off, change = abs(row[part]), abs(reference - start)
    noise = SIGMAS * (row["stderr"] if _finite(row["stderr"]) else 0.0)
    if change <= row_of(row["quantity"]).floor + noise or off <= HALF * change + noise:
        return ""
    what, advice = ADVICE[part]
    return (
        f"{what} puts {row['quantity']} off by {off:.2g}, and its whole change is {change:.2g}: "
        f"the error hides the signal; {advice}"
    )


def _start(quantity: str, system: System) -> float | None:
    """The value at ``t = 0``; None where it is not simply known."""
    if quantity == "ln_Z":
        return 0.0
    if quantity == "density" and system.support is None and system.initial.ndim == 2:
        return float(np.asarray(system.initial)[:, 1:].sum(1).mean())
    return None


def _finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)
