"""The tidy table that every solver of this package returns, one row a quantity, counting field and time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20  # rows in a notebook

CERTIFIED = "certified"  # the error never exceeds the bound
ESTIMATED = "estimated"  # it does so in a row of a thousand at most
LEAD = ("quantity", "s", "t", "value", "bound", "bound_kind")
TEXT = ("bound_kind", "note")

Row = dict[str, Any]


@dataclass
class Table:
    """Rows by quantity, field and time, and by which methods they were computed. pandas is loaded for ``frame`` alone.

    Columns ``quantity, s, t, value, bound, bound_kind`` first, any others (``note``, ``site``, ``k``, ...) after them.
    ``bound_kind`` is ``certified`` where the row claims that the error never exceeds ``bound``, ``estimated`` for any
    other bound, and empty without one.
    """

    rows: list[Row]
    methods: tuple[str, ...] = ()

    @classmethod
    def joined(cls, tables: Iterable[Table]) -> Table:
        tables = list(tables)
        methods = sorted({name for table in tables for name in table.methods})
        return cls([row for table in tables for row in table.rows], tuple(methods))

    @property
    def method(self) -> str:
        return ", ".join(self.methods)

    def columns(self) -> dict[str, list[Any]]:
        """Each column as a list; what a row lacks is empty text or not a number."""
        names = dict.fromkeys([*LEAD, *(name for row in self.rows for name in row), "note"])
        return {name: [_cell(row, name) for row in self.rows] for name in names}

    def frame(self) -> pd.DataFrame:
        import pandas as pd

        frame = pd.DataFrame(self.columns())
        frame.attrs["method"] = self.method
        return frame


def _cell(row: Row, name: str) -> Any:
    if name == "bound_kind" and not row.get(name):
        return ESTIMATED if _finite(row.get("bound")) else ""
    if name in TEXT:
        return row.get(name) or ""
    value = row.get(name, math.nan)
    return value + 0.0 if name in ("value", "k") and value is not None else value  # no minus zero


def _finite(bound: float | None) -> bool:
    return bound is not None and not math.isnan(bound)


def html(told: object, rows: pd.DataFrame | None = None, where: str = "") -> str:
    """The ``repr`` of what is ``told``, and the first of its ``rows``; ``where`` all of them are."""
    head = f"<p><code>{escape(repr(told))}</code></p>"
    if rows is None or not len(rows):
        return head
    left = len(rows) - SHOWN
    more = f"<p>and {left} more {'row' if left == 1 else 'rows'}: <code>{escape(where)}</code></p>" if left > 0 else ""
    return head + rows.head(SHOWN).to_html(index=False, na_rep="", escape=True) + more
