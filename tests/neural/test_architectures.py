"""What every registered network must keep; a new entry of the registry is met here on arrival."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from vanbench.compare.conform.case import KINDS, Case, restrict
from vanbench.compare.conform.contract import CHECKS, RESTRICTED, attempt, cases
from vanbench.exact import InputError
from vanbench.neural import ARCHITECTURES, Autoregressive, Ensemble, build
from vanbench.neural.architectures import Sitewise, find
from vanbench.neural.architectures.lattice import strings

SUMMED = 1e-12  # rounding of float64 sums over at most 256 states
every = pytest.mark.parametrize("name", list(ARCHITECTURES))


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def make(name: str, shape=(2, 3), d=2, kind="none", seed=0) -> Autoregressive:
    """A network far from its start: every parameter moved by random numbers."""
    torch.manual_seed(seed)
    net = build(name, shape, d).double()
    restrict(net, kind)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return net


def states(net: Autoregressive) -> Tensor:
    return torch.tensor(list(itertools.product(range(net.local_dim), repeat=net.n_sites)), dtype=torch.int8)


@every
@pytest.mark.parametrize("check", list(CHECKS))
def test_contract(name, check):
    """What ``vanbench conform`` asks of a stranger's network, of every registered one; d = 3 besides."""
    torch.set_default_dtype(torch.float32)  # as a user has it
    cls = ARCHITECTURES[name]
    for case in [*cases(cls, cls), Case(cls, (2, 2), 3)]:
        restricted = check in RESTRICTED and len(case.shape) == 2 and case.d != 3  # the command does it on all
        for kind in KINDS if restricted else ["none"]:
            result = attempt(check, replace(case, kind=kind))
            assert result.status != "failed", result


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in ("bernoulli", "pixelcnn", "mixture")])
@pytest.mark.parametrize(("shape", "d"), [((6,), 2), ((3, 4), 2), ((2, 2, 3), 2), ((3, 2), 4)])
def test_a_site_sees_every_site_before_it(name, shape, d):
    net = make(name, shape, d)
    torch.manual_seed(3)
    x = torch.randint(0, d, (3, net.n_sites), dtype=torch.int8)
    logits = net.logits(x)
    for k, site in enumerate(net.order[:-1]):
        y = x.clone()
        y[:, site] = (y[:, site] + 1) % d
        changed = (net.logits(y) - logits).abs().amax((0, 2))[net.order]
        assert (changed[k + 1 :] > 1e-12).all()  # influence is of order 0.1, rounding below 1e-14


def test_pixelcnn_has_the_blind_spot_that_the_gated_one_has_not():
    for name, blind in (("pixelcnn", True), ("gated-pixelcnn", False)):
        torch.manual_seed(0)
        net = build(name, (2, 6), radius=1)
        with torch.no_grad():
            net.output.weight.normal_()
        x = torch.zeros(1, 12, dtype=torch.int8)
        y = x.clone()
        y[0, 5] = 1  # the end of the first line, seen from the start of the second
        seen = (net.logits(y) - net.logits(x))[0, 6].abs().max().item() > 1e-12
        assert seen != blind


@every
@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_is_its_networks(name, kind):
    net = make(name, (2, 3), 2, kind)
    ensemble = Ensemble(net, 3)
    assert ensemble.batched, "vmap cannot batch this network"
    with torch.no_grad():
        for p in ensemble.parameters.values():
            p.add_(0.2 * torch.randn_like(p))
    members = [ensemble.copy_of(r) for r in range(3)]
    x = ensemble.sample(20, torch.Generator().manual_seed(1))
    deltas = np.eye(6, dtype=np.int8)
    alone = Ensemble(members[1], 1)
    for r, member in enumerate(members):
        # rounding of batched products; the density of an unlikely state is the sum of large terms
        torch.testing.assert_close(ensemble.log_prob(x)[r], member.log_prob(x[r]), atol=1e-11, rtol=1e-11)
        moves = ensemble.log_prob_moves(x, deltas)[r]
        torch.testing.assert_close(moves, member.log_prob_moves(x[r], deltas), atol=1e-11, rtol=1e-11)
    if "excluding" not in kind:  # there the rejections of one replica go on to the next draw of all
        torch.testing.assert_close(alone.sample(20, torch.Generator().manual_seed(1))[0], x[1])
    used = torch.rand(1, 20, 6) < 0.5
    moves = alone.log_prob_moves(x[1:2], deltas, used=used)[used]
    torch.testing.assert_close(moves, members[1].log_prob_moves(x[1], deltas)[used[0]], atol=1e-11, rtol=1e-11)


@every
def test_bad_hyperparameters_are_refused(name):
    with pytest.raises(InputError, match=r"did you mean|there is no|unknown|known"):
        build(name, (2, 2), no_such_option=1)


# -- what only some networks have ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "d"), [((5,), 2), ((2, 2), 4)])
@pytest.mark.parametrize("kind", KINDS)
def test_sitewise_scores_and_blocks(shape, d, kind):
    net = make("sitewise", shape, d, kind)
    x = net.sample(6)
    each = vmap(grad(lambda p, y: functional_call(net, p, (y[None],))[0]), in_dims=(None, 0))
    expected = torch.cat([g.flatten(1) for g in each(dict(net.named_parameters()), x).values()], 1)
    torch.testing.assert_close(net.scores(x), expected, atol=1e-12, rtol=1e-12)
    blocks = net.site_blocks()
    if "excluding" in kind:
        assert blocks is None
        return
    everything = states(net)[Case(Sitewise, shape, d, kind).allowed(states(net))]
    o, p = net.scores(everything), net.log_prob(everything).exp()
    fisher = (o * p[:, None]).T @ o
    for a, b in itertools.combinations(blocks, 2):
        assert fisher[a[:, None], b].abs().max() < 1e-12  # an exact sum over all states
    assert torch.cat(blocks).unique().numel() == sum(map(len, blocks))


