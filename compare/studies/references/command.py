"""``vanbench study references``: fill the library of references beyond exact vectors, and write its page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.studies.references import library
from vanbench.exact.errors import unknown
from vanbench.exact.files import write_text

app = typer.Typer(add_completion=False, no_args_is_help=True)
Folder = Annotated[Path, typer.Option(help="Folder of the tables.")]


@app.command("compute")
def compute(
    cases: Annotated[list[str] | None, typer.Argument(help="Names of tables (default: all, cheapest first).")] = None,
    seconds: Annotated[float, typer.Option(help="Compute only parts expected to take less CPU time.")] = 600.0,
    folder: Folder = library.FOLDER,
) -> None:
    """Fill the tables, one method and counting field after the other; interrupted parts resume where they stopped."""
    for name in cases or []:
        if name not in library.CASES:
            raise unknown("table", name, list(library.CASES))
    for case in [library.CASES[name] for name in cases or []] or list(library.CASES.values()):
        library.compute(case, folder, seconds)
    status(folder)


@app.command("status")
def status(folder: Folder = library.FOLDER) -> None:
    """Rewrite the page that lists the references, their errors, and what is missing."""
    write_text(folder / "README.md", library.status(folder), folder)
