"""``vanbench status``: how far a suite is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.exits import INCOMPLETE
from vanbench.exact.errors import unknown

EXAMPLE = """Example: vanbench status runs/validate

Exit codes: 0 all runs are done, 2 bad input, 5 some are not."""
FORMATS = ("table", "json")
HEADINGS = ("task", "runs", "done", "running", "failed", "missing", "CPU s spent", "CPU s left")


def register(app: typer.Typer) -> None:
    app.command("status", epilog=EXAMPLE)(status)


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")],
    form: Annotated[str, typer.Option("--format", help="Output format: table or json.")] = "table",
) -> None:
    """Show which runs are done, running, failed or missing, and the CPU time left; other processes may be working."""
    from vanbench.compare.run.status import status as asked
    from vanbench.compare.show.grid import Grid
    from vanbench.compare.show.output import print_json

    if form not in FORMATS:
        raise unknown("format", form, list(FORMATS))
    rows = asked(folder)
    if form == "json":
        print_json({"tasks": [asdict(row) for row in rows]})
    else:
        cells = [[*map(str, list(asdict(row).values())[:6]), f"{row.spent:.3g}", _left(row.left)] for row in rows]
        Grid(HEADINGS, cells).show()
        for text in (text for row in rows for text in row.told):
            common.say(text)
    if any(row.done < row.runs for row in rows):
        raise typer.Exit(INCOMPLETE)


def _left(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds:.3g}"
