"""``vanbench list``: what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from vanbench.exact.errors import unknown

KINDS = ("systems", "architectures", "trackers", "quantities", "suites")


def register(app: typer.Typer) -> None:
    app.command("list", epilog="Example: vanbench list systems")(list_)


def list_(
    what: Annotated[
        str | None, typer.Argument(help="systems, architectures, trackers, quantities or suites (default: all).")
    ] = None,
) -> None:
    """List the available systems, architectures, trackers, quantities and suites, with their options."""
    if what is not None and what not in KINDS:
        raise unknown("list", what, list(KINDS))
    from vanbench.compare.show.grid import Grid

    tables = {
        "systems": _systems,
        "architectures": _architectures,
        "quantities": _quantities,
        "suites": _suites,
    }
    for kind in KINDS if what is None else (what,):
        if kind == "trackers":
            _print_trackers(options=what is not None)
            continue
        headings, rows = tables[kind]()
        Grid(headings, rows).show(title=kind)


def _print_trackers(options: bool) -> None:
    """The map of trackers, and with ``options`` those of each."""
    from vanbench.compare.show.grid import Grid
    from vanbench.neural.describe import described

    known = described()
    for title, table in known["trackers"].items():
        Grid(*table).show(title=title)
    for name, table in known["options"].items() if options else ():
        Grid(*table).show(title=f"options of {name}")


def _systems() -> tuple[list[str], list[list[str]]]:
    from vanbench.exact import SYSTEMS, systems
    from vanbench.neural.describe import defaults

    also = {name: [alias for alias, of in systems.ALIASES.items() if of == name] for name in SYSTEMS}
    names = [*SYSTEMS, *systems.REGISTRY.installed()]
    rows = [
        [", ".join([name, *also.get(name, [])]), systems.about(name), defaults(systems.parameters(name))]
        for name in names
    ]
    return ["system", "what it is", "parameters and defaults"], rows


def _architectures() -> tuple[list[str], list[list[str]]]:
    from vanbench.neural.describe import described

    headings, rows = described()["architectures"]
    return headings, rows


def _quantities() -> tuple[list[str], list[list[str]]]:
    from vanbench.exact.definitions import quantities

    rows = []
    for row in {**quantities.QUANTITIES, **quantities.REGISTRY.installed()}.values():
        cells = [row.name, ", ".join(row.axes), ", ".join(row.systems), ", ".join(row.by), row.error, row.about]
        rows.append(cells)
    return ["quantity", "axes", "systems", "given by", "error", "what it is"], rows


def _suites() -> tuple[list[str], list[list[str]]]:
    from vanbench.compare.declare.task import SUITES, load_suite
    from vanbench.compare.learn.cycles.suites import DEFAULTS
    from vanbench.compare.learn.cycles.suites import SUITES as CYCLES

    rows = []
    for name in sorted([*SUITES.builtin, *SUITES.installed()]):
        suite = load_suite(name)
        runs = sum(1 for task in suite.tasks for _ in task.runs())
        rows.append([name, f"{len(suite.tasks)} tasks, {runs} runs", suite.description])
    for name, given in CYCLES.items():
        chosen = {**DEFAULTS, **given}
        what = f"latent cycles, {chosen['data']}, {chosen['reading']}: vanbench cycles {name}"
        rows.append([name, f"{chosen['runs']} models", what])
    return ["suite", "size", "what it is for"], rows
