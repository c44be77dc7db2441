"""Where the records of a report come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vanbench.compare.run.record import Record


def origins(stored: Sequence[Record]) -> list[tuple[str, str]]:
    """What all records share, or the few values that they have between them."""
    described: dict[str, list[str]] = {}

    def add(name: str, value: Any) -> None:
        if value not in (None, ""):
            described.setdefault(name, []).append(str(value))

    for record in stored:
        held = record.provenance
        sha = held.get("commit")
        add("commit", f"{sha}{' with changes on top' if held.get('dirty') else ''}" if sha else None)
        for name in ("platform", "cpu", "device"):
            add(name, held.get(name))
        versions = held.get("versions")
        if isinstance(versions, dict):
            add("versions", ", ".join(f"{k} {v}" for k, v in versions.items()))
        add("imported from", held.get("imported_from"))
        add("precision", None if record.imported else record.task.dtype)
        add("seeds", record.run.seed)
        add("task hash", f"{record.task.name}: {record.task_hash}")
        add("estimator of ln Z", record.estimator)
    lines = [(name, "; ".join(sorted(set(values)))) for name, values in described.items()]
    hours = sum(record.wall_s or 0.0 for record in stored) / 3600
    peak = max(record.peak_memory_mib or 0.0 for record in stored)
    if peak:  # else all were imported without their cost
        lines.append(("together", f"{hours:.2g} h of wall time, at most {peak:.0f} MiB a run"))
    return lines
