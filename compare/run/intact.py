"""Whether a record's tables are what this program writes: what reads them may rely on it."""

from __future__ import annotations

from pathlib import Path

from vanbench.compare.run.record import Record
from vanbench.exact import InputError

WORDS = {"quantity", "note", "estimator", "reference"}  # columns of text; every other holds numbers
NEEDED = ("quantity", "s", "t", "value")
AGAIN = "delete it and run its task again"


def check(path: Path, record: Record) -> None:
    """Raise ``InputError`` for a record whose tables are not what this program writes."""
    wrong = _wrong(record)
    if wrong:
        raise InputError(f"record {str(path)!r}: {wrong}: {AGAIN}.")


def _wrong(record: Record) -> str | None:
    """The first defect of ``record``, or None."""
    if not record.run.shape or min(record.run.shape) < 1:
        return f"shape {record.run.shape} has no sites"
    missing = [name for name in NEEDED if name not in record.errors]
    if missing or not record.errors["value"]:
        return f"its table 'errors' lacks {', '.join(missing) or 'rows'}"
    if any(item is None for name in NEEDED[:3] for item in record.errors[name]):
        return "its table 'errors' has rows without quantity, s or t"
    if "ess" in record.log and not {"s", "t"} <= record.log.keys():
        return "its table 'log' lacks s or t"
    for table in ("errors", "log", "distances"):
        for name, column in getattr(record, table).items():
            text = name in WORDS
            if not all(item is None or isinstance(item, str) == text for item in column):
                return (
                    f"column {name!r} of its table {table!r} holds values that are not {'text' if text else 'numbers'}"
                )
    return None
