"""The tidy table that every solver of this package returns, one row a quantity, counting field and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

ORDER = {"activity": 1, "susceptibility": 2}  # derivatives of ln Z by s that a quantity needs

Row = dict[str, Any]


def tidy(rows: list[Row]) -> pd.DataFrame:
    """Columns ``quantity, s, t, value, bound, note`` first, any others (``site``, ``k``, ...) after them."""
    frame = pd.DataFrame(rows)
    for name in ("value", "k"):
        if name in frame:
            frame[name] += 0.0  # no minus zero
    lead = ["quantity", "s", "t", "value", "bound"]
    for name in lead:
        if name not in frame:
            frame[name] = np.nan
    if "note" in frame:
        frame["note"] = frame["note"].fillna("")
    else:
        frame["note"] = ""
    return frame[lead + [c for c in frame.columns if c not in lead]]
