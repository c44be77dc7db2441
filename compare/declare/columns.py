"""Tables by columns of plain values, as JSON holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Protocol

Columns = dict[str, list[float | int | str | None]]


class Tabular(Protocol):
    """A DataFrame, or a dictionary of columns."""

    def items(self) -> Iterable[tuple[Any, Iterable[Any]]]: ...


def columns(table: Tabular) -> Columns:
    """Plain values by columns; infinities and NaN become null, and ``note`` names them.

    A missing entry (None, NaN) is null without a note, except in ``value``, where every null is explained.
    """
    given = {str(name): list(cells) for name, cells in table.items()}
    noted = "note" in given
    notes: list[Any] = given.pop("note", []) or [""] * max(map(len, given.values()), default=0)
    held: Columns = {}
    for name, cells in given.items():
        plain = [_plain(item) for item in cells]
        for row, item in enumerate(plain):
            if isinstance(item, float) and not math.isfinite(item):
                if (math.isinf(item) or name == "value") and not notes[row]:
                    notes[row] = f"{name} is not finite ({item})"
                plain[row] = None
        held[name] = plain
    if noted or any(notes):
        held["note"] = [note if isinstance(note, str) else "" for note in notes]
    return held


def jsonable(content: dict[str, Any]) -> dict[str, Any]:
    """``content`` as JSON gives it back: tuples as lists, numbers of NumPy as floats."""
    return json.loads(json.dumps(content, default=float))


def _plain(item: Any) -> Any:
    if "generic" in (base.__name__ for base in type(item).__mro__):  # a scalar of NumPy, which need not be loaded
        item = item.item()
    return None if type(item).__name__ in ("NAType", "NaTType") else item  # of pandas, which need not be loaded
