"""Tables over all configurations: the tree of prefixes against each configuration by itself, W against its matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.exact import StateSpace, build
from vanbench.exact.sparse.generator import generator
from vanbench.neural import architectures
from vanbench.neural import build as network
from vanbench.neural.tables import TableGenerator, configurations

GROWN = ["gru", "transformer", "made", "sitewise", "polynomial", "matrix-product", "table"]
CASES = [(name, (5,), {}) for name in GROWN]
CASES += [(name, (2, 3), {}) for name in ("gru2d", "gated-pixelcnn", "transformer")]  # gru2d: not in raster order
CASES += [("mixture", (2, 3), {"strings": strings}) for strings in (0, 1, 4)]
CASES += [("mixture", (2, 3), {"strings": 3, "network": "gru2d"})]


def randomised(name, shape, d, options):
    torch.manual_seed(3)
    net = network(name, shape, d, **options).double()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return net


@pytest.mark.parametrize(("name", "shape", "options"), CASES)
def test_all_configurations_at_once_are_each_by_itself(name, shape, options):
    for d in (2, 4):
        net = randomised(name, shape, d, options)
        x = configurations(net.n_sites, d)
        each, at_once = net.log_prob(x), net.log_prob_all(x)
        torch.testing.assert_close(at_once, each, rtol=0, atol=1e-12)  # sums of ten terms of order one
        factors = torch.randn(len(x), dtype=torch.float64)
        parameters = [p for p in net.parameters() if p.requires_grad]
        found = torch.autograd.grad(factors @ at_once, parameters)
        want = torch.autograd.grad(factors @ each, parameters)
        torch.testing.assert_close(found, want, rtol=1e-9, atol=1e-9)


def test_the_same_on_a_restricted_support():
    system = build("fa", (2, 3), boundary="down")
    x = configurations(6, 2)
    for name in ("transformer", "mixture"):
        net = randomised(name, (2, 3), 2, {}).restrict(system.pinned, system.support)
        assert net.log_prob_all(x)[0] == -torch.inf  # all down
        torch.testing.assert_close(net.log_prob_all(x), net.log_prob(x), rtol=0, atol=1e-12)
    pinned = randomised("transformer", (5,), 2, {}).restrict({0: 1})
    total = pinned.log_prob_all(configurations(5, 2)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_every_network_gives_its_table():
    for name in architectures.ARCHITECTURES:
        net = randomised(name, (4,) if 1 in architectures.find(name).dimensions else (2, 2), 2, {})
        assert net.log_prob_all(configurations(4, 2)).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "shape", "params"),
    [
        ("heisenberg", (2, 2), {"Jx": 0.9, "Jy": 1.8, "B": 0.3}),
        ("tfim", (3,), {"g": 0.7, "povm": "4-pauli"}),
        ("fa", (2, 3), {}),
        ("east", (3, 2), {}),
        ("asep", (5,), {}),
    ],
)
def test_the_generator_on_a_table_is_its_matrix(name, shape, params):
    system = build(name, shape, **params)
    n, d, space = system.n_sites, system.local_dim, StateSpace(build(name, shape, **params))
    v = np.random.default_rng(1).standard_normal(space.size)
    codes = torch.as_tensor(space.configurations().astype(np.int64)) @ d ** torch.arange(n - 1, -1, -1)
    table = torch.zeros(d**n, dtype=torch.float64)
    table[codes] = torch.as_tensor(v)
    found = TableGenerator(system, table)(table)
    assert abs(found[codes].numpy() - generator(system) @ v).max() < 1e-13
    assert abs(found.sum()) < 1e-12  # nothing leaves the support
