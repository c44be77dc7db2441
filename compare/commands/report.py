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
    out: Annotated[Path | None, typer.Option(help="File of the page (default: DIR/report.html).")] = None,
    figures: Annotated[
        str | None, typer.Option(help="Also write figures for print to DIR/plots: png, pdf, svg, joined by commas.")
    ] = None,
) -> None:
    """Write one self-contained HTML page: verdict, sortable tables, all figures, the provenance of the numbers."""
    from vanbench.compare.declare import parse
    from vanbench.compare.show.figures import write_plots
    from vanbench.compare.show.report.page import write_report

    for path in write_plots(folder, parse.names(figures)) if figures else ():
        common.say(path)
    path = write_report(folder, out)
    common.say(f"{path.resolve()} ({path.stat().st_size / 2**20:.1f} MiB)")
