"""What a report takes from records: that their tables can be read, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exact import InputError

from ..record import Record

WORDS = {"quantity", "note", "estimator", "reference"}  # columns of text; every other holds numbers
NEEDED = ("quantity", "s", "t", "value")
AGAIN = "delete it and run its task again"


def check(path: Path, record: Record) -> None:
    """Raise ``InputError`` for a record whose tables are not what this program writes."""
    wrong = _wrong(record)
    if wrong:
        raise InputError(f"record {str(path)!r}: {wrong}: {AGAIN}.")


def _wrong(record: Record) -> str | None:
    """What is the matter with ``record``, or None."""
    if not record.shape or min(record.shape) < 1:
        return f"shape {record.shape} is none"
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
                    f"column {name!r} of its table {table!r} holds something else than {'text' if text else 'numbers'}"
                )
    return None


def origins(found: Sequence[Record]) -> list[tuple[str, str]]:
    """What all records share, or the few values that they have between them."""
    described: dict[str, list[str]] = {}

    def add(name: str, value: Any) -> None:
        if value not in (None, ""):
            described.setdefault(name, []).append(str(value))

    for record in found:
        held = record.provenance
        sha = held.get("commit")
        add("commit", f"{sha}{' with changes on top' if held.get('dirty') else ''}" if sha else None)
        for name in ("platform", "cpu", "gpu", "device", "host"):
            add(name, held.get(name))
        versions = held.get("versions")
        if isinstance(versions, dict):
            add("versions", ", ".join(f"{k} {v}" for k, v in versions.items()))
        add("precision", record.dtype)
        add("seeds", record.seed)
        add("task hash", f"{record.task}: {record.task_hash}")
        add("estimator of ln Z", record.estimator)
    lines = [(name, "; ".join(sorted(set(values)))) for name, values in described.items()]
    hours = sum(record.wall_s for record in found) / 3600
    peak = max(record.peak_memory_mib for record in found)
    return [*lines, ("together", f"{hours:.2g} h of wall time, at most {peak:.0f} MiB a run")]
