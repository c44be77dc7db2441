"""``vanbench evaluate``: a trained network against the exact distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.declare import parse

EXAMPLE = (
    """Example: vanbench evaluate east --shape 3x3 --architecture my_nets.py:MyNet --state net.pt --s 0.1 --times 1"""
)


def register(app: typer.Typer) -> None:
    app.command("evaluate", epilog=EXAMPLE)(evaluate)


def evaluate(
    system: common.System,
    shape: common.Shape,
    state: Annotated[
        Path, typer.Option(help="Trained parameters: .safetensors, a state_dict as torch saves it, or a checkpoint.")
    ],
    s: Annotated[str, typer.Option("--s", help="Counting fields, like 0.1,0.2.")],
    times: Annotated[str, typer.Option(help="Times of the exact distributions, like 1,10 or 0.5:5:0.5.")],
    architecture: Annotated[str, typer.Option(help=common.OUTSIDE)] = "made",
    architecture_option: common.ArchitectureOption = None,
    param: common.Params = None,
    quantities: Annotated[str | None, typer.Option(help="Averages to compare, names joined by commas.")] = None,
    observable: common.Observable = "activity",
    initial: common.Initial = None,
    form: common.Format = "table",
) -> None:
    """Compare a trained network with the exact distribution: distances, observables, and later errors of ln Z."""
    from vanbench.compare.judge.evaluation import evaluate as judged
    from vanbench.compare.show.output import check_format, emit
    from vanbench.exact import build
    from vanbench.neural import architectures
    from vanbench.neural.outside.loaded import networks

    check_format(form)
    with common.aside():
        built = build(system, parse.shape(shape), **common.parameters(param, initial))
    architecture, options = parse.architecture(architecture, architecture_option or [])
    names = parse.names(quantities) if quantities else None
    fields, grid = parse.numbers(s, "--s"), parse.numbers(times, "--times")
    with common.aside():
        table = judged(built, networks(built, architecture, state, options), fields, grid, names, observable)
    head = {"system": built.name, "shape": list(built.shape), "params": dict(built.params), "observable": observable}
    title = f"{built.name} {shape}, {architectures.name_of(architecture)}, {state}"
    emit(form, table, {**head, "architecture": architecture, "state": str(state)}, title)
