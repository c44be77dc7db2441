"""``vanbench table``: the table of a paper from the records of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.declare import parse
from vanbench.compare.show.escape import printable

EXAMPLE = """Example: vanbench table runs/validate --by size --format latex > table.tex

Fitted laws over the number of parameters, for a folder with one network in several widths: --by parameters

Networks side by side: vanbench table runs/validate --across architecture --columns error,cpu_s"""


def register(app: typer.Typer) -> None:
    app.command("table", epilog=EXAMPLE)(table)


def table(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")],
    by: Annotated[
        str, typer.Option(help="What rows compare: size, time, s, architecture, tracker, parameters, samples or cost.")
    ] = "size",
    quantity: Annotated[str, typer.Option(help="The quantity in the table.")] = "ln_Z",
    form: Annotated[str, typer.Option("--format", help="Output format: md, csv or latex.")] = "md",
    columns: Annotated[
        str | None, typer.Option(help="Columns in order, like shape,value,error: headings of the md table.")
    ] = None,
    across: Annotated[
        str | None,
        typer.Option(help="Put each architecture or tracker side by side, each with its --columns (default: error)."),
    ] = None,
) -> None:
    """Print errors with standard errors over seeds, their parts, and the cost."""
    from vanbench.compare.run import missing
    from vanbench.compare.run.record import records
    from vanbench.compare.show import tables

    cases = tables.table(folder, by, quantity)
    laws = tables.growth_of(folder, cases, by) if by in tables.FITTED and form != "csv" else None
    names = None if columns is None else list(dict.fromkeys(map(tables.column, parse.names(columns))))
    typer.echo(tables.render(cases, form, laws, f"{folder}/", names, across), nl=False)
    if by in tables.SCALINGS and laws is not None and laws.empty:
        typer.echo(f"No law of the error over {by}: a fit takes three values of it for the same question.", err=True)
    lacking = missing.sentence(folder, [record for _, record in records(folder)])
    if lacking:
        typer.echo(printable(lacking), err=True)
