"""The tidy table that every solver of this package returns, one row a quantity, counting field and time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

CERTIFIED = "certified"  # the error never exceeds the bound
ESTIMATED = "estimated"  # it does so in a row of a thousand at most

Row = dict[str, Any]


def tidy(rows: list[Row]) -> pd.DataFrame:
    """Columns ``quantity, s, t, value, bound, bound_kind, note`` first, any others (``site``, ``k``, ...) after them.

    ``bound_kind`` is ``certified`` where the row claims that the error never exceeds ``bound``, ``estimated`` for any
    other bound, and empty without one.
    """
    frame = pd.DataFrame(rows)
    for name in ("value", "k"):
        if name in frame:
            frame[name] += 0.0  # no minus zero
    lead = ["quantity", "s", "t", "value", "bound"]
    for name in lead:
        if name not in frame:
            frame[name] = np.nan
    for name in ("bound_kind", "note"):
        frame[name] = frame[name].fillna("") if name in frame else ""
    frame.loc[frame["bound"].notna() & (frame["bound_kind"] == ""), "bound_kind"] = ESTIMATED
    lead.insert(lead.index("bound") + 1, "bound_kind")
    return frame[[*lead, *(c for c in frame.columns if c not in lead)]]
