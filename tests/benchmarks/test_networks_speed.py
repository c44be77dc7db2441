"""How fast the networks are, each beside a peer that does the same the plain way. ``make benchmark``.

One thread, float64, a 4 x 4 lattice: 1000 configurations, each with its 16 neighbours. The peers: a full pass for
each site (sampling), every neighbour evaluated on its own (neighbours).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.neural import ARCHITECTURES, Autoregressive, build
from vanbench.neural.architectures.incremental import Incremental

pytestmark = pytest.mark.benchmark
ROWS, SHAPE = 1000, (4, 4)
MOVES = np.eye(16, dtype=np.int8)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        yield
    torch.set_num_threads(before)


def network(name: str) -> tuple[Autoregressive, torch.Tensor]:
    torch.manual_seed(0)
    net = build(name, SHAPE).double()
    return net, net.sample(ROWS)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_log_prob(benchmark, name):
    net, x = network(name)
    benchmark.group = f"{name}: log_prob of {ROWS}"
    benchmark(net.log_prob, x)


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_gradient(benchmark, name):
    net, x = network(name)
    benchmark.group = f"{name}: gradient over {ROWS}"

    def gradient():
        with torch.enable_grad():
            net.zero_grad()
            net.log_prob(x).sum().backward()

    benchmark(gradient)


@pytest.mark.parametrize("way", ["cached", "full-passes"])
@pytest.mark.parametrize("name", [name for name, cls in ARCHITECTURES.items() if issubclass(cls, Incremental)])
def test_draw(benchmark, name, way, monkeypatch):
    net, _ = network(name)
    uniforms = torch.rand(ROWS, net.n_sites, dtype=torch.float64)
    if way == "full-passes":
        monkeypatch.setattr(Incremental, "step", Autoregressive.step)
    benchmark.group = f"{name}: draw {ROWS}"
    benchmark.pedantic(net.draw, (uniforms,), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("used", ["all", "half"])
@pytest.mark.parametrize("way", ["shared-prefix", "each"])
@pytest.mark.parametrize("name", [name for name, cls in ARCHITECTURES.items() if issubclass(cls, Incremental)])
def test_neighbours(benchmark, name, way, used, monkeypatch):
    net, x = network(name)
    mask = None if used == "all" else torch.rand(ROWS, len(MOVES)) < 0.5
    monkeypatch.setattr("vanbench.neural.architectures.incremental.WORTHWHILE", 0.0)
    cls = Incremental if way == "shared-prefix" else Autoregressive  # also where the network itself prefers the other
    evaluate = cls.log_prob_moves.__get__(net)
    benchmark.group = f"{name}: {used} of the {len(MOVES)} neighbours of {ROWS}"
    benchmark.pedantic(evaluate, (x, MOVES, mask), rounds=3, warmup_rounds=1)
