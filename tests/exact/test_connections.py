"""Merged incoming connections: random systems of random terms against dense matrices, NumPy against torch."""

from __future__ import annotations

import itertools
import math

import independent as ind
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vanbench.exact import Connections, InputError, StateSpace, System, Term, build, generator

TOL = 1e-11  # sums of at most ~50 local entries below exp(2) * 3, in another order
FIELDS = (-0.7, 0.0, 1.3)


@st.composite
def random_systems(draw, max_states=256):
    """Terms of 1-3 sites in any order, signed entries, diagonal counters, potentials, pinned sites."""
    d = draw(st.integers(2, 4))
    n = draw(st.integers(1, int(math.log(max_states, d) + 1e-9)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pinned = {int(i): int(rng.integers(d)) for i in range(n) if rng.random() < draw(st.sampled_from([0, 0.3]))}
    terms = []
    for _ in range(draw(st.integers(1, 5))):
        k = int(rng.integers(1, min(3, n) + 1))
        sites = tuple(int(i) for i in rng.permutation(n)[:k])
        keep = allowed(sites, pinned, d)

        def entries(density, keep=keep):
            return rng.normal(size=keep.shape) * (rng.random(keep.shape) < density) * keep

        jumps_ = tuple((float(rng.integers(-2, 3)), entries(0.3)) for _ in range(2))
        terms.append(Term(sites, entries(0.5), {"k": jumps_}, {"b": rng.normal(size=d**k), "k": rng.normal(size=d**k)}))
    start = rng.dirichlet(np.ones(d), size=n)
    for site, value in pinned.items():
        start[site] = np.eye(d)[value]
    return System("random", (n,), d, tuple(terms), start, pinned)


def allowed(sites, pinned, d):
    """Local elements that leave pinned sites alone."""
    digits = list(itertools.product(range(d), repeat=len(sites)))
    keep = np.ones((len(digits), len(digits)), dtype=bool)
    for (r, to), (c, come) in itertools.product(enumerate(digits), repeat=2):
        keep[r, c] = all(to[i] == come[i] for i, site in enumerate(sites) if site in pinned)
    return keep


def dense(system: System, s: float, observable: str) -> np.ndarray:
    """``W_s`` on the configurations that pinning allows, by embedding each tilted term; written from DESIGN alone."""
    n, d = system.n_sites, system.local_dim
    total = np.zeros((d**n, d**n))
    for term in system.terms:
        local = np.array(term.matrix, dtype=float)
        for increment, jump in term.counters.get(observable, ()):
            local += (math.exp(-s * increment) - 1) * jump
        if observable in term.potentials:
            local -= s * np.diag(term.potentials[observable])
        total += ind.embed(local, term.sites, n, d)
    digits = np.array(list(itertools.product(range(d), repeat=n)))
    keep = [i for i, x in enumerate(digits) if all(x[site] == value for site, value in system.pinned.items())]
    return total[np.ix_(keep, keep)]


def from_moves(connections, x, index, incoming=True):
    """Dense off-diagonal part from the moves; fails if two moves of one configuration coincide."""
    rates = connections.incoming_rates(x) if incoming else connections.outgoing_rates(x)
    others = connections.sources(x) if incoming else connections.targets(x)
    out = np.zeros((len(x), len(x)))
    for i, (row, other) in enumerate(zip(rates, others)):
        assert len(np.unique(other, axis=0)) == len(other)  # merged: every neighbour once
        used = row != 0
        at = index(other[used])
        out[(i, at) if incoming else (at, i)] = row[used]
    return out


@given(random_systems(), st.sampled_from(["k", "b"]), st.sampled_from(FIELDS))
@settings(max_examples=50, deadline=None)
def test_random_systems_against_dense(system, observable, s):
    want = dense(system, s, observable)
    space = StateSpace(system)
    x = space.configurations()
    c = Connections(system, s, observable)
    off = want - np.diag(np.diag(want))
    np.testing.assert_allclose(from_moves(c, x, space.index), off, atol=TOL)
    np.testing.assert_allclose(from_moves(c, x, space.index, incoming=False), off, atol=TOL)
    np.testing.assert_allclose(c.diagonal(x), np.diag(want), atol=TOL)
    np.testing.assert_allclose(c.column_sum(x), want.sum(0), atol=TOL)
    np.testing.assert_allclose(generator(system, s, observable).toarray(), want, atol=TOL)


@given(random_systems(max_states=64), st.sampled_from(["k", "b"]))
@settings(max_examples=20, deadline=None)
def test_derivatives_against_dense_differences(system, observable):
    h, s = 1e-4, 0.4
    for order in (1, 2):
        below, above = (
            dense(system, s + e, observable) if order == 1 else generator(system, s + e, observable, 1).toarray()
            for e in (-h, h)
        )
        # central difference: h^2 e^{2s} 2^3 / 6 < 1e-7
        np.testing.assert_allclose(
            generator(system, s, observable, order).toarray(), (above - below) / (2 * h), atol=1e-6
        )


@given(random_systems(max_states=64), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_torch_numpy_and_several_fields_agree(system, seed):
    rng = np.random.default_rng(seed)
    x = StateSpace(system).configurations()
    several = Connections(system, FIELDS, "k")
    batches = np.stack([x[rng.integers(len(x), size=7)] for _ in FIELDS])
    table = np.log(rng.dirichlet(np.ones(len(x))) + 1e-3)
    space = StateSpace(system)
    on_torch = torch.as_tensor(batches.astype(np.int64))

    def log_p(y):
        return table[space.index(y)]

    def log_p_torch(y):
        return torch.as_tensor(table[space.index(y.numpy())])

    for name in ("incoming_rates", "outgoing_rates", "diagonal", "column_sum", "sources", "targets"):
        together = getattr(several, name)(batches)
        torch_together = getattr(several, name)(on_torch)
        assert isinstance(torch_together, torch.Tensor)
        np.testing.assert_allclose(torch_together.numpy(), together, atol=TOL)
        for r, s in enumerate(FIELDS):
            alone = Connections(system, s, "k")
            np.testing.assert_allclose(getattr(alone, name)(batches[r]), together[r], atol=TOL)
            np.testing.assert_allclose(getattr(alone, name)(on_torch[r]).numpy(), together[r], atol=TOL)
    for r, s in enumerate(FIELDS):
        p = np.exp(table)
        want = ((dense(system, s, "k") @ p) / p)[space.index(batches[r])]
        bound = 1e-9  # ratios of probabilities up to 1e3
        np.testing.assert_allclose(several.local_ratio(batches, log_p)[r], want, atol=bound)
        alone = Connections(system, s, "k")
        np.testing.assert_allclose(alone.local_ratio(batches[r], log_p), want, atol=bound)
        np.testing.assert_allclose(alone.local_ratio(on_torch[r], log_p_torch).numpy(), want, atol=bound)
        known = log_p_torch(on_torch[r])
        np.testing.assert_allclose(alone.local_ratio(on_torch[r], log_p_torch, known).numpy(), want, atol=bound)


def test_the_network_sees_only_moves_that_happen():
    """South-East from the all-down rest: only the neighbours of the pinned spin can have come in."""
    system = build("east", (3, 3), c=0.5)
    seen = []

    def log_p(y):
        seen.append(len(y))
        return np.zeros(len(y))

    x = np.zeros((1, 9), dtype=np.int8)
    x[0, 0] = 1
    Connections(system, 0.3).local_ratio(x, log_p)
    assert seen == [1, 2]


def test_two_terms_one_move():
    """An FA spin between two up neighbours flips by two terms: one connection at twice the rate."""
    system = build("fa", (3,), c=0.3, boundary="open")
    c = Connections(system)
    rates = c.outgoing_rates(np.array([[1, 0, 1]]))
    np.testing.assert_allclose(sorted(rates[0]), [0, 0, 0.6])
    assert c.n_moves == 3


# -- lattices too large for a matrix: rates of random configurations against loops over coordinates ------------------


def flip_by_hand(name, around, boundary, x, i, c=0.35):
    """Rate at which site ``i`` of configuration ``x`` flips, ``s = 0``."""
    near = [x[j] if j != ind.OUTSIDE else int(boundary == "up") for j in around[i]]
    if name != "voter":
        return sum(near) * (c if x[i] == 0 else 1 - c)
    if boundary == "open":
        near = [x[j] for j in around[i] if j != ind.OUTSIDE]
    return sum(v != x[i] for v in near) / len(near)


@pytest.mark.parametrize("name", ["fa", "east", "voter"])
@pytest.mark.parametrize("shape", [(4, 6), (2, 3, 4), (30,), (7, 5)])
@pytest.mark.parametrize("boundary", ["up", "down", "periodic", "open"])
def test_large_lattices(name, shape, boundary, rng):
    options = {} if name == "voter" else {"c": 0.35, "pinned": "none"}
    system = build(name, shape, boundary=boundary, **options)
    c = Connections(system, 0.2)
    n = system.n_sites
    assert c.n_moves == n - (name == "east" and boundary in ("down", "open"))  # a corner without lower neighbours
    x = rng.integers(0, 2, size=(6, n)).astype(np.int8)
    out, into, diagonal = c.outgoing_rates(x), c.incoming_rates(x), c.diagonal(x)
    site = np.argmax(c.deltas != 0, axis=1)
    around = ind.neighbours(shape, boundary, lower_only=name == "east")
    for b, here in enumerate(x.tolist()):
        rates = [flip_by_hand(name, around, boundary, here, i) for i in range(n)]
        np.testing.assert_allclose(out[b], math.exp(-0.2) * np.array(rates)[site], atol=1e-13)  # a few additions
        assert diagonal[b] == pytest.approx(-sum(rates), abs=1e-12)
        for m, i in enumerate(site):
            here[i] ^= 1
            back = flip_by_hand(name, around, boundary, here, i)
            here[i] ^= 1
            assert abs(into[b, m] - math.exp(-0.2) * back) < 1e-13


# -- refused ----------------------------------------------------------------------------------------------------------


def test_refused():
    system = build("fa", (4,))
    with pytest.raises(InputError, match="did you mean 'activity'"):
        Connections(system, 0.1, "activities")
    with pytest.raises(InputError, match="5 sites, the system 4"):
        Connections(system).incoming_rates(np.zeros((2, 5), dtype=np.int8))
    moving = System("m", (2,), 2, build("free", (2,)).terms, np.array([[0, 1.0], [0.5, 0.5]]), {0: 1})
    with pytest.raises(InputError, match="moves the pinned site 0"):
        Connections(moving)
    with pytest.raises(InputError, match="out of range"):
        Connections(system, -800.0)


def test_restricted_support_gives_no_rate_to_excluded_sources():
    """In the FA model on its support no allowed configuration is entered from all-down."""
    system = build("fa", (2, 3), c=0.4)
    x = StateSpace(system).configurations()
    c = Connections(system, 0.1)
    excluded = ~system.support.contains(c.sources(x))
    assert excluded.any()
    assert (c.incoming_rates(x)[excluded] == 0).all()
