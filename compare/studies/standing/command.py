"""``vanbench study standing``: the standing table of networks and trackers, and how a result enters it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.studies.standing import page as pages
from vanbench.compare.studies.standing import submissions

app = typer.Typer(add_completion=False, no_args_is_help=True)
Folder = Annotated[Path, typer.Option(help="Folder of the table.")]
HOME = Path("results/standing")


@app.command("add", epilog="Example: vanbench run standing --out runs/standing; vanbench standing add runs/standing")
def add(
    runs: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of `vanbench run` or `vanbench import`.")
    ],
    folder: Folder = HOME,
) -> None:
    """Check the records (schema, declaration, reference), add them to the table, and write its page."""
    new, known = submissions.add(runs, folder)
    typer.echo(f"{new} runs are new, {known} were there.")
    common.say(pages.write(folder))


@app.command("page")
def page(folder: Folder = HOME) -> None:
    """Write the page from the table."""
    common.say(pages.write(folder))
