"""Chebyshev's series of the exponential, against LAPACK and Taylor's series."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from vanbench.exact import build
from vanbench.exact.quantum import evolve
from vanbench.exact.quantum.chebyshev import DECAY, chebyshev_step, chebyshev_steps
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
@given(st.integers(0, 10**6), st.floats(0.01, 100), st.floats(0, DECAY))
def test_against_lapack(seed, frequency, decay):
    """Digits are lost where the terms grow, by exp(decay / 2), and nowhere else."""
    a = turning(seed, frequency, decay)
    x = np.random.default_rng(seed).standard_normal(12)
    new, passed = chebyshev_step(a.__matmul__, x, 1.0, -decay / 2, frequency, 1e-13)
    block = np.block([[a, np.eye(12)], [np.zeros((12, 24))]])  # its exponential holds the integral
    scale = np.linalg.norm(x) * np.exp(decay / 2)
    assert new == pytest.approx(expm(a) @ x, abs=1e-13 * scale * max(1, frequency))
    assert passed == pytest.approx(expm(block)[:12, 12:] @ x, abs=1e-13 * scale * max(1, frequency))


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


def test_steps_are_short_enough_for_the_decay():
    assert chebyshev_steps(1.0, 50.0, 10.0) == int(np.ceil(500 / DECAY))
