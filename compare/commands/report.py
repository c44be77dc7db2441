"""``vanbench report``: the records of a folder as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.commands import common

EXAMPLE = """Example: vanbench report runs/validate --figures pdf"""


def register(app: typer.Typer) -> None:
    app.command("report", epilog=EXAMPLE)(report)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")],
    out: Annotated[Path | None, typer.Option(help="The page; by default DIR/report.html.")] = None,
    figures: Annotated[
        str | None, typer.Option(help="Figures for print as well, in DIR/plots: png, pdf, svg, joined by commas.")
    ] = None,
) -> None:
    """One self-contained HTML page: the verdict, sortable tables, every figure, where the numbers come from."""
    from vanbench.compare.declare import parse
    from vanbench.compare.show.figures import write_plots
    from vanbench.compare.show.report.page import write_report

    for path in write_plots(folder, parse.names(figures)) if figures else ():
        common.say(path)
    path = write_report(folder, out)
    common.say(f"{path.resolve()} ({path.stat().st_size / 2**20:.1f} MiB)")
