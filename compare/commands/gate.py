"""``vanbench gate``: fail when accuracy got worse."""

from __future__ import annotations

import math
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vanbench.compare.commands import common
from vanbench.compare.exits import CANNOT_COMPARE, WORSE
from vanbench.compare.judge.tolerances import ATOL, FALSE_ALARMS, POWER, RTOL
from vanbench.compare.show.escape import printable
from vanbench.compare.show.grid import Grid
from vanbench.compare.show.output import print_json
from vanbench.exact.errors import InputError, counted, unknown

if TYPE_CHECKING:
    from vanbench.compare.judge import gate as gates

FORMATS = ("table", "json")
HEADINGS = {"needed": "seeds"}
EXAMPLE = """Example: vanbench gate runs/ci --baseline results/baselines/ci.json

Exit codes: 0 no worse, 1 worse, missing or not finite, 2 bad input, 3 cannot compare."""


def register(app: typer.Typer) -> None:
    app.command("gate", epilog=EXAMPLE)(gate)


def gate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run.")],
    baseline: Annotated[Path | None, typer.Option(help="The stored baseline to compare with.")] = None,
    write: Annotated[Path | None, typer.Option(help="Store a baseline instead, after showing what changes.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Store the baseline without asking.")] = False,
    atol: Annotated[float, typer.Option(help="Absolute tolerance on an error.")] = ATOL,
    rtol: Annotated[float, typer.Option(help="Tolerance relative to the baseline's error.")] = RTOL,
    false_alarms: Annotated[
        float, typer.Option(help="Chance of any false alarm in the whole comparison; 1: use only atol and rtol.")
    ] = FALSE_ALARMS,
    form: Annotated[
        str, typer.Option("--format", help="Output format: table, or json: one object with the verdict of each case.")
    ] = "table",
) -> None:
    """Compare a run's errors with a stored baseline; an increase above max(atol, rtol, chance) is a regression."""
    from rich.console import Console

    from vanbench.compare.judge import gate as gates
    from vanbench.compare.run.record import SchemaMismatch
    from vanbench.compare.show import warned

    if (baseline is None) == (write is None):
        raise InputError("give --baseline FILE to compare, or --write FILE to store a baseline.")
    if not (0 <= atol < math.inf and 0 <= rtol < math.inf and 0 < false_alarms <= 1):
        raise InputError("tolerances must be finite and not negative, and --false-alarms above 0 and at most 1.")
    if form not in FORMATS:
        raise unknown("format", form, list(FORMATS))
    if write is not None:
        gates.write_baseline(folder, write, partial(_agreed, path=write, yes=yes, form=form))
        return
    assert baseline is not None
    stderr = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    try:
        verdict = gates.gate(folder, baseline, atol, rtol, false_alarms)
    except SchemaMismatch as error:
        verdict = gates.Verdict(refusals=[str(error)])
    if form == "json":
        print_json({"verdict": _word(verdict), **vars(verdict)})
    elif verdict.lines:
        _show(verdict.lines)
    blind = [line for line in verdict.lines if line.get("power", 1) < POWER]
    if blind:
        verb = "has" if len(blind) == 1 else "have"
        stderr.print(
            f"{len(blind)} of {len(verdict.lines)} cases {verb} too few seeds to see an error that doubles "
            f"{POWER:.0%} of the time; the column seeds says how many it takes (power: the chance with these seeds).",
            style="yellow",
            markup=False,
        )
    for text in verdict.cautions:
        stderr.print(printable(text), style="yellow", markup=False)
    warned.tell(verdict.warnings)
    for text in verdict.failures:
        stderr.print(printable(f"worse: {text}"), style="bold red", markup=False)
    for text in verdict.refusals:
        stderr.print(printable(f"cannot compare: {text}"), style="bold red", markup=False)
    if verdict.refusals:
        raise typer.Exit(CANNOT_COMPARE)
    if verdict.failures:
        raise typer.Exit(WORSE)
    if form == "table":
        judged = sum(line["verdict"] != gates.TOO_FEW for line in verdict.lines)
        common.say(f"no worse than {baseline}: {counted(judged, 'case')}.")


def _word(verdict: gates.Verdict) -> str:
    return "cannot compare" if verdict.refusals else "worse" if verdict.failures else "no worse"


def _agreed(changes: list[dict[str, Any]], path: Path, yes: bool, form: str) -> bool:
    """Show what changes; ask a person before a stored baseline is replaced. A script (no terminal) is not asked."""
    if form == "table":
        _show(changes)
    changed = any(line["verdict"] in ("changed", "removed") for line in changes)
    agreed = yes or not changed or not sys.stdin.isatty() or typer.confirm(printable(f"Replace {path}?"), err=True)
    if form == "json":
        print_json({"verdict": "written" if agreed else "kept", "lines": changes})
    else:
        common.say(f"baseline written: {path}" if agreed else f"{path} stays as it was.")
    return agreed


def _show(lines: list[dict[str, Any]]) -> None:
    names = ["case", "baseline", "now", "allowed", "verdict", "power", "needed"]
    shown = [name for name in names if any(name in line for line in lines)]
    rows = [
        [f"{line[name]:.2f}" if name == "power" and name in line else _text(line.get(name)) for name in shown]
        for line in lines
    ]
    Grid([HEADINGS.get(name, name) for name in shown], rows).show()


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.3e}" if isinstance(value, float) else str(value)
