"""Other people's networks through `vanbench.wrap`: right densities, every tracker, one sentence for what is wrong."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import brought_networks as brought
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vanbench.exact import InputError, build
from vanbench.exact.registry import PluginWarning
from vanbench.neural import ARCHITECTURES, Autoregressive, Ensemble, track, wrap
from vanbench.neural.outside.copies import duplicate, lost
from vanbench.neural.outside.probe import order_of, perturb, shifted
from vanbench.neural.trackers.tangent.regression import scores

# the smallest numbers with which every step is gone through
QUICK: dict[str, dict[str, Any]] = {
    "kl": {"dt": 0.1, "samples": 20, "epochs": 2, "first_epochs": 2},
    "natural-gradient": {"dt": 0.1, "samples": 20},
    "log-ratio": {"dt": 0.1, "samples": 20},
    "tdvp": {"dt": 0.1, "samples": 20},
    "l1": {"dt": 0.1, "samples": 20, "epochs": 2},
    "ritz": {"flow_samples": 20, "samples": 100, "second": 20},
    "guided-clones": {"clones": 40, "populations": 2, "samples": 20, "dt": 0.1},
}
SLOW = ("ritz", "guided-clones")


def made(cls: type[Autoregressive], d: int = 2, seed: int = 1) -> Autoregressive:
    torch.manual_seed(seed)
    net = cls(brought.SHAPE.get(cls, (4,)), d)
    return net.to(getattr(torch, cls.dtypes[0]))


def states(n: int, d: int) -> Tensor:
    return torch.tensor(list(itertools.product(range(d), repeat=n)), dtype=torch.int8)


each = pytest.mark.parametrize("cls", brought.WRAPPED, ids=lambda cls: cls.__name__)


@each
def test_density_samples_and_start(cls: type[Autoregressive]) -> None:
    for d in (2, 3):
        if cls.local_dims is not None and d not in cls.local_dims:
            with pytest.raises(InputError, match="local dimension 2, not 3"):
                made(cls, d)
            continue
        net = made(cls, d)
        perturb(net, torch.Generator().manual_seed(2))
        x, exact = states(net.n_sites, d), 1e-12 if cls.dtypes[0] == "float64" else 1e-5  # roundings of 81 terms
        assert net.log_prob(x).exp().sum().item() == pytest.approx(1, abs=exact)
        product = np.random.default_rng(0).dirichlet(np.ones(d), net.n_sites)
        net.initialise(product)
        expected = product[np.arange(net.n_sites), x.numpy()].prod(1)
        np.testing.assert_allclose(net.log_prob(x).exp().detach().numpy(), expected, atol=exact)
        assert any(p.any() for name, p in net.named_parameters() if name != "site_bias"), "not all is set to zero"


@each
def test_copies_hold_what_the_ensemble_moves(cls: type[Autoregressive]) -> None:
    net = made(cls)
    assert not lost(net, states(4, 2))
    ensemble = Ensemble(net, 2)
    for value in ensemble.parameters.values():
        value.detach().add_(0.1 * torch.randn_like(value))
    x = ensemble.sample(6, torch.Generator().manual_seed(1))
    for r in range(2):
        torch.testing.assert_close(ensemble.copy_of(r).log_prob(x[r]), ensemble.log_prob(x)[r].detach())


@each
def test_scores_are_gradients_of_each_configuration(cls: type[Autoregressive]) -> None:
    """Against plain backward passes, whether ``vmap`` can batch them or not."""
    net = made(cls)
    perturb(net, torch.Generator().manual_seed(2))
    x = states(4, 2)[::5]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)
        given = torch.cat(list(scores(Ensemble(net, 1), x[None])))[0]
    for row, score in zip(x, given):
        net.zero_grad()
        net.log_prob(row[None]).sum().backward()
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in net.parameters()]
        torch.testing.assert_close(score, torch.cat([part.reshape(-1) for part in parts]))


def test_a_mask_in_the_data_is_seen_by_gradients() -> None:
    """What a mask hides has no score, although a plain backward pass gives it one."""
    net = made(brought.Pixels)
    perturb(net, torch.Generator().manual_seed(2))
    net.log_prob(states(4, 2)[:5]).sum().backward()
    conv = net.net.net[0]
    assert conv.weight.grad[conv.mask > 0].any()
    assert not conv.weight.grad[conv.mask == 0].any()


@pytest.mark.parametrize(("cls", "told"), [(brought.Gru, 1), (brought.Pixels, 1), (brought.GruCells, 0)])
def test_slow_scores_are_told_once(cls: type[Autoregressive], told: int) -> None:
    ensemble = Ensemble(made(cls), 2)
    x = ensemble.sample(3, torch.Generator().manual_seed(1))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(2):
            list(scores(ensemble, x))
    assert len([w for w in seen if issubclass(w.category, PluginWarning)]) == told


@pytest.mark.parametrize(
    "tracker", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in QUICK]
)
@each
def test_every_tracker_moves_it(cls: type[Autoregressive], tracker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "brought", cls)
    system = build("east", brought.SHAPE.get(cls, (3,)))
    s = [0.0] if tracker == "l1" else [0.1]
    run = {"architecture": "brought", "tracker": tracker, "tracker_options": QUICK[tracker], "dtype": cls.dtypes[0]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = track(system, s=s, times=[0.1], **run)
    assert np.isfinite(result.records["value"]).all()
    ln_z = result.records.query("quantity == 'ln_Z'")["value"].iloc[-1]
    exact = 0.0 if tracker == "l1" else -0.01427 if cls in brought.SHAPE else -0.0095  # `exact.solve`, to 1 %
    assert ln_z == pytest.approx(exact, abs=1e-3)


def test_orders_are_those_of_the_networks() -> None:
    rank = torch.randperm(6, generator=torch.Generator().manual_seed(3))
    assert brought.Masked((6,)).order == rank.argsort().tolist()
    snake = brought.Rows((3, 3)).order
    place = {site: k for k, site in enumerate(snake)}
    assert place[3] > place[4] > place[5], "the second row is met from the right"
    assert brought.Pixels((3, 3)).order == list(range(9))


def test_an_order_of_ones_own_is_held_to() -> None:
    right = wrap(brought.MADE, order=lambda shape: brought.Masked(shape).order)
    assert right((5,)).order == brought.Masked((5,)).order
    with pytest.raises(InputError, match=r"leaks: site \d sees site \d.*order='auto' takes it"):
        wrap(brought.MADE, order=[0, 1, 2, 3, 4])((5,))
    with pytest.raises(InputError, match="each of the 5 sites once"):
        wrap(brought.MADE, order=[0, 1])((5,))


class Leaky(nn.Module):
    """A linear layer with a mask of ``sees``, and what may be put before it."""

    def __init__(self, sees: Tensor, before: nn.Module | None = None):
        super().__init__()
        self.before, self.net = before or nn.Identity(), brought.MaskedLinear(sees)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.before(x))


ONES = torch.ones(4, 4)


@pytest.mark.parametrize(
    ("module", "options", "says"),
    [
        (lambda shape: Leaky(ONES), {}, "site 0 sees itself.*there is no mask"),
        (lambda shape: Leaky(ONES.tril()), {}, "site 0 sees itself.*shift=True"),
        (lambda shape: Leaky(ONES - torch.eye(4)), {}, "sites 0 and 1 see each other"),
        (lambda shape: Leaky(torch.eye(4).roll(1, 0)), {}, "in a cycle"),
        (lambda shape: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.InstanceNorm1d(2), nn.Flatten()), {}, "normalisation"),
        (lambda shape: nn.Linear(3, 4), {}, r"does not work on torch.float64 of shape \(batch, 4\).*RuntimeError"),
        (lambda shape: nn.Linear(4, 3), {}, r"gives \(20, 3\) for a batch of 20, where \(20, 4\) is expected"),
        (lambda shape: nn.Linear(4, 4), {"input": "tokens"}, "torch.int64"),
        (lambda shape: brought.Single(4), {"dtypes": ("float64", "float32")}, r"dtypes = \('float32',\)"),
        (lambda shape: 3, {}, "not a torch module"),
    ],
)
def test_a_leak_or_a_misfit_is_named(module: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        wrap(module, **{"output": "logit_up", **options})((4,))


def test_wrong_words_are_refused_before_anything_is_made() -> None:
    for options, says in (
        ({"input": "spin"}, "did you mean 'spins'"),
        ({"output": "p_up", "local_dims": None}, "local_dims="),
        ({"channels": "flat", "layout": "image"}, "layout='sites'"),
        ({"dtypes": ()}, "dtypes is empty"),
        ({"order": "raster"}, "'auto'"),
    ):
        with pytest.raises(InputError, match=says):
            wrap(brought.MADE, **options)
    with pytest.raises(InputError, match=r"needs outputs, which has no default.*lambda shape: Linear"):
        wrap(type("Linear", (nn.Module,), {"__init__": lambda self, inputs, outputs: None}))
    with pytest.raises(InputError, match="a torch module"):
        wrap(3)  # type: ignore[arg-type]


def test_a_module_itself_is_for_its_shape() -> None:
    module = brought.MADE((4,))
    net = wrap(module)((4,))
    perturb(net)
    assert module.net[0].weight is not net.net.net[0].weight
    with pytest.raises(InputError, match="does not work"):
        wrap(module)((5,))


def test_hyperparameters_and_the_random_state() -> None:
    from vanbench.neural.architectures import hyperparameters

    assert hyperparameters(brought.Pixels) == {"layers": 2}
    assert sum(isinstance(m, brought.MaskedConv) for m in brought.Pixels((2, 2), layers=3).modules()) == 3
    torch.manual_seed(4)
    brought.Bare(4)
    plain = torch.rand(1)
    torch.manual_seed(4)
    brought.Parameters((4,))
    assert torch.equal(torch.rand(1), plain), "finding the order draws no numbers of others"


def test_dropout_is_off_whatever_the_mode() -> None:
    net = made(brought.Gpt).train()
    x = states(4, 2)
    assert torch.equal(net.log_prob(x), net.log_prob(x))


def test_closures_belong_to_the_copy() -> None:
    block = brought.Block(4)
    twin = duplicate(block)
    x = torch.randn(2, 4, brought.WIDTH)
    with torch.no_grad():
        for parameter in block.mlp.parameters():
            parameter.zero_()
    assert not block.eval().mlpf(x).any()
    assert twin.eval().mlpf(x).any()


def test_values_above_what_a_byte_holds() -> None:
    """200 values a site: two sites, whose samples are in range and whose density is normalised."""
    net = made(wrap(brought.Recurrent, input="onehot", local_dims=None), 200)
    x = net.sample(300, torch.Generator().manual_seed(1))
    assert x.dtype == torch.int16
    assert 127 < x.max() < 200
    assert x.min() >= 0
    pair = wrap(brought.Recurrent, input="onehot", local_dims=(200,))((2,), 200).double()
    values = torch.cartesian_prod(torch.arange(200), torch.arange(200)).to(torch.int16)
    assert pair.log_prob(values).exp().sum().item() == pytest.approx(1, abs=1e-12)
    pair.initialise(np.full((2, 200), 1 / 200))
    assert pair.log_prob(values[:3]).tolist() == pytest.approx([-2 * math.log(200)] * 3)


def test_limits_are_said_before_work() -> None:
    system = build("east", (3,))
    with pytest.raises(InputError, match="Single is for float32: take dtype float32"):
        track(system, times=[0.1], architecture="brought_networks:Float32", tracker="tdvp")
    square = wrap(brought.PixelCNN, layout="image", output="p_up", square=True)
    with pytest.raises(InputError, match="equal lengths"):
        square((2, 3))
    with pytest.raises(InputError, match="lattices of dimension 2"):
        square((3,))

    class Free(Autoregressive):
        pinning = False

    with pytest.raises(InputError, match="cannot be restricted"):
        Free((3,)).restrict({0: 1})
    assert Free((3,)).restrict({}) is not None


def test_orders_from_what_sees_what() -> None:
    lower = torch.ones(4, 4).tril(-1).bool()
    assert order_of(lower) == [0, 1, 2, 3]
    assert order_of(lower.T) == [3, 2, 1, 0]
    assert order_of(torch.zeros(3, 3, dtype=torch.bool)) == [0, 1, 2]
    assert order_of(lower | torch.eye(4, dtype=torch.bool)) is None
    assert shifted(lower | torch.eye(4, dtype=torch.bool)) == [0, 1, 2, 3]
    assert shifted(lower) is None
