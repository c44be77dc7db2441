"""``vanbench study wang2020``: reproduce and check the study, part by part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.show.escape import printable
from vanbench.compare.studies.wang2020.study import study

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def family() -> None:
    """Wang, Jiang and Zhou (2020): a Hamiltonian learned from Ising configurations."""


@app.command("run", epilog="Example: vanbench study wang2020 run --out runs/wang2020")
def run(
    parts: Annotated[list[str] | None, typer.Argument(help="Parts of the study (default: all).")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("results/wang2020"),
    work: Annotated[Path, typer.Option(help="Folder for networks, kept to resume from.")] = Path("runs/wang2020"),
    quiet: common.Quiet = False,
) -> None:
    """Make tables, figures and a README; an interrupted call can be resumed."""
    say = (lambda text: None) if quiet else (lambda text: typer.echo(printable(text), err=True))
    study(parts or [], out, work, say)
