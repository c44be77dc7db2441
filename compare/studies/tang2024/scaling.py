"""How the cost of a step grows with the lattice: 2D South-East, one process; CPU seconds, or those of a GPU.

vanbench study tang2024 scaling --lengths 4,6,8,12,16 --tracker-option picture=symmetrised \\
  --out results/tang2024/scaling.md
vanbench study tang2024 scaling --lengths 4,6,8,12,16,32 --device cuda --dtype float32 --fields 16
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer

from vanbench.compare.declare import parse
from vanbench.compare.show.grid import Grid
from vanbench.compare.studies.tang2024.clock import ON_CPU, Where
from vanbench.exact import InputError, build
from vanbench.exact.files import append_text
from vanbench.exact.statistics import fitted_line
from vanbench.neural import Ensemble, trackers
from vanbench.neural import build as network
from vanbench.neural.run.asked import DTYPES
from vanbench.neural.trackers import Problem


def time_per_step(
    tracker: str, architecture: str, length: int, steps: int = 2, where: Where = ON_CPU, **options: Any
) -> tuple[float, int]:
    """Seconds of one step on a ``length x length`` lattice (the least of ``steps``), and the parameters.

    The first step, which compiles and fills caches, is not counted.
    """
    system = build("east", (length, length), c=0.5)
    torch.manual_seed(1)
    net = network(architecture, system.shape).restrict(system.pinned, system.support)
    net = net.to(device=where.device, dtype=DTYPES[where.dtype]).initialise(system.initial)
    generator = torch.Generator(where.device).manual_seed(1)
    fields = np.linspace(0.05, 0.15, where.fields).tolist() if where.fields > 1 else [0.1]
    problem = Problem(system, fields, "activity", Ensemble(net, len(fields)), generator)
    runner = trackers.make(tracker, options)
    state, taken = runner.init(problem), []
    for _ in range(steps + 1):
        began = where.clock()
        state, _ = runner.step(problem, state, 0.01)
        taken.append(where.clock() - began)
    return min(taken[1:]), problem.ensemble.n_parameters


def exponent(sites: np.ndarray, seconds: np.ndarray) -> float:
    """``a`` of ``seconds ~ sites^a``, least squares of the logarithms over the larger half of the sizes."""
    half = len(sites) // 2 if len(sites) > 3 else 0
    return fitted_line(np.log(sites[half:]), np.log(seconds[half:]))[0]


def main(
    lengths: Annotated[str, typer.Option(help="Side lengths, like 4,6,8.")] = "4,6,8,12,16,32",
    tracker: Annotated[str, typer.Option(help="A name (see `vanbench list trackers`).")] = "tdvp",
    architecture: Annotated[str, typer.Option(help="A name (see `vanbench list architectures`).")] = "sitewise",
    tracker_option: Annotated[list[str] | None, typer.Option(help="An option of the tracker, NAME=VALUE.")] = None,
    device: Annotated[str, typer.Option(help="Device: cpu or cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Precision: float64 or float32.")] = "float64",
    fields: Annotated[int, typer.Option(min=1, help="Number of counting fields side by side.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Markdown file to append to (default: standard output).")] = None,
) -> None:
    """Time a step of a tracker on 2D South-East lattices, and fit the exponent."""
    options = parse.options(tracker_option or [], "--tracker-option")
    rows, where = [], Where(device, dtype, fields)
    try:
        where.check()
        trackers.make(tracker, options)
        for length in (int(value) for value in parse.numbers(lengths, "--lengths")):
            try:
                seconds, parameters = time_per_step(tracker, architecture, length, where=where, **options)
            except torch.cuda.OutOfMemoryError:
                typer.echo(f"{length}x{length}: the memory of the GPU is too small; the table ends here.", err=True)
                break
            rows.append({"sites": length**2, "parameters": parameters, "seconds": seconds})
            typer.echo(f"{tracker} {architecture} {length}x{length}: {seconds:.3g} s a step", err=True)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    if not rows:
        raise typer.Exit(2)
    text = _markdown(pd.DataFrame(rows), tracker, architecture, options, where)
    if out is None:
        typer.echo(text)
    else:
        append_text(out, text)


def _markdown(table: pd.DataFrame, tracker: str, architecture: str, options: dict[str, Any], where: Where) -> str:
    told = ", ".join(f"{key} = {value}" for key, value in options.items()) or "default options"
    rows = [[str(int(r.sites)), str(int(r.parameters)), f"{r.seconds:.3g}"] for r in table.itertuples()]
    body = Grid(["sites N", "parameters", "CPU s a step" if where.device == "cpu" else "s a step"], rows).markdown()
    grows = ""
    if len(table) > 1:
        grows = f"\nTime grows as N^{exponent(table.sites.to_numpy(float), table.seconds.to_numpy()):.2f}.\n"
    return f"### {tracker}, {architecture} ({told}; {where})\n\n{body}\n{grows}\n"
