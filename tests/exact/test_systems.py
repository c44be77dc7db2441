"""The named systems: probability is conserved, product measures stand still, bad input is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vanbench.exact import SYSTEMS, InputError, StateSpace, build, generator, solve
from vanbench.exact.systems import parameters

GRAPH = [(0, 1), (1, 2), (2, 0), (2, 3), (4, 5), (3, 5), (0, 5)]
RATES = {"p": 1.3, "q": 0.4, "alpha": 0.7, "beta": 0.9, "gamma": 0.2, "delta": 0.35}
BOUNDARIES = ("up", "down", "open", "periodic")
KCM = [
    (name, shape, {"c": 0.27, "boundary": boundary, "pinned": pinned})
    for name in ("fa", "east")
    for shape in [(5,), (2, 3), (2, 2, 2)]
    for boundary in BOUNDARIES
    for pinned in ("none", "first", "1:1,2:0")
]
KCM += [("free", (5,), {"c": 0.27}), ("fa", (6,), {"c": 0.27, "edges": GRAPH})]
OTHERS = [("voter", shape, {"boundary": b}) for shape in [(5,), (2, 3), (2, 2, 2)] for b in BOUNDARIES]
OTHERS += [("voter", (6,), {"edges": GRAPH}), ("voter", (6,), {"boundary": "open", "pinned": "0:1,5:0"})]
OTHERS += [("asep", shape, {**RATES, "boundary": b}) for shape in [(5,), (3, 2)] for b in ("open", "periodic")]
OTHERS += [("ssep", shape, {"boundary": b}) for shape in [(5,), (2, 3)] for b in ("open", "periodic")]
ROUNDING = 1e-13  # of sums of at most a few dozen rates of order one


@pytest.mark.parametrize("case", KCM + OTHERS, ids=str)
def test_generator_is_a_generator(case):
    name, shape, options = case
    w = generator(build(name, shape, **options))
    assert np.abs(w.sum(axis=0)).max() < ROUNDING
    off = w.toarray() - np.diag(w.diagonal())
    assert off.min() >= 0
    assert (w.diagonal() <= 0).all()


@pytest.mark.parametrize("case", KCM, ids=str)
def test_product_measure_is_stationary(case):
    name, shape, options = case
    system = build(name, shape, **options)
    p = StateSpace(system).initial()
    assert p.sum() == pytest.approx(1, abs=1e-14)
    assert np.abs(generator(system) @ p).max() < ROUNDING
    w = generator(system).toarray()
    flow = w * p  # detailed balance
    np.testing.assert_allclose(flow, flow.T, atol=ROUNDING)


def test_restricted_product_measure():
    """2D FA: the product measure over ``1 - P(all down)``."""
    c, n = 0.3, 6
    space = StateSpace(build("fa", (2, 3), c=c))
    ups = space.configurations().sum(1)
    assert space.size == 2**n - 1
    assert ups.min() == 1
    want = c**ups * (1 - c) ** (n - ups) / (1 - (1 - c) ** n)
    np.testing.assert_allclose(space.initial(), want, rtol=1e-13)


def test_pinned_sites_keep_their_value_and_count():
    space = StateSpace(build("east", (2, 3), c=0.3))
    x = space.configurations()
    assert x.shape == (32, 6)
    assert (x[:, 0] == 1).all()
    assert StateSpace(build("east", (3,), c=0.3)).size == 8  # the chain has an up spin outside instead
    frame = solve(build("east", (2, 3), c=0.3), 0.0, 1.0, ("density",))
    assert frame["value"][0] == pytest.approx((1 + 5 * 0.3) / 6, rel=1e-12)


def test_index_and_decode_are_inverse():
    for system in (
        build("fa", (2, 3)),
        build("ssep", (6,), boundary="periodic"),
        build("east", (5,), pinned={1: 0, 3: 1}),
    ):
        space = StateSpace(system)
        np.testing.assert_array_equal(space.index(space.configurations()), np.arange(space.size))
        codes = space.configurations().astype(int) @ (1 << np.arange(system.n_sites - 1, -1, -1))
        assert (np.diff(codes) > 0).all()  # first site most significant


@pytest.mark.parametrize(("name", "density"), [("ssep", 4), ("asep", 4)])
def test_ring_starts_uniform_at_half_filling(name, density):
    space = StateSpace(build(name, (8,), boundary="periodic"))
    assert space.size == math.comb(8, 4)
    assert (space.configurations().sum(1) == density).all()
    np.testing.assert_allclose(space.initial(), 1 / 70, rtol=1e-13)
    assert np.abs(generator(space.system) @ space.initial()).max() < ROUNDING  # stationary on a ring


def test_reservoirs_of_one_density_make_a_product_measure():
    system = build("ssep", (4,), alpha=0.3, gamma=0.7, delta=0.6, beta=1.4, initial="bernoulli:0.3")
    assert np.abs(generator(system) @ StateSpace(system).initial()).max() < ROUNDING


def test_voter_consensus_absorbs():
    w = generator(build("voter", (3, 3))).toarray()
    assert np.flatnonzero(np.diag(w) == 0).tolist() == [0, 511]
    pulled = generator(build("voter", (2, 3), boundary="down")).toarray()
    assert np.flatnonzero(np.diag(pulled) == 0).tolist() == [0]


def test_starts():
    for start, density in [("up", 1.0), ("down", 0.0), ("bernoulli:0.3", 0.3), ("bernoulli:1", 1.0)]:
        frame = solve(build("voter", (4,), initial=start), 0.0, 0.0, ("density",))
        assert frame["value"][0] == pytest.approx(density, abs=1e-14)
    assert solve(build("fa", (4,), initial="up"), 0.0, 0.0, ("density",))["value"][0] == 1


def test_names_and_parameters():
    assert set(SYSTEMS) >= {"free", "fa", "east", "voter", "ssep", "asep"}
    for alias, shape in [("south-east", (3, 3)), ("south-east-front", (2, 2, 2))]:
        assert build(alias, shape).name == "east"
    assert "q" not in parameters("ssep")
    assert {"p", "alpha", "beta", "gamma", "delta", "boundary", "particles"} <= set(parameters("ssep"))
    assert parameters("fa")["c"] == 0.5


def test_rings_of_two_sites_have_one_bond():
    assert len(build("fa", (2, 3), boundary="periodic").edges) == 3 + 6
    assert len(build("voter", (2, 2)).edges) == 4
    assert len(build("ssep", (2,), boundary="periodic").edges) == 1


BAD = [
    (lambda: build("fa", (-3,)), "positive integer"),
    (lambda: build("fa", (0,)), "positive integer"),
    (lambda: build("fa", ()), "positive integer"),
    (lambda: build("fa", (4, 0)), "positive integer"),
    (lambda: build("fa", (2.5,)), "positive integer"),
    (lambda: build("fa", ("x",)), "positive integer"),
    (lambda: build("fa", (float("nan"),)), "positive integer"),
    (lambda: build("fa", (4,), c=0.0), "between 0 and 1"),
    (lambda: build("fa", (4,), c=1.0), "between 0 and 1"),
    (lambda: build("east", (4,), c=-0.2), "between 0 and 1"),
    (lambda: build("free", (4,), c=float("nan")), "between 0 and 1"),
    (lambda: build("fa", (4,), c="half"), "c = 'half'"),
    (lambda: build("fa", (4,), c="0.3"), "c = '0.3': it must be a number"),
    (lambda: build("free", (4,), c=None), "c = None"),
    (lambda: build("fredrickson", (4,)), "unknown system"),
    (lambda: build("est", (4,)), "did you mean 'east'"),
    (lambda: build("ssap", (4,)), "did you mean '[as]sep'"),
    (lambda: build("fa", (4,), boundry="up"), "did you mean 'boundary'"),
    (lambda: build("ssep", (4,), q=0.3), "unknown parameter"),
    (lambda: build("fa", (4,), boundary="upp"), "boundary"),
    (lambda: build("voter", (4,), boundary="ring"), "boundary"),
    (lambda: build("asep", (4,), boundary="up"), "boundary"),
    (lambda: build("fa", (4,), initial="sideways"), "unknown start"),
    (lambda: build("fa", (4,), initial="bernoulli:1.5"), "unknown start"),
    (lambda: build("fa", (4,), initial="bernoulli:x"), "unknown start"),
    (lambda: build("voter", (4,), initial="stationary"), "no stationary product measure"),
    (lambda: build("fa", (4,), pinned="0:5"), "values are 0 or 1"),
    (lambda: build("fa", (4,), pinned={9: 1}), "sites run from 0 to 3"),
    (lambda: build("fa", (4,), pinned="9:1"), "sites run from 0 to 3"),
    (lambda: build("fa", (4,), pinned="one"), "write 'first'"),
    (lambda: build("voter", (4,), pinned={-1: 1}), "sites run from"),
    (lambda: build("fa", (4,), edges=[(0, 4)]), "among 0..3"),
    (lambda: build("fa", (4,), edges=[(1, 1)]), "two different sites"),
    (lambda: build("fa", (4,), edges=[(0, 1), (1, 2), (0, 1)]), "the pair 0, 1 twice"),
    (lambda: build("voter", (4,), edges=[(0, 1), (3, 2), (2, 3)]), "the pair 2, 3 twice"),
    (lambda: build("voter", (4,), edges=[0, 1]), "pairs"),
    (lambda: build("voter", (4,), edges="no"), "pairs"),
    (lambda: build("voter", (4,), edges=[(0, 1), (2,)]), "pairs"),
    (lambda: build("fa", (4,), edges=[(0, 1)], boundary="up"), "outside"),
    (lambda: build("asep", (4,), p=-1.0), "non-negative"),
    (lambda: build("asep", (4,), alpha=float("inf")), "non-negative"),
    (lambda: build("asep", (4,), beta="fast"), "beta = 'fast'"),
    (lambda: build("asep", (4,), particles=2), "periodic"),
    (lambda: build("ssep", (4,), boundary="periodic", particles=5), "there are 4 sites"),
    (lambda: build("ssep", (4,), boundary="periodic", particles=1.5), "particles"),
    (lambda: solve(build("ssep", (4,), boundary="periodic", initial="up")), "no weight"),
    (lambda: solve(build("fa", (2, 2), initial="down")), "no weight"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_refused_in_one_sentence(case):
    make, says = BAD[case]
    with pytest.raises(InputError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_couplings_that_are_not_given():
    assert build("ising", (2, 3)).params == {"J": 1.0, "h": 0.0, "plaquette": 0.0}
