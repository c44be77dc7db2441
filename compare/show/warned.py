"""Warnings of runs beside the numbers that they are about: a mark on the row, and the sentence below the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from vanbench.compare.declare.columns import Tabular
from vanbench.compare.show.escape import printable
from vanbench.exact.warning import RunWarning

NOTE = "note"
BETWEEN = " | "  # of the warnings in one cell; their sentences hold other marks


def of_row(warnings: Iterable[RunWarning], row: dict[str, Any]) -> str:
    """``kind: sentence`` of each warning about the row."""
    return BETWEEN.join(f"{warning.kind}: {warning.sentence}" for warning in warnings if warning.applies(row))


def with_warnings(table: dict[str, list[Any]], warnings: Sequence[RunWarning]) -> dict[str, list[Any]]:
    """``table`` and a column ``warning``, where there are any beside its own notes; one that is there stays."""
    warnings = [warning for warning in warnings if warning.kind != NOTE]
    if not warnings or "warning" in table:
        return table
    return {**table, "warning": [of_row(warnings, row) for row in rows_of(table)]}


def rows_of(table: Tabular) -> Iterator[dict[str, Any]]:
    columns = {str(name): list(cells) for name, cells in table.items()}
    return (dict(zip(columns, cells)) for cells in zip(*columns.values()))


def over_seeds(cells: Iterable[str]) -> str:
    """The cells of runs that differ in the seed alone, joined: each kind of warning once, with its number of runs."""
    cells = [cell if isinstance(cell, str) else "" for cell in cells]
    kinds: dict[str, list[str]] = {}
    for cell in cells:
        for sentence in dict.fromkeys(cell.split(BETWEEN)) if cell else ():
            kinds.setdefault(sentence.partition(": ")[0], []).append(sentence)
    share = {kind: f" ({len(told)} of {len(cells)} seeds)" if len(cells) > 1 else "" for kind, told in kinds.items()}
    return BETWEEN.join(told[0] + share[kind] for kind, told in kinds.items())


def marked(cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """The mark of each row, ``[1]`` or ``[1,2]``, and the sentences that the marks stand for.

    One mark a kind: what it says of the first row with it is spelled out, of the others counted.
    """
    first: dict[str, str] = {}
    rows: dict[str, int] = {}
    held = [
        [sentence for sentence in str(cell).split(BETWEEN) if sentence] if isinstance(cell, str) else []
        for cell in cells
    ]
    for sentence in (sentence for several in held for sentence in several):
        kind, _, text = sentence.partition(": ")
        first.setdefault(kind, text)
        rows[kind] = rows.get(kind, 0) + 1
    number = {kind: k + 1 for k, kind in enumerate(first)}
    marks = [sorted(number[sentence.partition(": ")[0]] for sentence in several) for several in held]
    more = {kind: f" ({count} rows, of which this is the first)" if count > 1 else "" for kind, count in rows.items()}
    below = [f"[{number[kind]}] {kind}: {text}{more[kind]}" for kind, text in first.items()]
    return [f"[{','.join(map(str, several))}]" if several else "" for several in marks], below


def grouped(warnings: Iterable[tuple[str, int, RunWarning]]) -> list[str]:
    """Sentences on runs (name without the seed, seed, warning), one for each name and kind."""
    kinds: dict[tuple[str, str], dict[int, str]] = {}
    for name, seed, warning in warnings:
        kinds.setdefault((name, warning.kind), {}).setdefault(seed, warning.sentence)
    told = []
    for (name, kind), seeds in kinds.items():
        several = f" ({len(seeds)} seeds)" if len(seeds) > 1 else ""
        told.append(f"{name}{several}: {kind}: {next(iter(seeds.values()))}")
    return told


def of_notes(table: Tabular) -> list[RunWarning]:
    """What the notes of exact rows say of their values, or of why they have none: one for each quantity, counting
    field and temperature, from the first time on."""
    noted: dict[tuple, RunWarning] = {}
    for row in rows_of(table):
        note = row.get("note")
        if isinstance(note, str) and note:
            s, t = (None if _missing(row.get(name)) else float(row[name]) for name in ("s", "t"))
            at = "" if _missing(row.get("T")) else f"T = {row['T']:g}: "
            warning = RunWarning(NOTE, at + note.removesuffix("."), str(row["quantity"]), s, t)
            noted.setdefault((warning.quantity, s, warning.text), warning)
    return list(noted.values())


def _missing(item: Any) -> bool:
    return item is None or item != item


def tell(messages: Iterable[str]) -> None:
    """Print each message once on stderr, also with ``--quiet``."""
    told = list(dict.fromkeys(messages))
    if not told:
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    for message in told:
        console.print(f"warning: {printable(message)}", style="yellow", markup=False)
