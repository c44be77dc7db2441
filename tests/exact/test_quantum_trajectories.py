"""Quantum trajectories: the split step is the Lindblad equation to second order; averages with honest errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from vanbench.exact import InputError
from vanbench.exact.definitions.pauli import I2, MINUS, X, Z
from vanbench.exact.quantum import Jump, Lindblad, LocalOperator, heisenberg_model, tfim_model
from vanbench.exact.quantum.liouvillian import Liouvillian
from vanbench.exact.quantum.observables import spin_averages
from vanbench.exact.quantum.steady import steady_state
from vanbench.exact.quantum.trajectories import (
    _spins,
    advance,
    kraus_operators,
    read,
    sample,
    split_steady,
    split_step,
    summary,
    trajectory,
)


def test_kraus_operators_of_a_channel():
    """They rebuild the channel and preserve the trace."""
    loss = MINUS.conj().T @ MINUS / 2
    generator = -1.3j * (np.kron(X, I2) - np.kron(I2, X.T)) + np.kron(MINUS, MINUS.conj())
    channel = expm(0.2 * (generator - np.kron(loss, I2) - np.kron(I2, loss.T)))
    kraus = kraus_operators(channel)
    np.testing.assert_allclose(sum(np.kron(k, k.conj()) for k in kraus), channel, atol=1e-14)
    np.testing.assert_allclose(sum(k.conj().T @ k for k in kraus), np.eye(2), atol=1e-14)


@pytest.mark.parametrize(
    "model", [tfim_model((4,), g=2.5), heisenberg_model((2, 2), Jx=0.9, Jy=1.8)], ids=["tfim", "xyz"]
)
def test_splitting_is_of_second_order(model):
    """The averaged step's fixed point goes to the steady state like dt^2."""
    exact = np.array(list(spin_averages(steady_state(model)).values()))
    errors = []
    for dt in (0.1, 0.05):
        found = np.array(list(spin_averages(split_steady(model, dt)).values()))
        errors.append(np.abs(found - exact).max())
    assert errors[1] < 1e-3
    assert 3.7 < errors[0] / errors[1] < 4.3  # 4, up to the next even order: dt^2 |L|^2 of a few percent


def test_average_of_one_step_is_the_channel(rng):
    """Over 4000 draws the mean projector after a step is exp(dt L) rho up to noise and dt^3."""
    model, dt, draws = heisenberg_model((3,), Jx=0.9, Jy=1.8, gamma=3.0), 0.05, 4000
    step = split_step(model, dt)
    psi = rng.standard_normal((8, 2)) @ np.array([1, 1j])
    psi /= np.linalg.norm(psi)
    mean = np.zeros((8, 8), dtype=complex)
    for _ in range(draws):
        one = psi.copy()
        advance(one, step, rng.random(3))
        assert np.linalg.norm(one) == pytest.approx(1, abs=1e-12)
        mean += np.outer(one, one.conj()) / draws
    exact = (expm(dt * Liouvillian(model).sparse().toarray()) @ np.outer(psi, psi.conj()).ravel()).reshape(8, 8)
    # noise: entries of size 1 that differ with probability about 0.2, five standard deviations
    np.testing.assert_allclose(mean, exact, atol=5 * np.sqrt(0.2 / draws))


def test_spin_sums(rng):
    psi = rng.standard_normal((16, 2)) @ np.array([1, 1j])
    psi /= np.linalg.norm(psi)
    expected = spin_averages(np.outer(psi, psi.conj()))
    np.testing.assert_allclose(_spins(psi, 4) / 4, list(expected.values()), atol=1e-14)


def test_sampling_resumes_and_agrees(tmp_path):
    """A ring of 4 against its steady state, in standard errors; a second call adds only what is missing."""
    model, path = tfim_model((4,), g=2.5), tmp_path / "t.csv"
    for runs in (6, 16):
        sample(path, "ring", model, runs, dt=0.05, burn_in=5.0, duration=50.0)
    rows = read(path, "ring")
    assert [int(row["run"]) for row in rows] == list(range(1, 17))
    assert len({row["sigma_x"] for row in rows}) == 16
    exact = spin_averages(steady_state(model))
    for name, (mean, error) in summary(rows).items():
        assert 0 < error < 0.02
        assert abs(mean - exact[name]) < 4.5 * error + 3e-4  # 15 degrees of freedom; the bias of dt = 0.05
    sample(path, "ring", model, 16, dt=0.05, burn_in=5.0, duration=50.0)
    assert len(read(path, "ring")) == 16
    with pytest.raises(InputError, match="other settings"):
        sample(path, "ring", model, 17, dt=0.1, burn_in=5.0, duration=50.0)


def test_same_seed_same_trajectory():
    model = tfim_model((3,))
    a, b, c = (trajectory(model, 0.1, 1.0, 3.0, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0


def test_bad_input():
    two = Lindblad((2,), (), (Jump((0, 1), np.kron(MINUS, MINUS)),))
    three = Lindblad((3,), (LocalOperator((0, 1, 2), np.kron(X, np.kron(X, Z))),), ())
    with pytest.raises(InputError, match="one spin each"):
        split_step(two, 0.1)
    with pytest.raises(InputError, match="one or two spins"):
        split_step(three, 0.1)
    with pytest.raises(InputError, match="positive time step"):
        split_step(tfim_model((2,)), 0.0)
    with pytest.raises(InputError, match="at least two"):
        summary([])
