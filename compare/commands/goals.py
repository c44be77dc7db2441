"""``vanbench goals``: which goals the tasks of suites reached."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.exact.errors import InputError

EXAMPLE = "Example: vanbench goals runs/accuracy --out accuracy.md --plot accuracy.png"


def register(app: typer.Typer) -> None:
    app.command("goals", epilog=EXAMPLE)(goals)


def goals(
    folder: Annotated[list[Path], typer.Argument(help="Folders that `vanbench run --out` wrote.")],
    out: Annotated[Path | None, typer.Option(help="Markdown file (default: standard output).")] = None,
    figure: Annotated[
        Path | None, typer.Option("--plot", help="PNG of error against CPU time; its data go to a CSV beside it.")
    ] = None,
    crossed: Annotated[bool, typer.Option("--cross", help="Begin with a table with a column for each task.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep rows of that CSV that the folders lack.")] = False,
) -> None:
    """Show which goals the tasks of suites reached: the largest error over time, and CPU seconds."""
    import pandas as pd

    from vanbench.compare.judge import goals as judged
    from vanbench.compare.judge.gate import mixed
    from vanbench.compare.show.escape import csv, markdown
    from vanbench.exact.files import write_text

    table = pd.concat([judged.goals(run) for run in folder], ignore_index=True)
    if keep:
        if figure is None or not figure.with_suffix(".csv").is_file():
            raise InputError("--keep needs a --plot FILE.png with its CSV beside it.")
        table = judged.joined(table, figure.with_suffix(".csv"))
    text = f"{judged.cross(table)}\n{judged.markdown(table)}" if crossed else judged.markdown(table)
    text += "".join(f"\nwarning: {markdown(told)}\n" for run in folder for told in mixed(run))
    if out is None:
        typer.echo(text)
    else:
        write_text(out, text)
    if figure is not None:
        judged.plot(table, figure)
        write_text(figure.with_suffix(".csv"), csv(table, float_format="%.4g"))
