"""``vanbench list``: what there is."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from vanbench.compare.declare.lookup import default_parameters
from vanbench.compare.declare.task import load_suite, suites
from vanbench.compare.learn.cycles.suites import DEFAULTS
from vanbench.compare.learn.cycles.suites import SUITES as CYCLES
from vanbench.compare.show.grid import Grid
from vanbench.exact import SYSTEMS
from vanbench.exact.errors import unknown
from vanbench.exact.systems import ALIASES

KINDS = ("systems", "architectures", "trackers", "suites")
ISING = ("ising", "J, h, plaquette; with --temperatures: the equilibrium model")


def register(app: typer.Typer) -> None:
    app.command("list", epilog="Example: vanbench list systems")(list_)


def list_(
    what: Annotated[
        str | None, typer.Argument(help="systems, architectures, trackers or suites; all if left out.")
    ] = None,
) -> None:
    """The systems, architectures, trackers and suites that exist, with their options."""
    if what is not None and what not in KINDS:
        raise unknown("list", what, list(KINDS))
    tables = {"systems": _systems, "architectures": _architectures, "trackers": _trackers, "suites": _suites}
    for kind in KINDS if what is None else (what,):
        headings, rows = tables[kind]()
        Grid(headings, rows).show(title=kind)


def _systems() -> tuple[list[str], list[list[str]]]:
    also = {name: [alias for alias, of in ALIASES.items() if of == name] for name in SYSTEMS}
    rows = [[", ".join([name, *also[name]]), _options(default_parameters(name))] for name in SYSTEMS]
    return ["system", "parameters and defaults"], [*rows, list(ISING)]


def _architectures() -> tuple[list[str], list[list[str]]]:
    from importlib.metadata import entry_points

    from vanbench.neural.architectures import ARCHITECTURES, ENTRY_POINTS, find, hyperparameters

    names = [*ARCHITECTURES, *(entry.name for entry in entry_points(group=ENTRY_POINTS))]
    rows = []
    for name in names:
        cls = find(name)
        known = hyperparameters(cls)
        rows.append([name, "any" if known is None else _options(known), _first_line(cls)])
    return ["architecture", "options and defaults", "what it is"], rows


def _trackers() -> tuple[list[str], list[list[str]]]:
    from vanbench.neural.trackers import TRACKERS

    rows = []
    for name, make in TRACKERS.items():
        signature = inspect.signature(make).parameters
        options = {key: p.default for key, p in signature.items() if key != "problem"}
        rows.append([name, _options(options), _first_line(make)])
    return ["tracker", "options and defaults", "what it does"], rows


def _suites() -> tuple[list[str], list[list[str]]]:
    rows = []
    for name in suites():
        suite = load_suite(name)
        runs = sum(1 for task in suite.tasks for _ in task.runs())
        rows.append([name, f"{len(suite.tasks)} tasks, {runs} runs", suite.description])
    for name, given in CYCLES.items():
        chosen = {**DEFAULTS, **given}
        what = f"latent cycles, {chosen['data']}, {chosen['reading']}: vanbench cycles {name}"
        rows.append([name, f"{chosen['runs']} models", what])
    return ["suite", "size", "what it is for"], rows


def _options(defaults: dict) -> str:
    empty = inspect.Parameter.empty
    return ", ".join(key if value is empty or value is None else f"{key}={value}" for key, value in defaults.items())


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]
