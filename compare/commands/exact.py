"""``vanbench exact``: exact values of one system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vanbench.compare.commands import common
from vanbench.compare.declare import parse
from vanbench.exact.errors import InputError, unknown

EXAMPLE = """Example: vanbench exact fa --shape 6 -p c=0.3 --s 0.2 --times 2 --quantities ln_Z,activity,scgf

Many fields, stored and resumable: vanbench exact east --shape 4x4 --s 0.01:1:0.01 --processes 2 --out runs/scan

Any size, with error bars: vanbench exact east --shape 8x8 --s 0.1 --times 10 --method cloning --clones 1e5

Any size by matrix products: vanbench exact fa --shape 100 --s 0.1 --times 1,10 --method mps --bond 32

Equilibrium at temperatures: vanbench exact ising --shape 4x4 --temperatures 1:4:0.5"""

METHODS = (
    "Method; auto chooses. Others: dense, sparse, lanczos, krylov, quspin; for open quantum systems: "
    "liouvillian, povm, qutip, quspin; for any size: mps (all times), dmrg (theta), cloning."
)


def register(app: typer.Typer) -> None:
    app.command("exact", epilog=EXAMPLE)(exact)


def exact(
    system: common.System,
    shape: common.Shape,
    param: common.Params = None,
    s: Annotated[str, typer.Option("--s", help="Counting fields, like 0.1,0.2 or -1:1:0.1.")] = "0",
    times: Annotated[str, typer.Option(help="Times, like 1,10,100 or 0:5:0.5.")] = "1",
    quantities: Annotated[str | None, typer.Option(help="Quantities, joined by commas.")] = None,
    scheme: Annotated[str, typer.Option(help="Time evolution: continuous, or euler with --dt.")] = "continuous",
    dt: Annotated[float | None, typer.Option(help="Time step of the Euler scheme, or of --method mps.")] = None,
    method: Annotated[str, typer.Option(help=METHODS)] = "auto",
    observable: common.Observable = "activity",
    initial: common.Initial = None,
    temperatures: Annotated[str | None, typer.Option(help="Equilibrium Ising: temperatures, like 1:4:0.1.")] = None,
    bond: Annotated[int | None, typer.Option(help="Largest bond dimension of mps and dmrg (default: 64).")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="mps, dmrg: largest change by a larger bond or shorter step (default: 1e-5)."),
    ] = None,
    clones: Annotated[float, typer.Option(help="Total number of clones of --method cloning, like 1e5.")] = 1e5,
    processes: Annotated[int, typer.Option(help="Number of counting fields computed at once.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for the values; the same command resumes there.")] = None,
    seed: common.Seed = 1,
    form: common.Format = "table",
    quiet: common.Quiet = False,
) -> None:
    """Compute exact ln Z, activity, scgf, densities, ...; beyond memory, by --method mps, dmrg or cloning."""
    from vanbench.compare.show import warned
    from vanbench.compare.show.output import check_format, emit
    from vanbench.exact.scan import scanned
    from vanbench.exact.systems import build

    check_format(form)
    lengths = parse.shape(shape)
    params = common.parameters(param, initial)
    asked = None if quantities is None else parse.names(quantities)
    if temperatures is not None or system == "ising":
        if (s, times, scheme, dt, out, processes, bond, tolerance) != (
            "0",
            "1",
            "continuous",
            None,
            None,
            1,
            None,
            None,
        ):
            raise InputError(
                "ising in equilibrium takes no --s, --times, --scheme, --dt, --out, --processes, --bond, --tolerance."
            )
        _equilibrium(system, lengths, params, temperatures, asked, method, seed, form, quiet)
        return
    with common.aside():
        built = build(system, lengths, **params)
    fields, grid = parse.numbers(s, "--s"), parse.numbers(times, "--times")
    advice = "the same command resumes from here." if out else "nothing was kept; --out FOLDER keeps finished values."
    with common.interruptible(advice), common.telling(quiet, f"{system} {shape}") as tell:
        if method == "cloning":
            if bond is not None or tolerance is not None:
                raise InputError("--bond and --tolerance are for --method mps and dmrg.")
            if dt is not None:
                raise InputError("--method cloning takes no time steps: leave --dt out.")
            _require_plain(asked, scheme, out, processes)
            if not 0 < clones < 1e12:
                raise InputError(f"--clones {clones:g}: give a number of clones, like 1e5.")
            from vanbench.exact import cloning

            frame = cloning(built, fields, grid, int(clones), seed=seed, observable=observable, progress=tell)
            table, taken = dict(frame[frame.quantity.isin(asked or frame.quantity)].items()), method
        else:
            options: dict[str, Any] = {"scheme": scheme, "dt": dt, "observable": observable, "method": method}
            options["quantities"] = asked
            options |= {k: v for k, v in {"bond": bond, "tolerance": tolerance}.items() if v is not None}
            answer = scanned(built, fields, grid, out, processes, tell, **options)
            table, taken = answer.columns(), answer.method
    head = {"system": built.name, "shape": list(lengths), "params": dict(built.params), "observable": observable}
    notes = warned.of_notes(table)
    emit(form, table, {**head, "method": taken}, f"{built.name} {shape}", notes)
    warned.tell(note.sentence for note in notes)
    if not quiet:
        taken += "; scgf is the growth of ln Z over the second half of the run" if taken == "cloning" else ""
        common.console(quiet).print(f"method: {taken}" + (f"; values in {out}" if out else ""), markup=False)


def _require_plain(asked: list[str] | None, scheme: str, out: Path | None, processes: int) -> None:
    from vanbench.exact.definitions.quantities import given
    from vanbench.exact.definitions.quantity import CLASSICAL, CLONING

    known = given(CLONING, CLASSICAL)
    other = [name for name in asked or () if name not in known]
    if other or scheme != "continuous" or out is not None or processes != 1:
        raise InputError(
            f"--method cloning gives {', '.join(known)} in continuous time, with standard errors; it takes no --out "
            "and no --processes."
        )


def _equilibrium(
    system: str,
    shape: tuple[int, ...],
    params: dict[str, Any],
    temperatures: str | None,
    quantities: list[str] | None,
    method: str,
    seed: int,
    form: str,
    quiet: bool,
) -> None:
    if system != "ising" or temperatures is None:
        raise InputError(
            "temperatures belong to the equilibrium Ising model: vanbench exact ising --temperatures 1:4:0.1."
        )
    from vanbench.compare.show import warned
    from vanbench.compare.show.output import emit
    from vanbench.exact.ising import solve as solve_ising

    known = {"J": 1.0, "h": 0.0, "plaquette": 0.0}
    for name, value in params.items():
        if name not in known:
            raise unknown("parameter of ising", name, list(known))
        if isinstance(value, str | bool | list):
            raise InputError(f"{name} = {value!r}: {name} of ising must be a number.")
    points = parse.numbers(temperatures, "--temperatures")
    title = f"ising {parse.shape_text(shape)}"
    with common.interruptible("nothing was kept."), common.telling(quiet, title) as tell:
        answer = solve_ising(
            shape, points, **{**known, **params}, quantities=quantities, seed=seed, by=method, progress=tell
        )
    head = {"system": "ising", "shape": list(shape), "params": {**known, **params}}
    notes = warned.of_notes(answer)
    emit(form, answer, head, title, notes)
    warned.tell(note.sentence for note in notes)
