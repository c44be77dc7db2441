"""``vanbench study``: the published studies, each a folder of `compare.studies` with an ``app`` in ``command.py``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from vanbench.compare import studies
from vanbench.compare.show.grid import Grid
from vanbench.exact.errors import unknown

EXAMPLE = "Example: vanbench study tang2024 critical runs/tang2024-a"
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def register(app: typer.Typer) -> None:
    passed: dict[str, Any] = {"context_settings": PASSED_ON, "add_help_option": False}
    app.command("study", epilog=EXAMPLE, **passed)(study)
    for name in names():  # `vanbench standing add` is `vanbench study standing add`
        app.command(name, hidden=True, **passed)(_alias(name))


def names() -> list[str]:
    """The studies: folders beside each other, no list of them."""
    return sorted(path.parent.name for path in Path(studies.__path__[0]).glob("*/command.py"))


def _alias(name: str) -> Callable[[typer.Context], None]:
    def command(context: typer.Context) -> None:
        study(context, name)

    return command


def study(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[STUDY] [COMMAND] ...", help="One of the studies.")] = None,
) -> None:
    """Make the tables, figures and pages of a published study; without a name, list the studies."""
    if name in (None, "--help"):
        if name:
            typer.echo(context.get_help())
        rows = [[study, (import_module(_module(study)).__doc__ or "").strip()] for study in names()]
        Grid(["study", "what it is"], rows).show()
        return
    if name not in names():
        raise unknown("study", name, names())
    command = typer.main.get_command(import_module(f"{_module(name)}.command").app)
    code = command.main(list(context.args), prog_name=f"vanbench study {name}", standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)


def _module(name: str) -> str:
    return f"{studies.__name__}.{name}"
