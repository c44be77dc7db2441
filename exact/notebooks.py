"""How results are shown in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20  # rows


def html(told: object, rows: pd.DataFrame | None = None, where: str = "") -> str:
    """The ``repr`` of what is ``told``, and the first of its ``rows``; ``where`` all of them are."""
    head = f"<p><code>{escape(repr(told))}</code></p>"
    if rows is None or not len(rows):
        return head
    left = len(rows) - SHOWN
    more = f"<p>and {left} more {'row' if left == 1 else 'rows'}: <code>{escape(where)}</code></p>" if left > 0 else ""
    return head + rows.head(SHOWN).to_html(index=False, na_rep="", escape=True) + more
