"""The Krylov propagator against dense exponentials, for systems without detailed balance and for signed matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from vanbench.exact import build, solve
from vanbench.exact.matrixfree.krylov import evolve, expm_multiply
from vanbench.exact.sparse.propagate import evolve as evolve_sparse

CASES = {
    "asep": build("asep", (6,)),
    "asep ring": build("asep", (8,), boundary="periodic"),
    "voter": build("voter", (3, 3)),
    "fa from up": build("fa", (2, 4), initial="up"),
    "east from half": build("south-east", (3, 3), c=0.2, initial="bernoulli:0.5"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dt", [None, 0.05])
def test_moments_and_distribution(name, dt):
    times = np.array([0.0, 0.1, 2.0, 10.0])
    system = CASES[name]
    for ours, want in zip(
        evolve(system, 0.2, times, order=2, dt=dt), evolve_sparse(system, 0.2, times, order=2, dt=dt)
    ):
        assert ours.ln_z == pytest.approx(want.ln_z, abs=1e-10)
        assert ours.cumulants == pytest.approx(want.cumulants, rel=1e-9)


@pytest.mark.parametrize("basis", [4, 10, 24])
@pytest.mark.parametrize("t", [0.01, 1.0, 30.0])
def test_any_matrix_and_any_basis(basis, t, rng):
    """A signed, non-normal matrix; the error is told and holds to an order of magnitude."""
    a = rng.standard_normal((60, 60)) / 8
    v = rng.standard_normal(60)
    got, error = expm_multiply(a, v, t, tolerance=1e-10, basis=basis)
    want = scipy.linalg.expm(t * a) @ v
    assert error <= 1e-10
    assert np.linalg.norm(got - want) <= 1e-8 * np.linalg.norm(want)


def test_small_invariant_space_is_exact():
    v = np.array([1.0, 1.0, 0.0])
    got, _ = expm_multiply(np.diag([-1.0, -2.0, 5.0]), v, 3.0)
    assert got == pytest.approx(np.exp([-3.0, -6.0, 0.0]) * [1, 1, 0], rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_every_quantity_of_solve(name):
    asked = ["ln_Z", "activity", "susceptibility", "density", "density_profile", "instantaneous_activity"]
    asked += ["distribution", "trajectory_density", "scgf", "gap", "rate_function"]
    ours, want = (solve(CASES[name], 0.2, [0.0, 1.0], asked, method=m) for m in ("krylov", "dense"))
    assert list(ours.quantity) == list(want.quantity)
    assert ours.value.to_numpy() == pytest.approx(want.value.to_numpy(), rel=1e-8, abs=1e-9, nan_ok=True)


@pytest.mark.slow
def test_a_voter_model_of_2_to_20_states():
    """Consensus is absorbing, the up-density a martingale: at s = 0 total and mean opinion stay."""
    frame = solve(build("voter", (4, 5)), 0.0, [1.0], ["ln_Z", "density"], method="krylov")
    assert frame.value.to_numpy() == pytest.approx([0.0, 0.5], abs=1e-11)


@pytest.mark.parametrize("shape", [(1, 1), (3,)])
def test_a_start_that_is_absorbed(shape):
    """Few states, left at the rate of rounding after a while: noise is no Krylov vector (it once overflowed)."""
    system, asked = build("voter", shape, boundary="up"), ["ln_Z", "activity", "susceptibility", "density"]
    got, want = (solve(system, -1.0, [2.0, 1000.0], asked, method=m).value.to_numpy() for m in ("krylov", "dense"))
    assert got == pytest.approx(want, rel=1e-9)


def test_the_second_derivative_keeps_its_digits_over_a_thousand_time_units():
    """Errors are relative to the largest part of the stacked vector, which grows like t^2 until it is recentred."""
    system = build("free", (1,), initial="up")
    got, want = (solve(system, -0.3, 1000.0, ["susceptibility"], method=m).value[0] for m in ("krylov", "dense"))
    assert got == pytest.approx(want, rel=1e-10)


def test_small_entries_that_grow_to_be_the_largest():
    """s = 8 on one reservoir's current: rates from exp(-8) to exp(8), from the empty lattice to the full one."""
    system, asked = build("ssep", (1, 2, 3), p=0.3, alpha=1.0, gamma=1.0), ["ln_Z", "density"]
    frames = [solve(system, 8.0, [0.05, 2.0], asked, observable="current_0", method=m) for m in ("krylov", "dense")]
    got, want = (frame.value.to_numpy() for frame in frames)
    assert got == pytest.approx(want, rel=1e-9)
