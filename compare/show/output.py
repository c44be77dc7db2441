"""What a command prints: one JSON object, CSV, or a table for people."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer

from vanbench.compare.declare.columns import Tabular, columns
from vanbench.compare.show import escape
from vanbench.compare.show.grid import Grid
from vanbench.compare.show.warned import marked, with_warnings
from vanbench.exact.errors import unknown
from vanbench.exact.warning import RunWarning

FORMATS = ("table", "json", "csv")
VALUE_DIGITS, ERROR_DIGITS = 10, 2
SHOWN_ROWS = 2000  # of a table on the screen; the other formats hold every row


def check_format(form: str) -> str:
    if form not in FORMATS:
        raise unknown("format", form, list(FORMATS))
    return form


def emit(
    form: str, table: Tabular, head: Mapping[str, Any], title: str = "", warnings: Sequence[RunWarning] = ()
) -> None:
    """Print ``table``, a DataFrame or a dictionary of columns: as ``{**head, "warnings": [...], "records": [...]}`` in
    JSON, and nothing else on stdout.

    CSV has a column ``warning``, a table for people marks and the sentences below it, where a row has one.
    """
    if form == "json":
        print_json({**head, "warnings": [asdict(warning) for warning in warnings], "records": as_records(table)})
        return
    given = {str(name): [_whole(str(name), item) for item in cells] for name, cells in table.items()}
    if form == "csv":
        typer.echo(_csv(with_warnings(given, warnings)), nl=False)
    else:
        _print_table(with_warnings(given, warnings), title)


def print_json(content: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(plain(content), indent=1, allow_nan=False))


def _whole(name: str, item: Any) -> Any:
    """A plain value, None where there is none; numbers of sites and states, which empty cells make floats, whole."""
    from vanbench.exact.definitions.quantity import COUNTED  # loads NumPy, which help does without

    if item is None or item != item:
        return None
    item = item.item() if hasattr(item, "item") else item
    return int(item) if name in COUNTED else item


def as_records(table: Tabular) -> list[dict[str, Any]]:
    """Rows as plain dictionaries; ``t`` is always there (null for what has no time), other empty cells are left out."""
    held = {name: [_whole(name, item) for item in cells] for name, cells in columns(table).items()}
    rows = [dict(zip(held, values)) for values in zip(*held.values())]
    return [
        {k: v for k, v in row.items() if k in ("quantity", "s", "t", "value") or v not in (None, "")} for row in rows
    ]


def plain(value: Any) -> Any:
    """Numbers, text, lists and dictionaries with text keys."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _csv(table: dict[str, list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(escape.no_formula, table))
    writer.writerows(map(escape.no_formula, cells) for cells in zip(*table.values()))
    return text.getvalue()


ROUGH = ("stderr", "sampling_stderr", "error_estimate", "score", "bound")  # what two digits say all of


def _print_table(table: dict[str, list[Any]], title: str) -> None:
    below: list[str] = []
    if "warning" in table:
        marks, below = marked(table["warning"])
        table = {**table, "warning": marks}
    shown = {name: cells for name, cells in table.items() if any(item not in (None, "") for item in cells)}
    digits = [ERROR_DIGITS if name in ROUGH else VALUE_DIGITS for name in shown]
    every = list(zip(*shown.values()))
    rows = [[_cell(item, count) for item, count in zip(row, digits)] for row in every[:SHOWN_ROWS]]
    if len(every) > SHOWN_ROWS:
        title = f"{title} (the first {SHOWN_ROWS} of {len(every)} rows; --format csv has all)"
    Grid(list(shown), rows).show(title)
    for text in below:
        typer.echo(f"warning {escape.printable(text)}")


def _cell(item: Any, digits: int) -> str:
    if item is None:
        return ""
    return f"{item:.{digits}g}" if isinstance(item, float) else str(item)
