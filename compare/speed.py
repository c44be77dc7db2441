"""What neighbour evaluation that reuses prefixes, and ``torch.compile``, gain on this machine.

    python -m compare.speed [--shape 4x4] [--samples 1000] [--networks made,gru2d] [--out FILE.md]

For each network, CPU seconds of one thread in float64: the density of a batch; all single-site neighbours of the batch
in the network's own way and one by one; a gradient of the density (what each epoch of ``kl`` takes), as it is and
compiled; and float32 beside float64. `tests/benchmarks` has the same in pytest-benchmark.
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

from neural import Autoregressive, build

from . import parse
from .record import write_text

NETWORKS = "sitewise,made,gru,gru2d,pixelcnn,gated-pixelcnn,transformer,graph"
REPEATS = 5


def measure(name: str, shape: tuple[int, ...], samples: int, compiled: bool = True) -> dict[str, Any]:
    """One row of the table: milliseconds, the smallest of a few repetitions."""
    torch.manual_seed(0)
    net = build(name, shape).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        x = net.sample(samples)
        moves = np.eye(net.n_sites, dtype=np.int8)
        row = {
            "network": name,
            "parameters": sum(p.numel() for p in net.parameters()),
            "density": _ms(lambda: net.log_prob(x)),
            "neighbours": _ms(lambda: net.log_prob_moves(x, moves)),
            "one by one": _ms(lambda: Autoregressive.log_prob_moves(net, x, moves)),
        }
    row["gradient"] = _ms(lambda: _gradient(net.log_prob, net, x))
    if compiled:
        row.update(_compiled(net, x))
    single = build(name, shape).float()
    row["float32"] = _ms(lambda: _gradient(single.log_prob, single, x))
    return row


def _compiled(net: Autoregressive, x: torch.Tensor) -> dict[str, float]:
    torch._dynamo.reset()
    fast = torch.compile(net.log_prob, dynamic=False)
    began = time.perf_counter()
    _gradient(fast, net, x)
    return {"to compile (s)": time.perf_counter() - began, "compiled": _ms(lambda: _gradient(fast, net, x))}


def _gradient(log_prob: Callable[[torch.Tensor], torch.Tensor], net: Autoregressive, x: torch.Tensor) -> None:
    net.zero_grad()
    log_prob(x).sum().backward()


def _ms(work: Callable[[], Any]) -> float:
    work()
    spent = []
    for _ in range(REPEATS):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return 1e3 * min(spent)


def main(
    shape: Annotated[str, typer.Option(help="Lattice lengths.")] = "4x4",
    samples: Annotated[int, typer.Option(help="Configurations of the batch.")] = 1000,
    networks: Annotated[str, typer.Option(help="Names joined by commas.")] = NETWORKS,
    compiled: Annotated[bool, typer.Option(help="Measure torch.compile too (a C++ compiler is needed).")] = True,
    out: Annotated[Path | None, typer.Option(help="Markdown file; printed if left out.")] = None,
) -> None:
    """Measure and print or write the table."""
    torch.set_num_threads(1)
    rows = [measure(name, parse.shape(shape), samples, compiled) for name in networks.split(",")]
    text = pd.DataFrame(rows).to_markdown(index=False, floatfmt=".3g") + "\n"
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


if __name__ == "__main__":
    typer.run(main)
