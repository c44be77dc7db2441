"""What neighbour evaluation that reuses prefixes, and ``torch.compile``, gain on this machine.

    vanbench study tang2024 speed [--shape 4x4] [--samples 1000] [--networks made,gru2d] [--device cuda] [--out FILE.md]

For each network, CPU milliseconds of one thread in float64, or those on the wall of a GPU: samples and the density of a
batch; all single-site neighbours of the batch in the network's own way and one by one; a gradient of the density (what
each epoch of ``kl`` takes), as it is and compiled; and float32 beside float64. `tests/benchmarks` has the same in
pytest-benchmark.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer

from vanbench.compare.declare import parse
from vanbench.compare.show.grid import markdown
from vanbench.compare.studies.tang2024.clock import ON_CPU, Where
from vanbench.exact import InputError
from vanbench.exact.files import write_text
from vanbench.neural import Autoregressive, build

NETWORKS = "sitewise,made,gru,gru2d,pixelcnn,gated-pixelcnn,transformer,graph"


def measure(
    name: str, shape: tuple[int, ...], samples: int, compiled: bool = True, where: Where = ON_CPU
) -> dict[str, Any]:
    """One row of the table: milliseconds, the smallest of a few repetitions."""
    torch.manual_seed(0)
    net = build(name, shape).double().to(where.device)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        x = net.sample(samples)
        moves = np.eye(net.n_sites, dtype=np.int8)
        row = {
            "network": name,
            "parameters": sum(p.numel() for p in net.parameters()),
            "samples": where.ms(lambda: net.sample(samples)),
            "density": where.ms(lambda: net.log_prob(x)),
            "neighbours": where.ms(lambda: net.log_prob_moves(x, moves)),
            "one by one": where.ms(lambda: Autoregressive.log_prob_moves(net, x, moves)),
        }
    row["gradient"] = where.ms(lambda: _gradient(net.log_prob, net, x))
    if compiled:
        row.update(_compiled(net, x, where))
    single = build(name, shape).float().to(where.device)
    row["float32"] = where.ms(lambda: _gradient(single.log_prob, single, x))
    return row


def _compiled(net: Autoregressive, x: torch.Tensor, where: Where) -> dict[str, float]:
    torch._dynamo.reset()
    fast = torch.compile(net.log_prob, dynamic=False)
    began = time.perf_counter()
    _gradient(fast, net, x)
    return {"to compile (s)": time.perf_counter() - began, "compiled": where.ms(lambda: _gradient(fast, net, x))}


def _gradient(log_prob: Callable[[torch.Tensor], torch.Tensor], net: Autoregressive, x: torch.Tensor) -> None:
    net.zero_grad()
    log_prob(x).sum().backward()


def main(
    shape: Annotated[str, typer.Option(help="Lattice lengths.")] = "4x4",
    samples: Annotated[int, typer.Option(help="Number of configurations in the batch.")] = 1000,
    networks: Annotated[str, typer.Option(help="Names of networks, joined by commas.")] = NETWORKS,
    compiled: Annotated[bool, typer.Option(help="Measure torch.compile too (needs a C++ compiler).")] = True,
    device: Annotated[str, typer.Option(help="Device: cpu or cuda.")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Markdown file (default: standard output).")] = None,
) -> None:
    """Time neighbour evaluation and torch.compile, and print or write the table."""
    torch.set_num_threads(1)
    where, rows = Where(device), []
    try:
        where.check()
        for name in networks.split(","):
            rows.append(measure(name, parse.shape(shape), samples, compiled, where))
            typer.echo(f"{name}: {rows[-1]}", err=True)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    table = markdown(pd.DataFrame(rows), ".3g")
    text = f"Milliseconds, {where.name}, {shape}, {samples} samples.\n\n{table}\n"
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
