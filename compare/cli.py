"""The command ``vanbench``; its exit codes stand in `exits`."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vanbench.compare import exits, signals
from vanbench.compare.show.escape import sentence
from vanbench.compare.streams import forgiving
from vanbench.exact.errors import InputError
from vanbench.exact.files import fault_of_machine, out_of_memory, unloadable
from vanbench.exact.imports import foreign
from vanbench.exact.registry import PluginWarning

if TYPE_CHECKING:
    from rich.console import Console

COMMANDS = (
    "list",
    "exact",
    "track",
    "learn",
    "equilibrium",
    "cycles",
    "run",
    "import_",
    "evaluate",
    "status",
    "table",
    "gate",
    "conform",
    "report",
    "study",
    "goals",
)


CODES = "Exit codes: 0 fine, 1 worse (a verdict), 2 bad input, 3 cannot compare, 4 crash, 5 some runs left no record."


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib import metadata

        typer.echo(f"vanbench {metadata.version('vanbench')}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """How wrong is this autoregressive network, on which physics, at which size, and why?"""


def application(arguments: Sequence[str] = ()) -> typer.Typer:
    """The command line. Where ``arguments`` begin with a command, that alone: to build them all takes longer than many
    an answer."""
    app = typer.Typer(
        name="vanbench",
        epilog=CODES,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(options)
    asked = [name for name in COMMANDS if list(arguments[:1]) == [name.rstrip("_")]]
    for name in asked or COMMANDS:
        importlib.import_module(f"vanbench.compare.commands.{name}").register(app)
    return app


@contextmanager
def _plugin_warnings() -> Iterator[None]:
    """Inside, what is wrong with somebody's entry point is one line on stderr."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
        if issubclass(category, PluginWarning):
            _stderr().print(f"warning: {message}", style="yellow", markup=False)
        else:
            shown(message, category, *where)

    with warnings.catch_warnings():  # which puts ``showwarning`` back
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with one of the codes of `exits`; a user's mistake is one line on stderr."""
    with forgiving():
        code = _code(arguments)
    sys.exit(code)


def _code(arguments: list[str] | None) -> int:
    came: list[signals.Stopped] = []
    try:
        _own_modules()
        words = sys.argv[1:] if arguments is None else arguments
        _check(words)
        with signals.raised() as came, _plugin_warnings():
            code = application(words)(args=words, standalone_mode=False)
            sys.stdout.flush()
        return _stopped(came[0]) if came else code if isinstance(code, int) else exits.OK
    except BaseException as error:
        return _stopped(came[0]) if came else _failed(error)


def _stopped(stop: signals.Stopped) -> int:
    """Of a command that a signal ended, whatever others made of it on its way here."""
    if not stop.told:
        _stderr().print("interrupted: no half-written file is left; the same command starts again.", markup=False)
    return stop.code


def _failed(error: BaseException) -> int:
    """A sentence for what is no defect of this program. Somebody's code may end it, and 1 is a verdict."""
    if isinstance(error, KeyboardInterrupt):
        return exits.SIGNAL + 2
    if isinstance(error, InputError):
        told = str(error)
    elif out_of_memory(error):
        told = f"there is not enough memory: {error}".removesuffix(": ") + "."
    elif hasattr(error, "format_message"):  # those of the command line's own parser have one
        return _tell_usage(error)
    elif (isinstance(error, OSError) and (fault := fault_of_machine(error))) or (fault := unloadable(error)):
        told = fault
    elif not isinstance(error, OSError) and (place := foreign(error)):
        told = f"in code outside vanbench, {place}: {type(error).__name__}: {error}"
    else:
        return _crash()
    return _tell(told)


def _own_modules() -> None:
    """A user's own my_package.my_module:MyNet stands in the folder that the command is given in."""
    try:
        here = os.getcwd()
    except FileNotFoundError:
        raise InputError("the current folder no longer exists: change to another one.") from None
    if here not in sys.path:
        sys.path.insert(0, here)


def _check(arguments: list[str]) -> None:
    """Raise ``InputError`` for what no argument can be: nothing, as of a shell variable that is not set, or a NUL."""
    for before, argument in zip(["vanbench", *arguments], arguments):
        name, equals, value = argument.partition("=")
        if not argument or (name.startswith("--") and equals and not value):
            raise InputError(f"{name or before!r} has an empty value: is a variable of the shell not set?")
        if "\0" in argument:
            raise InputError(f"{argument!r} contains a NUL character, which no name may have.")


def _stderr() -> Console:
    from rich.console import Console  # imported where something is told

    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def _tell(text: str) -> int:
    _stderr().print(f"error: {sentence(text)}", style="bold red", markup=False)
    return exits.BAD_INPUT


def _tell_usage(error: Any) -> int:
    if type(error).__name__ != "NoArgsIsHelpError":  # which was told
        command = getattr(getattr(error, "ctx", None), "command_path", "vanbench")
        _tell(f"{error.format_message().rstrip('.')}: see `{command} --help`.")
    return exits.BAD_INPUT


def _crash() -> int:
    stderr = _stderr()
    stderr.print_exception(show_locals=False)
    stderr.print("crash: this is a defect of vanbench, not of your input.", style="bold red")
    return exits.CRASH


if __name__ == "__main__":
    main()
