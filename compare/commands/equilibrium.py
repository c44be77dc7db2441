"""``vanbench equilibrium``: networks that minimise a free energy, beside the exact one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.declare import parse
from vanbench.exact.errors import InputError

EXAMPLE = """Example: vanbench equilibrium --shape 4x4 --temperatures 2,3 --architecture made --architecture gru"""


def register(app: typer.Typer) -> None:
    app.command("equilibrium", epilog=EXAMPLE)(equilibrium)


def equilibrium(
    shape: common.Shape,
    temperatures: Annotated[str, typer.Option(help="Temperatures, like 2,2.27,3 or 1:4:0.5.")],
    architecture: Annotated[list[str] | None, typer.Option(help=f"{common.OUTSIDE} Repeatable.")] = None,
    param: Annotated[
        list[str] | None, typer.Option("-p", "--param", help="A coupling: J, h or plaquette, like -p h=0.1.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of Adam, at increasing inverse temperature.")] = 1000,
    samples: Annotated[int, typer.Option(help="Configurations drawn per step.")] = 500,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of Adam.")] = 5e-3,
    seeds: Annotated[int, typer.Option(help="Runs at each temperature.")] = 1,
    seed: common.Seed = 1,
    out: Annotated[Path | None, typer.Option(help="CSV file for the table.")] = None,
    form: common.Format = "table",
    quiet: common.Quiet = False,
) -> None:
    """Minimise the Ising free energy with networks; print it, energy and magnetisation beside exact values (k_B = 1,
    per site)."""
    from vanbench.compare.declare.task import Architecture
    from vanbench.compare.learn.ising.equilibrium import compare
    from vanbench.compare.show.output import check_format, emit
    from vanbench.compare.show.warned import tell
    from vanbench.exact.errors import number, unknown
    from vanbench.exact.files import require_writable, write_text

    check_format(form)
    couplings = parse.options(param or [])
    for name in couplings:
        if name not in ("J", "h", "plaquette"):
            raise unknown("coupling", name, ["J", "h", "plaquette"])
    if out is not None and out.suffix != ".csv":
        raise InputError(f"--out {out}: give the name of a .csv file.")
    if out is not None and out.is_dir():
        raise InputError(f"--out {out}: this is a folder; give the name of a .csv file.")
    if out is not None:
        require_writable(out.parent)
    networks = [Architecture.of(text, []) for text in architecture or ["made"]]
    stderr = common.console(quiet)
    table, warnings = compare(
        parse.shape(shape),
        parse.numbers(temperatures, "--temperatures"),
        networks,
        {name: number(name, value) for name, value in couplings.items()},
        {"iterations": steps, "samples": samples, "learning_rate": learning_rate},
        seeds,
        seed,
        lambda text: stderr.print(text, markup=False),
    )
    if out is not None:
        write_text(out, table.to_csv(index=False))
    emit(form, table, {"model": "ising", "shape": shape, "params": couplings}, f"Ising {shape}", warnings)
    tell(warning.sentence for warning in warnings)
