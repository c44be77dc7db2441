"""What a command prints: one JSON object, CSV, or a table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import typer

from vanbench.compare.run.record import columns
from vanbench.compare.show import escape
from vanbench.compare.show.grid import Grid
from vanbench.compare.show.warned import marked, with_warnings
from vanbench.exact.definitions.quantity import COUNTED
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
    form: str, frame: pd.DataFrame, head: Mapping[str, Any], title: str = "", warnings: Sequence[RunWarning] = ()
) -> None:
    """Print ``frame``: as ``{**head, "warnings": [...], "records": [...]}`` in JSON, and nothing else on stdout.

    CSV has a column ``warning``, a table for people marks and the sentences below it, where a row has one.
    """
    frame = _whole(frame)
    if form == "json":
        print_json({**head, "warnings": [asdict(warning) for warning in warnings], "records": as_records(frame)})
    elif form == "csv":
        typer.echo(escape.csv(with_warnings(frame, warnings)), nl=False)
    else:
        _print_table(with_warnings(frame, warnings), title)


def print_json(content: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(plain(content), indent=1, allow_nan=False))


def _whole(frame: pd.DataFrame) -> pd.DataFrame:
    """Make columns of site and state numbers whole numbers; empty cells had made them floats."""
    return frame.astype({name: "Int64" for name in COUNTED if name in frame})


def as_records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain dictionaries; ``t`` is always there (null for what has no time), other empty cells are left out."""
    held = columns(frame)
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


def _print_table(frame: pd.DataFrame, title: str) -> None:
    below: list[str] = []
    if "warning" in frame:
        marks, below = marked(list(frame["warning"]))
        frame = frame.assign(warning=marks)
    shown = [name for name in frame.columns if not (frame[name].isna() | (frame[name] == "")).all()]
    digits = [ERROR_DIGITS if name in ("stderr", "bound") else VALUE_DIGITS for name in shown]
    cells = frame[shown].head(SHOWN_ROWS).itertuples(index=False)
    rows = [[_cell(item, count) for item, count in zip(row, digits)] for row in cells]
    if len(frame) > SHOWN_ROWS:
        title = f"{title} (the first {SHOWN_ROWS} of {len(frame)} rows; --format csv has all)"
    Grid(shown, rows).show(title)
    for text in below:
        typer.echo(f"warning {escape.printable(text)}")


def _cell(item: Any, digits: int) -> str:
    if item is None or item is pd.NA:
        return ""
    if isinstance(item, float):
        return "" if math.isnan(item) else f"{item:.{digits}g}"
    return str(item)