@pytest.mark.parametrize("network", ["transformer", "made", "gru2d", "gated-pixelcnn"])
def test_mixture_is_the_mean_over_its_strings(network):
    shape = (2, 3)
    net = build("mixture", shape, strings=8, network=network)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    x = states(net)
    total = torch.zeros(len(x))
    for k in range(1, 9):
        alone = build("mixture", shape, strings=[k], network=network)
        alone.load_state_dict(net.state_dict())
        total += alone.log_prob(x).exp() / 8
    torch.testing.assert_close(net.log_prob(x).exp(), total, atol=SUMMED, rtol=1e-11)


def test_a_mixture_over_all_strings_keeps_the_symmetries_of_the_square():
    net = make("mixture", (3, 3), seed=3)
    full = build("mixture", (3, 3), strings=8)
    full.load_state_dict(net.state_dict())
    with torch.no_grad():
        full.site_bias.zero_()  # a field of its own on each site would break the symmetry
    x = torch.randint(0, 2, (20, 3, 3), dtype=torch.int8)
    images = [torch.rot90(y, k, (1, 2)) for y in (x, x.transpose(1, 2)) for k in range(4)]
    log_prob = full.log_prob(x.flatten(1))
    for image in images:
        torch.testing.assert_close(full.log_prob(image.flatten(1)), log_prob, atol=1e-12, rtol=1e-12)
    # the images permute among themselves only if "1..8" are all of them; two strings do not do it
    assert (net.log_prob(images[1].flatten(1)) - net.log_prob(x.flatten(1))).abs().max() > 1e-3


def test_strings_of_a_rectangle_are_these():
    """Sites 0 1 2 above 3 4 5: from each corner along rows, then along columns, the opposite corner next."""
    assert strings((2, 3)) == [
        [0, 1, 2, 3, 4, 5],
        [0, 1, 2, 5, 4, 3], [0, 3, 4, 1, 2, 5], [5, 4, 3, 0, 1, 2], [5, 2, 1, 4, 3, 0],
        [2, 1, 0, 3, 4, 5], [2, 5, 4, 1, 0, 3], [3, 4, 5, 2, 1, 0], [3, 0, 1, 4, 5, 2],
    ]  # fmt: skip
    assert strings((3,)) == [[0, 1, 2], [0, 1, 2], [2, 1, 0]]


def test_strings_of_a_box_take_one_step_at_a_time():
    """48 different paths in three dimensions, each step to a neighbour; six from each corner, the opposite one next."""
    shape = (2, 3, 4)
    found = strings(shape)[1:]
    assert len({tuple(path) for path in found}) == 48
    at = np.stack(np.unravel_index(np.array(found), shape), -1)
    assert (np.abs(np.diff(at, axis=1)).sum(-1) == 1).all()
    begins = at[:, 0].reshape(8, 6, 3)
    assert (begins == begins[:, :1]).all()
    assert (begins[0::2] + begins[1::2] == np.array(shape) - 1).all()
    first_axis = [tuple(np.argsort([np.flatnonzero(np.diff(path[:, k]))[0] for k in range(3)])) for path in at[:6]]
    assert first_axis == [(2, 1, 0), (1, 2, 0), (2, 0, 1), (0, 2, 1), (1, 0, 2), (0, 1, 2)]  # the last axis is fastest


def test_mixture_string_numbers():
    assert build("mixture", (2, 3), strings=0)._paths == [[0, 1, 2, 3, 4, 5]]
    assert build("mixture", (2, 3), strings=2)._paths == [[0, 1, 2, 5, 4, 3], [0, 3, 4, 1, 2, 5]]
    for bad in (9, [0, 0], [-1], []):
        with pytest.raises(InputError, match="string"):
            build("mixture", (2, 3), strings=bad)
    with pytest.raises(InputError, match="no conditionals"):
        build("mixture", (2, 3)).conditionals(torch.zeros(1, 6, dtype=torch.int8))


def test_graph_follows_the_edges_it_is_given():
    edges = [[0, 3], [3, 4], [1, 4]]
    net = build("graph", (5,), edges=edges)
    assert net._before == [[], [], [], [0], [1, 3]]
    assert build("graph", (2, 2))._before == [[], [0], [0], [1, 2]]
    for bad in ([[0, 5]], [[1, 1]], [[0, 1, 2]]):
        with pytest.raises(InputError, match="two different nodes"):
            build("graph", (5,), edges=bad)


def test_gru2d_runs_along_the_snake():
    net = build("gru2d", (2, 3))
    assert net.order == [0, 1, 2, 5, 4, 3]
    # rank 4 is site (1, 1): above it site 1 of rank 1, beside it site 5 of rank 3
    assert net._before[4] == [1, 3]
    assert math.prod(net.shape) == len(net._before)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(InputError, match="gated-pixelcnn"):
        find("gated-pixelcn")


@every
def test_values_are_two_and_networks_one_unless_more_are_asked_for(name):
    net = find(name)((3, 3))
    assert net.local_dim == 2
    assert Ensemble(net).replicas == 1
