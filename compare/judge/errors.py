"""Every definition of an error, in one place.

A value of a network ``v`` is compared with the exact vector in continuous time ``v_c``, the exact vector under the
tracker's own time stepping ``v_d``, and (``ln_Z``, up to 2^16 states) the same network summed over all configurations
``v_s``. The total against continuous time is the headline, and it splits without remainder::

    v - v_c = (v_d - v_c)        discretisation
            + (v_s - v_d)        projection: what the network cannot represent, or was not trained to
            + (v - v_s)          sampling: the rest, with its standard error

Where ``v_s`` is not affordable the last two are one number, ``network = v - v_d``. All parts are signed and in the
units of the quantity. The reported ``error`` divides ``|v - v_c|`` by the scale of the quantity's row
(`exact.definitions.quantities`): ``ln_Z`` by ``|ln_Z_c|``, as published. Where the reference passes zero (s = 0) there
is no relative error, and ``error_per_site = |v - v_c| / N`` stands beside it always.

Where ``v_c`` is no exact vector's, ``source`` says what it is from, and ``uncertainty`` is its own error in the units
of the quantity: of an error that is smaller, only that it is no larger than both together is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from vanbench.exact.definitions.quantities import row_of


class Part(NamedTuple):
    """What a part of the error is, and what makes it smaller."""

    meaning: str
    remedy: str


PARTS = {  # in this order; the last stands for the two before it where they cannot be told apart
    "discretisation": Part(
        "the time steps' own error, on the scale of the error",
        "the time steps themselves: halve dt, or take a tracker that steps differently",
    ),
    "projection": Part(
        "what the network cannot represent, or was not trained to", "the network: a wider one, or longer training"
    ),
    "sampling": Part("the rest", "sampling noise: take more samples"),
    "network": Part(
        "projection and sampling together",
        "the network and its sampling (too large to sum over, so they are one number)",
    ),
}


def part_label(name: str) -> str:
    """How a legend calls the total or a part."""
    return {"error": "total", "network": "projection + sampling"}.get(name, name)


VECTORS = "vectors"
KEY = ["quantity", "s", "t", "site", "distance"]


def errors(
    rows: pd.DataFrame,
    continuous: pd.DataFrame | None,
    scheme: pd.DataFrame | None,
    n_sites: int,
    scheme_notes: Mapping[float, str] | None = None,
) -> pd.DataFrame:
    """One row for each value of the network that has a definition, with its references, its error and its parts.

    ``rows``: ``quantity, s, t, value, sampling_stderr, error_estimate`` and ``site`` where it applies; ``ln_Z_summed``
    among the quantities.
    ``continuous`` and ``scheme``: the exact tables, or None. ``scheme_notes``: why a value of ``s`` has no scheme
    (an unstable time step). What cannot be had is NaN, never a number, and ``note`` says why.
    """
    summed = _lookup(rows[rows.quantity == "ln_Z_summed"].assign(quantity="ln_Z"))
    exact, stepped = _lookup(continuous), _lookup(scheme)
    bounds, sources = _lookup(continuous, "bound"), _lookup(continuous, "source")
    scored = rows[~rows.quantity.str.contains(":") & (rows.quantity != "ln_Z_summed")]
    out = []
    for row in scored.to_dict("records"):
        key = _key(row)
        parts = _split(row["value"], exact.get(key, np.nan), stepped.get(key, np.nan), summed.get(key, np.nan))
        reference = exact.get(key, np.nan)
        scale = row_of(row["quantity"]).scale(reference) if np.isfinite(reference) else np.nan
        total = row["value"] - reference
        note = _note(total, scale, parts, (scheme_notes or {}).get(float(row["s"]), ""))
        out.append(
            {
                **{name: row.get(name) for name in KEY},
                "value": row["value"],
                "stderr": row.get("sampling_stderr", np.nan),
                "error_estimate": _number(row.get("error_estimate")),
                "exact": reference,
                "source": sources.get(key, VECTORS) if np.isfinite(reference) else "",
                "uncertainty": bounds.get(key, np.nan),
                "scheme": stepped.get(key, np.nan),
                "summed": summed.get(key, np.nan),
                "error": abs(total) / scale,
                "error_per_site": abs(total) / n_sites if row_of(row["quantity"]).extensive else np.nan,
                "scale": scale,
                "total": total,
                **parts,
                "note": note,
            }
        )
    return pd.DataFrame(out)


def _split(value: float, exact: float, stepped: float, summed: float) -> dict[str, float]:
    """The signed parts; NaN where one of their two ends is missing. With ``summed``, ``network`` is their sum."""
    ends = (stepped - exact, summed - stepped, value - summed, value - stepped)
    return dict(zip(PARTS, map(float, ends)))


def _note(total: float, scale: float, parts: Mapping[str, float], scheme_note: str) -> str:
    notes = []
    if np.isfinite(total) and not np.isfinite(scale):
        notes.append("the reference passes zero: no relative error")
    if scheme_note and not np.isfinite(parts["discretisation"]):
        notes.append(scheme_note)
    return "; ".join(notes)


def _lookup(frame: pd.DataFrame | None, column: str = "value") -> dict[tuple, Any]:
    if frame is None or frame.empty or column not in frame:
        return {}
    return {_key(row): row[column] for row in frame.to_dict("records")}


def _key(row: Mapping) -> tuple:
    """Times to 9 digits: 0.30000000000000004 and 0.3 are one time."""
    return row["quantity"], float(row["s"]), float(f"{row['t']:.9g}"), _whole(row, "site"), _whole(row, "distance")


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _whole(row: Mapping, name: str) -> int:
    """A site or a distance; -1 where the quantity has none."""
    value = row.get(name)
    return -1 if value is None or np.isnan(value) else int(value)
