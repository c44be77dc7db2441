"""``vanbench report``: the records of a folder as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = """Example: vanbench report runs/validate"""


def register(app: typer.Typer) -> None:
    app.command("report", epilog=EXAMPLE)(report)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="The page; by default DIR/report.html.")] = None,
) -> None:
    """One self-contained HTML page: the verdict, sortable tables, every figure, where the numbers come from."""
    from vanbench.compare.show.report.page import write_report

    path = write_report(folder, out)
    typer.echo(f"{path.resolve()} ({path.stat().st_size / 2**20:.1f} MiB)")
