"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vanbench.compare.declare import parse
from vanbench.compare.exits import SIGNAL
from vanbench.compare.show.escape import printable

if TYPE_CHECKING:
    from rich.console import Console

OUTSIDE = "A name (see `vanbench list`), file.py:name, or package.module:name."
System = Annotated[str, typer.Argument(help=OUTSIDE)]
Shape = Annotated[str, typer.Option("--shape", help="Lattice lengths, like 8 or 4x6 or 2x3x4.")]
Params = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", help="A parameter of the system, NAME=VALUE; edges=FILE reads a CSV edge list."),
]
ArchitectureOption = Annotated[
    list[str] | None,
    typer.Option(
        parse.ARCHITECTURE_OPTION,
        "--arch-option",
        help="A hyperparameter of the network, NAME=VALUE; or write it in the name: gru:width=12,layers=2.",
    ),
]
Initial = Annotated[str | None, typer.Option(help="Initial distribution: stationary, up, down, bernoulli:0.3, +x, ...")]
Observable = Annotated[str, typer.Option(help="The counter that the counting field s tilts.")]
Format = Annotated[str, typer.Option("--format", help="Output format: table, json or csv.")]
Seed = Annotated[int, typer.Option(callback=parse.seed, help="Seed from which all random numbers derive.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress on stderr.")]
Device = Annotated[str, typer.Option(help="Device: auto, cpu or cuda.")]


LOG_WIDTH = 120


def parameters(params: list[str] | None, initial: str | None) -> dict[str, Any]:
    """``-p`` options and ``--initial`` as parameters of a system."""
    given = parse.options(params or [])
    if initial is not None:
        given["initial"] = initial
    return given


def aside() -> redirect_stdout[Any]:
    """Inside, what somebody's network or system prints goes to stderr: stdout is for the command's own answer."""
    return redirect_stdout(sys.stderr)


@contextmanager
def interruptible(advice: str) -> Iterator[None]:
    """Around work, `aside`: an ending signal (see `signals`) ends the command with the code for it, and with what to do
    next."""
    try:
        with aside():
            yield
    except KeyboardInterrupt as stop:
        typer.echo(f"interrupted: {advice}", err=True)
        stop.told = True  # type: ignore[attr-defined]
        raise typer.Exit(getattr(stop, "code", SIGNAL + 2)) from None


def say(text: object) -> None:
    """A line on stdout, of names that may be anybody's."""
    typer.echo(printable(text))


def first_process() -> bool:
    """Whether this one, of several under ``torchrun``, checks, writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def telling(quiet: bool, title: str) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows a line of progress on stderr; under ``quiet`` nothing, without an import."""
    if quiet:
        yield lambda text: None
        return
    from vanbench.compare.run import progress

    with progress.status(console(quiet), title) as tell:
        yield tell


def console(quiet: bool) -> Console:
    """Where progress goes: stderr, or nowhere; of several processes under ``torchrun`` the first speaks."""
    from rich.console import Console

    quiet = quiet or not first_process()
    width = None if sys.stderr.isatty() else LOG_WIDTH
    return Console(stderr=True, quiet=quiet, highlight=False, emoji=False, width=width)
