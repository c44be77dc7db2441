"""The exact two-kernel chain against routes that share no code with it: dense loops, eigenvectors, simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_cycles import random_params

from vanbench.exact.cycles.chain import (
    READINGS,
    CycleParams,
    hidden_states,
    log_hidden,
    log_visible,
    logsumexp,
    sigmoid,
    softplus,
)
from vanbench.exact.cycles.enumeration import enumerate_chain
from vanbench.exact.cycles.estimates import (
    chain_log_likelihood,
    counted_entropy_production,
    counted_stderr,
    occupancy_log_likelihood,
    rao_blackwell,
    simulate,
    transition_counts,
)
from vanbench.exact.cycles.mixture import bernoulli_mixture
from vanbench.exact.cycles.thermodynamics import (
    MAX_DECORRELATION,
    currents,
    decorrelation_time,
    entropy_production,
    fundamental_cycles,
    stationary,
    thermodynamics,
)
from vanbench.exact.errors import InputError


def by_hand(params: CycleParams):
    """A[x, s], B[s, x] from the definition, one probability at a time."""
    d, n_hidden = params.w.shape
    if params.reading == "binary":
        states = list(itertools.product((0, 1), repeat=n_hidden))
    else:
        states = [tuple(int(i == l) for i in range(n_hidden)) for l in range(n_hidden)]
    xs = list(itertools.product((0, 1), repeat=d))
    a, b = np.zeros((len(xs), len(states))), np.zeros((len(states), len(xs)))
    for i, x in enumerate(xs):
        h = [
            params.abar[l] + sum(params.wbar[l, k] * (x[k] - params.centre[k]) for k in range(d))
            for l in range(n_hidden)
        ]
        on = [1 / (1 + np.exp(-v)) for v in h]
        for s, z in enumerate(states):
            p = 1.0
            for k in range(d):
                q = 1 / (1 + np.exp(-(params.b[k] + sum(params.w[k, l] * z[l] for l in range(n_hidden)))))
                p *= q if x[k] else 1 - q
            a[i, s] = p
            if params.reading == "softmax":
                b[s, i] = np.exp(h[s]) / sum(np.exp(v) for v in h)
            elif params.reading == "sigmoid":
                b[s, i] = on[s] / sum(on)
            else:
                b[s, i] = np.prod([on[l] if z[l] else 1 - on[l] for l in range(n_hidden)])
    return np.array(xs, float), a, b


@pytest.mark.parametrize("reading", READINGS)
def test_kernels_and_chain_equal_the_definition(reading):
    params = random_params(reading)
    xs, a, b = by_hand(params)
    chain = enumerate_chain(params)
    np.testing.assert_array_equal(chain.x, xs)
    # 1e-12: sums of at most 2^5 float64 terms
    np.testing.assert_allclose(np.exp(chain.log_a), a, atol=1e-12)
    np.testing.assert_allclose(np.exp(chain.log_b), b.T, atol=1e-12)
    np.testing.assert_allclose(chain.m, b @ a, atol=1e-12)
    values, vectors = np.linalg.eig(b @ a)
    pi = np.real(vectors[:, np.argmax(values.real)])
    np.testing.assert_allclose(chain.pi, pi / pi.sum(), atol=1e-12)
    np.testing.assert_allclose(np.exp(chain.log_p), a @ chain.pi, atol=1e-12)
    np.testing.assert_allclose(chain.log_likelihood(xs), np.log(a @ chain.pi), atol=1e-11)


@pytest.mark.parametrize("reading", READINGS)
def test_full_entropy_production_from_the_bipartite_walk(reading):
    params = random_params(reading, d=4)
    _, a, b = by_hand(params)
    n_x, n_s = a.shape
    # one homogeneous walk over hidden and visible states together; two of its steps are one double step
    walk = np.zeros((n_x + n_s, n_x + n_s))
    walk[:n_x, n_x:] = a
    walk[n_x:, :n_x] = b
    pi = stationary(b @ a)
    both = np.concatenate([a @ pi, pi]) / 2
    np.testing.assert_allclose(walk @ both, both, atol=1e-13)
    full = enumerate_chain(params).full_entropy_production()
    # 1e-10 relative: differences of probabilities of order 1e-3 at float64 precision
    assert full == pytest.approx(2 * entropy_production(walk, both), rel=1e-10)
    assert 0 <= enumerate_chain(params).thermo.entropy_production <= full


@given(st.integers(2, 7), st.integers(0, 10**6), st.floats(0.1, 4.0))
@settings(max_examples=60, deadline=None)
def test_thermodynamics_of_random_chains(n, seed, sharpness):
    rng = np.random.default_rng(seed)
    m = np.exp(sharpness * rng.normal(size=(n, n)))
    m /= m.sum(axis=0)
    found = thermodynamics(m)
    np.testing.assert_allclose(m @ found.pi, found.pi, atol=1e-13)
    j = currents(m, found.pi)
    np.testing.assert_allclose(j.sum(axis=1), 0, atol=1e-13)  # a steady state accumulates nothing
    cycles = fundamental_cycles(m, found.pi)
    assert len(cycles) == (n - 1) * (n - 2) // 2
    # Schnakenberg: currents times affinities over a basis of cycles; 1e-9: sums of up to 15 products of order 10
    assert found.entropy_production == pytest.approx(sum(c["affinity"] * c["current"] for c in cycles), abs=1e-9)
    assert found.entropy_production >= -1e-14
    # the time reversal of a chain produces the same entropy, with opposite currents
    reverse = (m * found.pi).T / found.pi
    np.testing.assert_allclose(currents(reverse, found.pi), -j, atol=1e-13)
    assert entropy_production(reverse, found.pi) == pytest.approx(found.entropy_production, abs=1e-10)


def test_largest_affinity_beyond_16_states_and_below_1e300():
    rng = np.random.default_rng(4)
    log_m = rng.normal(size=(20, 20)) * 400
    log_m -= logsumexp(log_m, axis=0)
    found = thermodynamics(np.exp(log_m), log_m)
    cycles = fundamental_cycles(np.exp(log_m), found.pi, log_m)
    assert found.max_affinity == pytest.approx(max(abs(c["affinity"]) for c in cycles), rel=1e-12)
    # ln M below ln 1e-300 counts in full, so that Schnakenberg's sum is the entropy production
    total = sum(c["affinity"] * c["current"] for c in cycles)
    assert found.entropy_production == pytest.approx(total, rel=1e-6)


def test_three_state_ring_in_closed_form():
    p, q = 0.6, 0.1
    m = np.array([[1 - p - q, q, p], [p, 1 - p - q, q], [q, p, 1 - p - q]])
    found = thermodynamics(m)
    assert found.entropy_production == pytest.approx((p - q) * np.log(p / q), rel=1e-12)
    assert found.max_affinity == pytest.approx(3 * np.log(p / q), rel=1e-12)
    assert found.max_current == pytest.approx((p - q) / 3, rel=1e-12)
    modulus = abs(1 - p - q + p * np.exp(2j * np.pi / 3) + q * np.exp(-2j * np.pi / 3))
    assert found.decorrelation_time == pytest.approx(-1 / np.log(modulus), rel=1e-10)
    assert found.self_transition == pytest.approx(1 - p - q)


def test_conventions_at_the_edges():
    assert decorrelation_time(np.full((2, 2), 0.5)) < 0.1  # lambda_2 = 0 up to round-off
    assert decorrelation_time(np.eye(2)) == pytest.approx(MAX_DECORRELATION, rel=1e-3)  # 1 - 1e-12 has 4 digits left
    ring = np.roll(np.eye(3), 1, axis=0)  # one-way: bounded by the stated 1e-300
    assert entropy_production(ring, stationary(ring)) == pytest.approx(300 * np.log(10), rel=1e-12)
    nearly = np.array([[1 - 1e-18, 2e-18], [1e-18, 1 - 2e-18]])
    np.testing.assert_allclose(stationary(nearly), [2 / 3, 1 / 3], rtol=1e-14)
    with pytest.raises(InputError):
        stationary(np.array([[np.nan, 0], [1, 1]]))
    assert softplus(np.array(800.0)) == 800
    assert sigmoid(np.array(-800.0)) == 0
    assert logsumexp(np.array([-np.inf, -np.inf]), axis=0) == -np.inf


@pytest.mark.parametrize("reading", READINGS)
def test_rao_blackwell_and_counts_meet_the_exact_chain(reading):
    params = random_params(reading, d=6, seed=3)
    chain = enumerate_chain(params)
    found = rao_blackwell(params, 8192, seed=5)
    # five standard errors of 16-block jackknives, over at most 64 entries
    assert np.max(np.abs(found.m - chain.m) / found.m_stderr) < 5
    error = found.stderr(lambda t: t.entropy_production)
    assert abs(found.thermo.entropy_production - chain.thermo.entropy_production) < 5 * error
    full = chain.full_entropy_production()
    assert abs(found.full_entropy_production - full) < 5 * found.full_entropy_production_stderr
    assert 0 < error < 0.5 * chain.thermo.entropy_production
    path = simulate(params, 400, 200, seed=6)
    counts = transition_counts(path, len(chain.pi))
    counted, counted_error = counted_entropy_production(counts), counted_stderr(path, len(chain.pi))
    # 1e-3 beside the error of the counts, which does not cover the bias: about (pairs) / N = 28 / 80 000 here, where
    # every transition was seen often
    assert abs(counted - chain.thermo.entropy_production) < 5 * counted_error + 1e-3


def test_both_likelihood_estimators_are_one_sum_and_meet_the_exact_value():
    params = random_params("softmax", d=6, seed=4)
    data = enumerate_chain(params).x[::7]
    path = simulate(params, 500, 40, seed=2)
    occupancy = np.bincount(path.ravel(), minlength=3) / path.size
    long_chain = chain_log_likelihood(params, data, path)
    np.testing.assert_allclose(long_chain, occupancy_log_likelihood(params, data, occupancy), atol=1e-11)
    # 20 000 correlated visits of three states: occupancies good to about one percent
    np.testing.assert_allclose(long_chain, enumerate_chain(params).log_likelihood(data), atol=0.05)


def test_zero_counts_bound_the_entropy_production():
    counts = np.array([[0, 0, 1000], [1000, 0, 0], [0, 1000, 0]])
    value = counted_entropy_production(counts)
    # each of three pairs: current 1000/3000 times ln(1000.5 / 0.5)
    assert value == pytest.approx(np.log(2001), rel=1e-12)
    assert counted_entropy_production(np.zeros((3, 3), int)) == 0
    assert counted_entropy_production(np.array([[5, 0], [0, 5]])) == 0  # never left: nothing was seen to move


def test_mixture_is_the_ceiling_of_one_hot_models():
    params = random_params("softmax", d=6, seed=8, scale=1.5)
    chain = enumerate_chain(params)
    rng = np.random.default_rng(1)
    data = chain.x[rng.choice(len(chain.x), size=400, p=np.exp(chain.log_p))]
    pi, q, value = bernoulli_mixture(data, params.w)
    assert value >= chain.log_likelihood(data).mean()
    own = logsumexp(data @ np.log(q).T + (1 - data) @ np.log(1 - q).T + np.log(pi), axis=-1).mean()
    assert own == pytest.approx(value, abs=1e-6)


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="at least 2"):
        hidden_states(1, "softmax")
    with pytest.raises(InputError, match="too many"):
        hidden_states(20, "binary")
    with pytest.raises(InputError, match="at most 16"):
        enumerate_chain(random_params("softmax", d=17))
    with pytest.raises(InputError, match="softmax, sigmoid, binary"):
        hidden_states(3, "relu")
    with pytest.raises(InputError, match="two recorded"):
        transition_counts(np.zeros((1, 4), int), 3)
    with pytest.raises(InputError, match="independent chains"):
        counted_stderr(np.zeros((9, 1), int), 3)


def test_torch_and_numpy_share_the_kernels():
    import torch

    params = random_params("sigmoid")
    x = enumerate_chain(params).x
    named = {k: torch.tensor(getattr(params, k)) for k in ("w", "b", "wbar", "abar", "centre")}
    as_torch = CycleParams(**named, reading="sigmoid")
    xt = torch.tensor(np.array(x))
    np.testing.assert_allclose(log_visible(as_torch, xt).numpy(), log_visible(params, x), atol=1e-12)
    np.testing.assert_allclose(log_hidden(as_torch, xt).numpy(), log_hidden(params, x), atol=1e-12)


def test_states_never_visited_add_nothing_to_the_likelihood():
    """The sum over the visited states, one term at a time: a never visited one, however likely, has no term."""
    params = random_params("softmax")
    data = (np.random.default_rng(4).random((7, 5)) < 0.5).astype(float)
    _, a, _ = by_hand(params)
    rows = a[(data @ 2 ** np.arange(4, -1, -1)).astype(int)]
    for occupancy in ([0.25, 0.0, 0.75], [0.0, 0.0, 1.0]):
        found = occupancy_log_likelihood(params, data, np.array(occupancy))
        np.testing.assert_allclose(found, np.log(rows @ occupancy), rtol=1e-12)
