"""The exact and the two-step gradient: finite differences, torch autograd, and where both vanish."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_cycles import random_params
from scipy.optimize import least_squares

from vanbench.exact.cycles.chain import READINGS, CycleParams, log_hidden, log_visible, logsumexp
from vanbench.exact.cycles.enumeration import enumerate_chain
from vanbench.exact.cycles.gradient import cosine, norm, two_step_gradient
from vanbench.exact.cycles.mixture import bernoulli_mixture


def some_data(d: int, n: int = 20, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, d)) < 0.4).astype(float)


@pytest.mark.parametrize("reading", READINGS)
def test_exact_gradient_equals_finite_differences(reading):
    params, data, step = random_params(reading, d=5, seed=2), some_data(5), 1e-5
    gradient = enumerate_chain(params).gradient(data)
    assert set(gradient) == set(params.trainable)
    for name, value in params.trainable.items():
        numeric = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            two = []
            for sign in (1, -1):
                moved = value.copy()
                moved[index] += sign * step
                two.append(enumerate_chain(replace(params, **{name: moved})).log_likelihood(data).mean())
            numeric[index] = (two[0] - two[1]) / (2 * step)
        # central differences: truncation ~1e-10 and round-off ~1e-16 / 1e-5
        np.testing.assert_allclose(gradient[name], numeric, atol=1e-8)


@pytest.mark.parametrize("reading", READINGS)
def test_two_step_gradient_equals_autograd_with_the_previous_state_fixed(reading):
    runs, d = 2, 5
    models = [random_params(reading, d=d, seed=s) for s in range(runs)]
    named = {k: torch.tensor(np.stack([getattr(m, k) for m in models])) for k in ("w", "b", "wbar", "abar")}
    params = CycleParams(**named, centre=torch.tensor(models[0].centre), reading=reading)
    data = torch.tensor(np.stack([some_data(d, seed=s) for s in range(runs)]))
    previous = torch.tensor(np.stack([some_data(d, n=30, seed=9 + s) for s in range(runs)]))
    gradient, log_p = two_step_gradient(params, data, previous)
    for t in params.trainable.values():
        t.requires_grad_()
    mean_b = torch.exp(log_hidden(params, previous)).mean(dim=1)
    p = (torch.exp(log_visible(params, data)) * mean_b[:, None]).sum(dim=-1)
    torch.log(p).mean(dim=1).sum().backward()
    np.testing.assert_allclose(log_p.detach(), torch.log(p).detach(), atol=1e-12)
    for name, t in params.trainable.items():
        np.testing.assert_allclose(gradient[name].detach(), t.grad, atol=1e-12)  # float64 round-off


@pytest.mark.parametrize("reading", READINGS)
def test_both_gradients_vanish_on_data_the_model_represents(reading):
    params = random_params(reading, d=5, seed=3)
    chain = enumerate_chain(params)
    # a data set whose frequencies are the model's: configurations repeated p(x) N times, N large
    counts = np.round(np.exp(chain.log_p) * 2e5).astype(int)
    data = np.repeat(chain.x, counts, axis=0)
    # rounding frequencies to 5e-6 leaves gradients of that order; elsewhere they are of order 0.1
    assert norm(chain.gradient(data)) < 1e-3
    assert norm(chain.approximate_gradient(data)) < 1e-3
    assert norm(chain.gradient(some_data(5))) > 0.05


def excess(params: CycleParams, data: np.ndarray) -> np.ndarray:
    """R - pi: mean posterior of the hidden states over the data, minus their stationary distribution."""
    chain = enumerate_chain(params)
    log_r = log_visible(params, data) + np.log(chain.pi) - chain.log_likelihood(data)[:, None]
    return np.exp(log_r).mean(axis=0) - chain.pi


@pytest.mark.parametrize("which", ["gradient", "approximate_gradient"])
@pytest.mark.parametrize("reading", ["softmax", "sigmoid"])
def test_a_vanishing_bias_gradient_means_posterior_equals_stationary(reading, which):
    # few data drawn from the three components of A (so that no component should die out), wbar arbitrary;
    # only abar is moved to a zero of its gradient
    patterns = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 1, 0, 0, 1]])
    params = replace(random_params(reading, d=5, seed=7), w=1.5 * (2.0 * patterns.T - 1))
    owner = np.random.default_rng(0).choice(3, p=[0.45, 0.3, 0.25], size=40)
    data = (np.random.default_rng(1).random((40, 5)) < 1 / (1 + np.exp(-params.w.T[owner]))).astype(float)
    assert np.max(np.abs(excess(params, data))) > 0.02

    params = replace(params, wbar=0.3 * params.wbar)

    def field(abar):
        return getattr(enumerate_chain(replace(params, abar=abar)), which)(data)["abar"]

    abar = np.zeros(3)  # ascent first: far from the zero a root search is drawn to saturated units, where all is flat
    for _ in range(400):
        abar = abar + 2.0 * field(abar)
    found = least_squares(field, abar, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    assert np.max(np.abs(found)) < 8  # not saturated
    assert np.max(np.abs(field(found))) < 1e-8  # the search stops at the square root of float64
    # two orders looser: R - pi is the bias gradient times the conditioning of M
    at_zero = replace(params, abar=found)
    assert np.max(np.abs(excess(at_zero, data))) < 1e-6
    other = {"gradient": "approximate_gradient", "approximate_gradient": "gradient"}[which]
    assert np.max(np.abs(getattr(enumerate_chain(at_zero), other)(data)["abar"])) < 1e-6


@pytest.mark.parametrize("reading", ["softmax", "sigmoid"])
def test_both_gradients_vanish_at_the_mixture_whatever_the_irreversibility(reading):
    # 60 points in 2^5 configurations: three product components cannot represent them
    data, start = some_data(5, n=60, seed=3), random_params(reading, d=5, seed=7)
    pi, q, ceiling = bernoulli_mixture(data, start.w, floor=1e-12, tolerance=-np.inf, max_steps=20000)
    seen = []
    for scale in (0.3, 3.0):
        params = replace(start, w=np.log(q / (1 - q)).T, wbar=scale * start.wbar)
        found = least_squares(
            lambda abar, p=params: enumerate_chain(replace(p, abar=abar)).pi - pi,
            params.abar,
            xtol=1e-15,
            gtol=1e-15,
        )
        chain = enumerate_chain(replace(params, abar=found.x))
        # 1e-6: expectation maximisation converges linearly, the root search to 1e-8
        assert norm(chain.gradient(data)) < 1e-6
        assert norm(chain.approximate_gradient(data)) < 1e-6
        assert chain.log_likelihood(data).mean() == pytest.approx(ceiling, abs=1e-9)
        seen.append(chain.thermo.entropy_production)
    # the same likelihood at entropy productions far apart: likelihood alone does not fix the irreversibility
    assert seen[1] > 5 * seen[0]


def test_sigmoid_needs_its_own_derivative():
    # with the softmax derivative "z - mu" the sigmoid reading would be wrong by far more than round-off
    params = random_params("sigmoid", d=5, seed=2)
    data = some_data(5)
    chain = enumerate_chain(params)
    h = (chain.x - params.centre) @ params.wbar.T + params.abar
    b, p = np.exp(chain.log_b), np.exp(chain.log_p)
    u = np.exp(logsumexp(log_visible(params, data) - chain.log_likelihood(data)[:, None], axis=0)) / len(data)
    naive = ((p[:, None] * b) * (u - (b @ u)[:, None])).sum(axis=0)
    right = ((p[:, None] * b) * (u - (b @ u)[:, None]) / (1 + np.exp(h))).sum(axis=0)
    found = chain.approximate_gradient(data)["abar"]
    np.testing.assert_allclose(found, right, atol=1e-12)
    assert np.max(np.abs(found - naive)) > 1e-3


def test_cosine_of_vanishing_gradients_is_zero_not_nan():
    assert cosine({"w": np.zeros(3)}, {"w": np.ones(3)}) == 0
    assert cosine({"w": np.ones(3)}, {"w": 2 * np.ones(3)}) == pytest.approx(1)
