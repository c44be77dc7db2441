"""``vanbench import``: what another code computed, compared like a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.commands import common
from vanbench.exact.errors import counted

EXAMPLE = """Example: vanbench import validate theirs.csv --label "their GRU" --out runs/theirs

A table has the columns shape, s, t, quantity, value, and optionally stderr, seed, task, site, distance, cpu_s, wall_s,
memory_mib, parameters. Samples are an .npz file with x, (n, n_sites) of 0 to d-1, and s, t, shape, seed."""


def register(app: typer.Typer) -> None:
    app.command("import", epilog=EXAMPLE)(import_)


def import_(
    suite: Annotated[str, typer.Argument(help="Suite that the results answer: FILE.toml, or a name.")],
    results: Annotated[list[Path], typer.Argument(help="Tables (.csv) and samples (.npz).")],
    label: Annotated[str, typer.Option(help="Name of the code or network in tables.")],
    out: Annotated[Path, typer.Option(help="Folder for the records; those in it are kept.")],
) -> None:
    """Turn values and samples of any code into records, so that table, gate and report can use them."""
    from vanbench.compare.declare.foreign import read
    from vanbench.compare.declare.task import load_suite
    from vanbench.compare.run import imported
    from vanbench.compare.run.suite import require_empty_or_run_folder
    from vanbench.compare.show import warned

    declared = load_suite(suite)
    require_empty_or_run_folder(out)
    made = imported.import_results(declared, list(read(results)), label, out)
    warned.tell(imported.warnings(made))
    common.say(f"{counted(len(made), 'record')} in {out}: `vanbench table {out}`, `gate` and `report` read them.")
