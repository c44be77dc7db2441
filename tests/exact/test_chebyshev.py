"""Chebyshev's series of the exponential, against LAPACK and Taylor's series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from vanbench.exact import build
from vanbench.exact.quantum import evolve
from vanbench.exact.quantum.chebyshev import ChebyshevPlan, chebyshev_plan, chebyshev_step
from vanbench.exact.quantum.liouvillian import Liouvillian, density_matrix
from vanbench.exact.quantum.routes import origin_of


def turning(seed: int, frequency: float, decay: float) -> np.ndarray:
    """A generator of frequencies up to ``frequency`` and decay rates between 0 and ``decay``."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, 12, 12))
    skew, mixed = a - a.T, np.linalg.qr(b)[0]
    loss = mixed @ np.diag(rng.uniform(0, decay, 12)) @ mixed.T
    return frequency * skew / np.linalg.norm(skew, 2) - loss


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(0, 40), st.floats(0, 1))
def test_against_lapack(seed, frequency, decay, least):
    """Digits are lost where the terms outgrow the result, by exp(7) a step, also of what decays all the way down."""
    a = turning(seed, frequency, decay * (1 - least)) - least * decay * np.eye(12)
    x = np.random.default_rng(seed).standard_normal(12)
    plan = chebyshev_plan(frequency, decay, decay, 1.0)
    h, now, whole = 1 / plan.n_steps, x, np.zeros(12)
    for _ in range(plan.n_steps):
        now, passed = chebyshev_step(a.__matmul__, now, h, -decay / 2, plan.radius, 1e-13)
        whole += passed
    block = np.block([[a, np.eye(12)], [np.zeros((12, 24))]])  # its exponential holds the integral
    want, size = expm(a) @ x, np.linalg.norm(x)
    of_start = 1e-13 * size * np.exp(decay / 2) * max(1, frequency)
    of_end = 1e-11 * plan.n_steps * np.linalg.norm(want) if 2 * frequency > decay else np.inf  # else Taylor's is taken
    assert now == pytest.approx(want, abs=min(of_start, of_end))
    assert whole == pytest.approx(expm(block)[:12, 12:] @ x, abs=min(of_start, 1e-11 * size))


def test_frequencies_beyond_the_radius_are_noticed():
    with pytest.raises(ArithmeticError, match="did not converge"):
        chebyshev_step(turning(0, 30.0, 0.0).__matmul__, np.ones(12), 1.0, 0.0, 10.0, 1e-13)


@pytest.mark.parametrize("s", [0.0, 0.7, -0.7, 3.0])
@pytest.mark.parametrize(("n", "gamma", "t"), [(3, 0.05, 9.0), (4, 1.0, 4.0), (4, 5.0, 2.0)])
def test_states_and_cumulants_are_those_of_taylor_steps(n, gamma, t, s, monkeypatch):
    liouvillian = Liouvillian(origin_of(build("tfim", (n,), gamma=gamma)).model, s)
    up = density_matrix(np.tile(np.diag([1.0 + 0j, 0.0]), (n, 1, 1)))
    got, want = [], []
    for states, terms in ((got, 1e9), (want, 0.0)):  # as if Taylor's series cost all, and nothing
        monkeypatch.setattr(evolve, "TERMS", terms)
        states += evolve.evolve_state(liouvillian, up, np.array([t / 3, t]), order=2)
    for one, other in zip(got, want, strict=True):
        assert one.rho == pytest.approx(other.rho, abs=1e-12)
        assert one.cumulants == pytest.approx(other.cumulants, rel=1e-10, abs=1e-11)


def test_a_plan_keeps_digits():
    """Without decay the largest frequency is the radius; with it more steps at a wider one, most where all decays."""
    assert chebyshev_plan(2.0, 0.0, 0.0, 10.0) == ChebyshevPlan(1, 2.0, 52.0)
    even, all_decays = chebyshev_plan(1.0, 0.2, 0.0, 100.0), chebyshev_plan(1.0, 0.2, 0.2, 100.0)
    assert even.radius > 1
    assert even.n_steps < all_decays.n_steps
    assert all_decays.n_steps > 100.0 * 0.2 / 7.0  # the result falls by less than exp(7) a step, terms grow besides
