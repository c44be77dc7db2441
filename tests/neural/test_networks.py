"""The base of the networks, ensembles, and the registry; what each architecture keeps is in test_architectures."""

from __future__ import annotations

import itertools
import sys
import types

import numpy as np
import pytest
import torch
from torch import Tensor

from vanbench.exact import Connections, InputError
from vanbench.exact import build as build_system
from vanbench.neural import ARCHITECTURES, Autoregressive, Ensemble, build
from vanbench.neural.architectures import find, hyperparameters


class Pair(Autoregressive):
    """A user's network: two logits from the site before, no caches, nothing but ``logits``."""

    def __init__(self, shape, local_dim=2, scale: float = 1.0):
        super().__init__(shape, local_dim)
        self.output = torch.nn.Linear(1, local_dim, bias=False)
        self.scale = scale

    def logits(self, x: Tensor) -> Tensor:
        before = torch.nn.functional.pad(x[:, :-1].to(self.site_bias.dtype), (1, 0))
        return self.output(self.scale * before[..., None])


class Uncached(Pair):
    """One that vmap cannot batch: Python looks at the numbers."""

    def logits(self, x: Tensor) -> Tensor:
        if x.sum() < 0:
            raise AssertionError
        return super().logits(x)


def states(n: int, d: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(d), repeat=n)), dtype=torch.int8)


@pytest.mark.parametrize("d", [2, 3])
def test_a_network_needs_only_logits(d):
    net = Pair((4,), d).double()
    x = states(4, d)
    assert net.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-13)  # 81 terms of float64
    by_hand = torch.log_softmax(net.output.weight[:, 0] * x[:, :1].double() + net.site_bias[1], -1)
    by_hand = by_hand.gather(1, x[:, 1:2].long())[:, 0]
    torch.testing.assert_close(net.conditionals(x)[torch.arange(len(x)), 1, x[:, 1].long()], by_hand)
    product = np.random.default_rng(1).dirichlet(np.ones(d), 4)
    net.initialise(product)
    expected = torch.tensor(product[np.arange(4), x.numpy()].prod(1))
    torch.testing.assert_close(net.log_prob(x).exp(), expected)


def test_ensembles_loop_where_vmap_cannot():
    for cls, batched in ((Pair, True), (Uncached, False)):
        ensemble = Ensemble(cls((4,)).double(), 2)
        assert ensemble.batched is batched
        x = ensemble.sample(8)
        for r in range(2):
            torch.testing.assert_close(ensemble.log_prob(x)[r], ensemble.copy_of(r).log_prob(x[r]))


def test_equal_numbers_give_equal_samples_up_to_the_change_of_the_network():
    net = build("made", (4, 4)).double()
    ensemble = Ensemble(net, 2)
    with torch.no_grad():
        ensemble.parameters["site_bias"][1, 0, 1] += 1e-3
    x = ensemble.sample(4000)
    # the first site flips where its uniform number falls between two values of its probability, 2.5e-4 apart
    assert (x[0] != x[1]).any(-1).double().mean() < 5e-3


def test_the_table_is_any_distribution():
    p = np.random.default_rng(2).dirichlet(np.ones(16))
    net = build("table", (4,)).double()
    x = states(4, 2)
    with torch.no_grad():
        net.site_bias.zero_()
        for k in range(4):
            for row in x[:, :k].unique(dim=0) if k else [x[0, :0]]:
                same = (x[:, :k] == row).all(1).numpy()
                weights = [p[same & (x[:, k] == v).numpy()].sum() for v in (0, 1)]
                prefix = int(row.long() @ 2 ** torch.arange(k)) + 2**k - 1
                net.output.weight[prefix] = torch.tensor(np.log(weights))
    torch.testing.assert_close(net.log_prob(x).exp(), torch.tensor(p))


@pytest.mark.parametrize("name", ["made", "sitewise", "gru2d", "transformer", "mixture", "bernoulli"])
def test_neighbours_give_the_local_ratio(name):
    system = build_system("east", (3, 3), c=0.3)
    net = build(name, (3, 3)).double().restrict(system.pinned, system.support)
    net.initialise(system.initial)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn_like(p))
    for fields in ([0.1], [0.1, -0.2]):
        ensemble, connections = Ensemble(net, len(fields)), Connections(system, fields)
        x = ensemble.sample(30)
        rates, here = connections.incoming_rates(x), ensemble.log_prob(x)
        moves = ensemble.log_prob_moves(x, connections.deltas, used=rates != 0)
        found = connections.diagonal(x) + (rates * torch.exp(moves - here[..., None])).sum(-1)
        expected = connections.local_ratio(x, ensemble.log_prob, here)
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)  # rounding of exponents of order ten


def test_registry_finds_modules_and_refuses_what_is_no_network(monkeypatch):
    module = types.ModuleType("someones_networks")
    module.Pair, module.Number = Pair, 3
    monkeypatch.setitem(sys.modules, "someones_networks", module)
    assert find("someones_networks:Pair") is Pair
    assert build("someones_networks:Pair", (3,), scale=2.0).scale == 2.0
    assert hyperparameters(Pair) == {"scale": 1.0}
    with pytest.raises(InputError, match="subclass"):
        find("someones_networks:Number")
    with pytest.raises(InputError, match="cannot be loaded"):
        find("no_such_package:Net")
    with pytest.raises(InputError, match="made"):
        find("mad")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("made", {"hidden": 0}),
        ("sitewise", {"units": -1}),
        ("gru", {"width": 0}),
        ("gru2d", {"width": 0}),
        ("pixelcnn", {"radius": 0}),
        ("gated-pixelcnn", {"layers": 0}),
        ("transformer", {"width": 30, "heads": 4}),
        ("graph", {"width": -1}),
        ("mixture", {"network": "mixture"}),
    ],
)
def test_hyperparameters_that_make_no_network(name, options):
    with pytest.raises(InputError):
        build(name, (2, 2), **options)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "table"])
def test_a_16_by_16_lattice_runs(name):
    net = build(name, (16, 16))
    x = net.sample(2)
    assert torch.isfinite(net.log_prob(x)).all()


@pytest.mark.parametrize(("dtype", "sharper"), [(torch.float32, 30.0), (torch.float64, 100.0)])
def test_sharp_attention_of_all_prefixes_at_once_stays_finite(dtype, sharper):
    """Scores far below the largest of all prefixes are the largest of their own: no exponential may vanish for them."""
    torch.manual_seed(0)
    net = build("transformer", (6,)).to(dtype)
    net.output.weight.data.normal_()
    net.blocks[0].queries.weight.data *= sharper  # scores of some hundreds in float32, thousands in float64
    x = torch.as_tensor(list(itertools.product((0, 1), repeat=6)), dtype=torch.int8)
    at_once = net.log_prob_all(x)
    assert torch.allclose(at_once, net.log_prob(x), atol=1e-4 if dtype == torch.float32 else 1e-12)
    at_once.logsumexp(0).backward()
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)
