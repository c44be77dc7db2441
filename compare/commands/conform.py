"""``vanbench conform``: someone's network against the contract."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.declare import parse
from vanbench.compare.exits import WORSE
from vanbench.compare.show.escape import printable
from vanbench.exact.errors import unknown

EXAMPLE = """Example: vanbench conform my_package.my_module:MyNet --shape 4x4

Exit codes: 0 it keeps the contract, 1 it breaks it, 2 bad input."""
FORMATS = ("table", "json")
UNCLAIMED = "the network does not claim it"
NAMED = 5  # settings in which a check fails too; the JSON has all


def register(app: typer.Typer) -> None:
    app.command("conform", epilog=EXAMPLE)(conform)


def conform(
    architecture: Annotated[str, typer.Argument(help=common.OUTSIDE)],
    shape: Annotated[
        str | None, typer.Option(help="Check this lattice alone; by default a small one per dimension.")
    ] = None,
    architecture_option: common.ArchitectureOption = None,
    form: Annotated[str, typer.Option("--format", help="Output format: table or json.")] = "table",
    quiet: common.Quiet = False,
) -> None:
    """Check the contract of an autoregressive network: density, causality, sampling, gradients, files, devices, ..."""
    if form not in FORMATS:
        raise unknown("format", form, list(FORMATS))
    lattice = None if shape is None else parse.shape(shape)
    architecture, options = parse.architecture(architecture, architecture_option or [])
    from vanbench.compare.conform.contract import Result
    from vanbench.compare.conform.contract import conform as run

    with common.console(quiet).status("") as status, common.aside():

        def report(result: Result) -> None:
            status.update(f"{_plain(architecture)}: {result.check}, {_plain(result.setting)}")

        outcome = run(architecture, lattice, options, report)
    if form == "json":
        typer.echo(json.dumps(outcome.as_dict(), indent=1, allow_nan=False))
    else:
        _print(outcome.architecture, outcome.results)
    if outcome.failures:
        raise typer.Exit(WORSE)


def _print(architecture: str, results: list) -> None:
    """One line a check; then each failed check once, with the first setting in which it failed."""
    from rich.console import Console
    from rich.table import Table

    out = Console(highlight=False, emoji=False)
    table = Table(title=_plain(architecture), title_justify="left")
    for name, side in (("check", "left"), ("settings", "right"), ("verdict", "left"), ("seconds", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    failures = {}
    for check in dict.fromkeys(result.check for result in results):
        mine = [result for result in results if result.check == check]
        failed = [result for result in mine if result.status == "failed"]
        ran = [result for result in mine if result.status != "skipped"]
        if failed:
            failures[check] = failed
            verdict = f"[bold red]failed[/] in {len(failed)}"
        else:
            verdict = "[green]passed[/]" if ran else f"[dim]skipped: {_plain(mine[0].found)}[/]"
        table.add_row(check, str(len(ran)), verdict, f"{sum(result.seconds for result in mine):.2f}")
    out.print(table)
    limits = [result.setting for result in results if result.found == UNCLAIMED]
    if limits:
        out.print(f"not tried: {printable(', '.join(limits))}, which the network does not claim.", markup=False)
    for check, failed in failures.items():
        first = failed[0]
        out.print(f"[bold red]{check}[/] ({_plain(first.setting)})")
        for word, text in (("tried", first.tried), ("found", first.found), ("likely", first.likely)):
            out.print(f"  {word:7}{_plain(text)}", soft_wrap=True)
        if len(failed) > 1:
            others = [result.setting for result in failed[1:]]
            more = f"; and {len(others) - NAMED} more" if len(others) > NAMED else ""
            out.print(f"  also in {_plain('; '.join(others[:NAMED]))}{more}", style="dim", soft_wrap=True)
    out.print("[bold red]It breaks the contract.[/]" if failures else "[green]It keeps the contract.[/]")


def _plain(text: str) -> str:
    """Text of somebody's network, neither markup nor anything unseen."""
    from rich.markup import escape

    return escape(printable(text))
