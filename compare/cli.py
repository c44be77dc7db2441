"""The command ``vanbench``.

Exit codes: 0 fine; 1 accuracy got worse; 2 bad input; 3 cannot compare; 4 crash, a defect of this program; 5 some runs
left no record; 130 interrupted (the folder can be resumed).
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Annotated, Any

import typer
from rich.console import Console

from vanbench.exact import InputError
from vanbench.exact.imports import foreign
from vanbench.exact.registry import PluginWarning

OK, REGRESSION, BAD_INPUT, CANNOT_COMPARE, CRASH, INCOMPLETE = range(6)  # 130: `commands.common.interruptible`
COMMANDS = ("list", "exact", "track", "learn", "cycles", "run", "table", "gate", "conform", "report", "study", "goals")

app = typer.Typer(
    name="vanbench",
    epilog="Exit codes: 0 fine, 1 accuracy got worse, 2 bad input, 3 cannot compare, 4 crash, 5 runs without a record.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"vanbench {metadata.version('vanbench')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """How wrong is this autoregressive network, on which physics, at which size, and why?"""


def _register() -> None:
    for name in COMMANDS:
        importlib.import_module(f"vanbench.compare.commands.{name}").register(app)


_register()


@contextmanager
def _plugin_warnings(stderr: Console) -> Iterator[None]:
    """Inside, what is wrong with somebody's entry point is one line on stderr."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, PluginWarning):
            stderr.print(f"warning: {message}", style="yellow", markup=False)
        else:
            shown(message, category, *where)

    with warnings.catch_warnings():  # which puts ``showwarning`` back
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with one of the codes above; a user's mistake is one line on stderr."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # a user's own my_package.my_module:MyNet
    stderr = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    try:
        with _plugin_warnings(stderr):
            app(args=arguments)
    except InputError as error:
        stderr.print(f"error: {error}", style="bold red", markup=False)
        sys.exit(BAD_INPUT)
    except (BrokenPipeError, SystemExit):
        raise
    except OSError as error:  # a folder that cannot be written, a full disk
        if error.filename is None or error.strerror is None:
            raise
        stderr.print(f"error: {str(error.filename)!r}: {error.strerror}.", style="bold red", markup=False)
        sys.exit(BAD_INPUT)
    except Exception as error:
        place = foreign(error)
        if place is not None:
            text = f"{place}: {type(error).__name__}: {error}"
            stderr.print(f"error: in code that is not of vanbench, {text}", style="bold red", markup=False)
            sys.exit(BAD_INPUT)
        stderr.print_exception(show_locals=False)
        stderr.print("crash: this is a defect of vanbench, not of your input.", style="bold red")
        sys.exit(CRASH)


if __name__ == "__main__":
    main()
