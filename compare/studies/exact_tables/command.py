"""``vanbench study exact_tables``: compute the stored tables, their critical fields, the pages beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.run.exact_tables import CASES, FIELDS, FOLDER, Case
from vanbench.compare.studies.exact_tables import critical, library, published
from vanbench.exact.errors import InputError, unknown
from vanbench.exact.files import write_text

app = typer.Typer(add_completion=False, no_args_is_help=True)
Names = Annotated[list[str] | None, typer.Argument(help="Names of tables (default: all, smallest first).")]
Largest = Annotated[int, typer.Option(help="Only tables of at most 2^LARGEST states.")]
Folder = Annotated[Path, typer.Option(help="Folder of the tables.")]


@app.command("compute")
def compute(
    cases: Names = None,
    stage: Annotated[
        str | None, typer.Option(help="Compute only one part of each table: values or derivatives.")
    ] = None,
    fields: Annotated[int, typer.Option(min=1, help="Number of values of s to compute: 1 is |s| = 0.1.")] = len(FIELDS),
    at: Annotated[
        list[float] | None, typer.Option(help="Compute only this value of s, on the grid or not; repeatable.")
    ] = None,
    largest: Largest = 26,
    folder: Folder = FOLDER,
) -> None:
    """Fill the tables; a case that was interrupted is resumed where it stopped."""
    if stage not in (None, "values", "derivatives"):
        raise unknown("stage", stage, ["values", "derivatives"])
    stages = (stage,) if stage else ("values", "derivatives")
    for case in _chosen(cases, largest):
        which = library.meant(case, at or []) or library.first_things_first(case.fields)[:fields]
        library.compute(case, folder, stages, which)
    _status(folder)


@app.command("status")
def status(folder: Folder = FOLDER) -> None:
    """Rewrite the page that lists the tables, present and missing."""
    _status(folder)


@app.command("critical")
def critical_(cases: Names = None, largest: Largest = 26, folder: Folder = FOLDER) -> None:
    """Compute the eigenvalues that give the critical fields at long times."""
    for case in _chosen(cases, largest):
        if case.name in critical.WINDOW:
            typer.echo(f"{case.name} {critical.critical(case.name, folder)}")
    _status(folder)


@app.command("published")
def published_(folder: Folder = FOLDER) -> None:
    """Write the page that compares published values of networks with both exact references."""
    write_text(folder / "published.md", published.page(folder), folder)
    _status(folder)


def _chosen(names: list[str] | None, largest: int) -> list[Case]:
    for name in names or []:
        if name not in CASES:
            raise unknown("table", name, list(CASES))
    cases = [CASES[name] for name in names or []] or list(CASES.values())
    return [case for case in cases if len(case.build().free_sites) <= largest]


def _status(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"there is no folder {str(folder)!r}.")
    write_text(folder / "README.md", library.status(folder), folder)
