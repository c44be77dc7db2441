"""How the cost of a step grows with the lattice: 2D South-East, one process, CPU seconds.

python -m compare.scaling --lengths 4,6,8,12,16 --out results/tang2024/scaling.md
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from tabulate import tabulate

from exact import InputError, build
from neural import Ensemble, trackers
from neural import build as network
from neural.trackers import Problem

from . import parse


def time_per_step(tracker: str, architecture: str, length: int, steps: int = 2, **options: Any) -> tuple[float, int]:
    """CPU seconds of one step on a ``length x length`` lattice (the least of ``steps``), and the parameters.

    The first step, which compiles and fills caches, is not counted.
    """
    system = build("east", (length, length), c=0.5)
    torch.manual_seed(1)
    net = network(architecture, system.shape).double().restrict(system.pinned, system.support)
    net.initialise(system.initial)
    problem = Problem(system, [0.1], "activity", Ensemble(net, 1), torch.Generator().manual_seed(1))
    runner = trackers.build(tracker, problem, **options)
    taken = []
    for _ in range(steps + 1):
        began = time.process_time()
        runner.step(0.01)
        taken.append(time.process_time() - began)
    return min(taken[1:]), problem.ensemble.n_parameters


def exponent(sites: np.ndarray, seconds: np.ndarray) -> float:
    """``a`` of ``seconds ~ sites^a``, least squares of the logarithms over the larger half of the sizes."""
    half = len(sites) // 2 if len(sites) > 3 else 0
    return float(np.polyfit(np.log(sites[half:]), np.log(seconds[half:]), 1)[0])


def main(
    lengths: Annotated[str, typer.Option(help="Side lengths, like 4,6,8.")] = "4,6,8,12,16,32",
    tracker: Annotated[str, typer.Option(help="A name (see `vanbench list trackers`).")] = "tdvp-symmetric",
    architecture: Annotated[str, typer.Option(help="A name (see `vanbench list architectures`).")] = "sitewise",
    tracker_option: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, an option of the tracker.")] = None,
    out: Annotated[Path | None, typer.Option(help="Markdown file to add to; else standard output.")] = None,
) -> None:
    """Time a step of a tracker on 2D South-East lattices, and fit the exponent."""
    options = parse.options(tracker_option or [], "--tracker-option")
    rows = []
    try:
        trackers.check(tracker, options)
        for length in (int(value) for value in parse.numbers(lengths, "--lengths")):
            seconds, parameters = time_per_step(tracker, architecture, length, **options)
            rows.append({"sites": length**2, "parameters": parameters, "seconds": seconds})
            typer.echo(f"{tracker} {architecture} {length}x{length}: {seconds:.3g} s a step", err=True)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    text = _markdown(pd.DataFrame(rows), tracker, architecture, options)
    if out is None:
        typer.echo(text)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a") as file:
            file.write(text)


def _markdown(table: pd.DataFrame, tracker: str, architecture: str, options: dict[str, Any]) -> str:
    told = ", ".join(f"{key} = {value}" for key, value in options.items()) or "default options"
    cells = [[int(r.sites), int(r.parameters), f"{r.seconds:.3g}"] for r in table.itertuples()]
    body = tabulate(cells, ["sites N", "parameters", "CPU s a step"], tablefmt="pipe", disable_numparse=True)
    grows = ""
    if len(table) > 1:
        grows = f"\nTime grows as N^{exponent(table.sites.to_numpy(float), table.seconds.to_numpy()):.2f}.\n"
    return f"### {tracker}, {architecture} ({told})\n\n{body}\n{grows}\n"


if __name__ == "__main__":
    typer.run(main)
