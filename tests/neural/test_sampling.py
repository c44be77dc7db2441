"""Sampling by inversion stays on the support whatever uniform numbers it meets, the ends of the interval included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vanbench.exact import Excluding, FixedSum, System
from vanbench.exact.trajectories.jumptables import draw_starts
from vanbench.neural import ARCHITECTURES, Ensemble, build
from vanbench.neural.architectures import find
from vanbench.neural.autoregressive import integers, inverted
from vanbench.neural.learning.reweight import tempered

DTYPES = [torch.float32, torch.float64]
SHAPES = {1: (6,), 2: (2, 3), 3: (1, 2, 3)}  # six sites


def ends(dtype: torch.dtype) -> list[float]:
    info = torch.finfo(dtype)
    return [0.0, info.smallest_normal, info.eps / 2, 1 - info.eps / 2, 1.0]


def supports(d: int) -> dict:
    sites = range(6)
    return {
        "pins and excluded": ({2: 0}, Excluding([[0] * 6, [d - 1, 0, 0, 0, 0, 0]])),
        **{f"sum {m}": ({}, FixedSum(m)) for m in (1, 6 * (d - 1))},
        "pins and sum": ({site: d - 1 for site in sites if site % 2}, FixedSum(3 * (d - 1) + 1)),
    }


@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "table"])
def test_no_uniform_number_leads_off_the_support(name, dtype, d):
    """All of one value, and each site's own; networks near the product start and far from it."""
    shape = SHAPES[max(find(name).dimensions)]
    choice = torch.tensor(ends(dtype), dtype=dtype)
    mixed = choice[torch.randint(len(choice), (40, 6), generator=torch.Generator().manual_seed(1))]
    uniforms = torch.cat([choice[:, None].expand(-1, 6), mixed])
    for pinned, support in supports(d).values():
        for size in (0.0, 30.0):
            torch.manual_seed(2)
            net = build(name, shape, d).to(dtype).restrict(pinned, support)
            net.initialise(np.full((6, d), 1 / d))
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.add_(size * torch.randn_like(parameter))
            x = Ensemble(net, 1).draw(dict(Ensemble(net, 1).parameters), uniforms[None])[0]
            kept = x[~net.rejected(x)]  # `sample` draws those again
            assert ((kept >= 0) & (kept < d)).all()
            assert torch.isfinite(net.log_prob(kept)).all(), (pinned, support, size)


@given(
    st.lists(st.sampled_from([0.0, 1e-30, 1e-7, 0.1, 0.3, 1.0]), min_size=2, max_size=6).filter(any),
    st.sampled_from([0.0, 1e-38, 2.0**-25, 0.5, 1 - 2.0**-24, 1 - 2.0**-53, 1.0]),
    st.sampled_from(DTYPES),
)
@settings(max_examples=300, deadline=None)
def test_a_value_of_probability_zero_is_never_taken(weights, uniform, dtype):
    p = torch.tensor(weights, dtype=dtype)
    p = p / p.sum()
    value = int(inverted(p, torch.tensor(uniform, dtype=dtype)))
    assert p[value] > 0
    below = float(p.double()[:value].sum())
    rounding = 8 * torch.finfo(dtype).eps
    assert below - rounding <= uniform <= below + float(p[value]) + rounding


def test_sharpened_conditionals_keep_to_what_is_possible(monkeypatch):
    """At a low temperature all but one value underflow, and with them their share of the interval."""
    net = build("made", (3,), 3).double().initialise(np.full((3, 3), 1 / 3))
    with torch.no_grad():
        net.site_bias.copy_(torch.tensor([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0]]))

    def forcing(number):
        return lambda *size, generator, dtype: torch.full(size, number, dtype=dtype)

    for number in ends(torch.float64):
        monkeypatch.setattr(torch, "rand", forcing(number))
        x, _, ln_q = tempered(net, torch.tensor([1e4, 3e5], dtype=torch.float64), torch.Generator())
        assert x.tolist() == [[0, 1, 2]] * 2
        assert (ln_q == 0).all()


def test_starts_of_walkers_have_no_value_of_probability_zero():
    class Forced:
        def __init__(self, value):
            self.value = value

        def random(self, size):
            return np.full(size, self.value)

    thirds = np.array([[0.0, 0.7, 0.2, 0.1], [0.1, 0.2, 0.7, 0.0], [0.7, 0.2, 0.1, 0.0]])
    system = System("one", (3,), 4, (), thirds)
    for value in (0.0, 5e-324, 1 - 2.0**-53):
        x = draw_starts(system, 5, Forced(value))
        assert (system.initial[np.arange(3), x] > 0).all()


def test_values_fit_their_integers():
    for d in (2, 128, 129, 300):
        assert torch.iinfo(integers(d)).max >= d - 1
    assert integers(128) is torch.int8


def test_starts_of_three_values_are_drawn_as_often_as_they_are_likely(rng):
    likely = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]])
    x = draw_starts(System("still", (2,), 3, (), likely), 4000, rng)
    often = np.stack([(x == value).mean(0) for value in range(3)], 1)
    assert np.abs(often - likely).max() < 5 * np.sqrt(0.25 / 4000)
    assert (x[:, 1] == 1).all()
