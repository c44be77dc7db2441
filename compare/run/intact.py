"""What a record's tables must be, so that everything that reads them may rely on it: checked when one is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WORDS = {"quantity", "note", "estimator", "reference", "source"}  # columns of text; every other holds numbers
KEYS = ("quantity", "s", "t")
NEEDED = {
    "rows": (*KEYS, "value"),
    "errors": (*KEYS, "value"),
    "distances": ("s", "t", "reference", "total_variation"),
    "log": ("s", "t"),
}
REFERENCES = ("continuous", "scheme")
COUNTS = ("n_parameters", "negative_targets", "ended_t")  # diagnostics that are numbers
LARGEST = 1e100  # of any number; its square is a number too
MOST_NAME = 200  # characters of the name of a quantity


def defect(tables: Mapping[str, Mapping[str, Sequence[Any]]], diagnostics: Mapping[str, Any]) -> str | None:
    """The first thing wrong with ``rows``, ``errors``, ``distances``, ``log`` or ``diagnostics``, or None.

    A run that ended before its first report time (``diagnostics["ended"]``) has no rows; of every other, those and the
    errors must have some.
    """
    for name, table in tables.items():
        if not any(table.values()):
            if name in ("rows", "errors") and not diagnostics.get("ended"):
                return f"its table {name!r} lacks rows"
            continue
        missing = [column for column in NEEDED[name] if column not in table]
        if missing:
            return f"its table {name!r} lacks {', '.join(missing)}"
        wrong = next(filter(None, (_of_column(name, key, column) for key, column in table.items())), None)
        if wrong:
            return wrong
    return _of_diagnostics(diagnostics)


def _of_column(table: str, name: str, column: Sequence[Any]) -> str | None:
    text = name in WORDS
    where = f"column {name!r} of its table {table!r}"
    if not all(item is None or isinstance(item, str) == text for item in column):
        return f"{where} holds values that are not {'text' if text else 'numbers'}"
    if name in NEEDED[table] and name != "value" and any(item is None for item in column):
        return f"its table {table!r} has rows without {name}"
    if not text and any(item is not None and abs(item) > LARGEST for item in column):
        return f"{where} holds a number beyond {LARGEST:g}"
    if name == "reference" and not set(column) <= set(REFERENCES):
        return f"{where} holds another reference than {' and '.join(REFERENCES)}"
    if name == "quantity" and any(not item or len(item) > MOST_NAME for item in column):
        return f"{where} holds a name of no or too many characters"
    return None


def _of_diagnostics(diagnostics: Mapping[str, Any]) -> str | None:
    for name in COUNTS:
        value = diagnostics.get(name, 0)
        if isinstance(value, bool | str) or not 0 <= (value or 0) < LARGEST:
            return f"its diagnostics have {name} = {value!r}, which is no number from 0 on"
    if how := diagnostics.get("ended"):
        if not isinstance(how, str):
            return "its diagnostics have no word for how it ended"
        if diagnostics.get("ended_t") is None:
            return "its diagnostics do not say when it ended"
    return None
