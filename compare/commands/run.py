"""``vanbench run``: a suite, exact and neural, compared, tabulated and plotted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.declare import parse
from vanbench.compare.exits import CRASH, INCOMPLETE
from vanbench.compare.show.escape import file_name, printable, visible
from vanbench.exact.errors import InputError, counted
from vanbench.exact.files import fault_of_machine

if TYPE_CHECKING:
    from rich.console import Console

    from vanbench.compare.run.suite import Summary

EXAMPLE = """Example: vanbench run validate --architecture my_package.my_module:MyNet --out runs/mynet"""


def register(app: typer.Typer) -> None:
    app.command("run", epilog=EXAMPLE)(run)


def run(
    suite: Annotated[
        str,
        typer.Argument(help="FILE.toml, a name (see `vanbench list`), file.py:name, or module:name."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder for results; finished runs in it are kept (default: runs/SUITE).")
    ] = None,
    architecture: Annotated[
        list[str] | None, typer.Option(help=f"{common.OUTSIDE} Replaces the suite's networks; repeatable.")
    ] = None,
    architecture_option: common.ArchitectureOption = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Run only this task, or those that match a pattern like 'ring-*'; repeatable."),
    ] = None,
    seed: common.Seed = 1,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="Number of parallel processes (default: one per core).")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on this dask.distributed cluster, like tcp://host:8786.")
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Run only the K-th of N shares of the runs, for an array of jobs."),
    ] = None,
    device: common.Device = "auto",
    quiet: common.Quiet = False,
) -> None:
    """Run a suite: exact references, networks, errors, tables and plots. After Ctrl-C the same command resumes."""
    from rich.console import Console

    from vanbench.compare.declare.task import Architecture, load_suite
    from vanbench.compare.run.suite import NothingMade, require_empty_or_run_folder, run_suite
    from vanbench.compare.show.figures import write_plots
    from vanbench.compare.show.tables import growth_of, render, table, write_tables

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("torchrun is for one run, `vanbench track`: distribute a suite with --jobs or --scheduler.")
    declared = load_suite(suite).only(task or [])
    out = out or Path("runs") / file_name(declared.name)
    require_empty_or_run_folder(out)
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs}: at least one process must run.")
    if jobs is not None and scheduler is not None:
        raise InputError("--jobs is for this machine: the cluster at --scheduler has its own workers.")
    if architecture_option and not architecture:
        raise InputError(f"{parse.ARCHITECTURE_OPTION} needs --architecture.")
    networks = [Architecture.of(name, architecture_option or []) for name in architecture or []]
    asked = parse.part(part) if part is not None else (1, 1)
    stderr = common.console(quiet)
    with common.interruptible("the same command resumes from here."):
        try:
            summary = run_suite(declared, out, networks or None, seed, jobs, device, stderr, scheduler, asked)
        except NothingMade as nothing:
            summary = nothing.summary
    _report(summary, Console(stderr=True, highlight=False, soft_wrap=True, emoji=False))
    if part is not None:
        common.say(f"part {part}: {_made(summary)}.")
        common.say(f"`vanbench status {out}` says what is left; then the command without --part writes the tables.")
    elif summary.made + summary.kept:
        try:
            written = [*write_tables(out), *write_plots(out)]
        except OSError as error:
            if fault := fault_of_machine(error):
                raise InputError(f"{fault} No half-written file is left; the same command resumes.") from error
            raise
        cases = table(out, "size")
        typer.echo(render(cases, "md", growth_of(out, cases)))
        common.say(f"{_made(summary)}; {len(written)} tables and plots.")
        common.say(f"Everything is in {out.resolve()}")
    if summary.failures:
        raise typer.Exit(CRASH if any(failure.crash for failure in summary.failures) else INCOMPLETE)


def _made(summary: Summary) -> str:
    there = "was" if summary.kept == 1 else "were"
    return f"{counted(summary.made, 'record')} made, {summary.kept} {there} there"


def _report(summary: Summary, stderr: Console) -> None:
    from vanbench.compare.show import warned

    warned.tell(warned.grouped(summary.warnings))
    for failure in summary.failures:
        stderr.print(printable(f"failed: {failure.job.label}: {failure.failure}"), style="bold red", markup=False)
        if failure.crash:
            stderr.print(visible(failure.crash), markup=False)
