"""``vanbench study baiesi2025``: the page over all stored models; `vanbench cycles baiesi2025-...` trains them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.studies.baiesi2025.overview import overview
from vanbench.exact.files import write_text

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def family() -> None:
    """Baiesi and Rosso (2025): latent cycles of two-kernel generative chains."""


@app.command("overview", epilog="Example: vanbench study baiesi2025 overview results/baiesi2025")
def overview_(folder: Annotated[Path, typer.Argument(help="Folder of the stored models.")]) -> None:
    """Write README.md, which says which published claims hold on which data, from the CSV files beside it."""
    write_text(folder / "README.md", overview(folder), folder)
    common.say(folder / "README.md")
