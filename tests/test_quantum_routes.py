"""Three routes to an open quantum system agree: QuTiP, the Liouvillian, the generator in the POVM basis; and QuSpin."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from exact import StateSpace, build, generator, solve
from exact.matrixfree.kernel import operator
from exact.propagate import evolve
from exact.quantum import heisenberg_model, steady, tfim_model
from exact.quantum.evolve import evolve_state, taylor_step
from exact.quantum.liouvillian import Liouvillian, density_matrix
from exact.quantum.observables import (
    distribution_averages,
    distribution_purity,
    distribution_two_point,
    purity,
    spin_averages,
    two_point,
)
from exact.quantum.qutip_route import evolve_qutip, hamiltonian_quspin, operators, steady_qutip, tilted_qutip
from exact.quantum.steady import steady_state

AGREE = 1e-8  # the promise; QuTiP's integrator is asked for 1e-12, the other two are exact to rounding
CASES = [
    ("heisenberg", (4,), {"Jx": 2.0, "Jy": 0.0, "Jz": 1.0, "B": 1.0, "initial": "-y"}, "tetrahedral"),
    ("heisenberg", (2, 2), {"Jx": 0.9, "Jy": 1.8, "Jz": 1.0, "initial": "up"}, "4-pauli"),
    ("tfim", (4,), {"V": 2.0, "g": 2.5, "gamma": 0.7, "initial": "+x", "boundary": "open"}, "4-pauli"),
    ("tfim", (3,), {"V": -1.0, "g": 0.5, "initial": "-z"}, "tetrahedral"),
]


def from_rho(rho, i=0, j=2):
    pairs = {a: float(two_point(rho, a, [(i, j)])[0]) for a in "xyz"}
    return {**spin_averages(rho), **pairs, "purity": purity(rho)}


def from_p(p, povm, i=0, j=2):
    pairs = {a: distribution_two_point(p, povm.estimators[f"sigma_{a}"], i, j) for a in "xyz"}
    return {**distribution_averages(p, povm.estimators), **pairs, "purity": distribution_purity(p, povm)}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_dynamics(case):
    name, shape, options, povm = case
    times = np.array([0.4, 1.5])
    system = build(name, shape, povm=povm, **options)
    origin = system.quantum
    qutip = evolve_qutip(origin.model, origin.states, times)
    own = list(evolve_state(Liouvillian(origin.model), density_matrix(origin.states), times))
    in_povm = list(evolve(system, 0.0, times))
    for a, b, c in zip(qutip, own, in_povm):
        expected = from_rho(a)
        assert from_rho(b.rho) == pytest.approx(expected, abs=AGREE)
        assert from_p(c.distribution, origin.povm) == pytest.approx(expected, abs=AGREE)


@pytest.mark.parametrize("model", [tfim_model((3, 2), g=1.3), heisenberg_model((5,), Jx=0.9, Jy=1.8, B=0.4)])
def test_hamiltonian_three_ways(model):
    own = Liouvillian(model).hamiltonian.toarray()
    np.testing.assert_allclose(own, hamiltonian_quspin(model), atol=1e-13)  # sums of at most 18 couplings
    np.testing.assert_allclose(own, operators(model)[0].full(), atol=1e-13)


@pytest.mark.parametrize("s", [-0.4, 0.0, 0.7])
def test_counting_three_ways(s):
    """ln Z and the scgf of the jump count: QuTiP's tilted matrix, the Liouvillian, the POVM generator."""
    system = build("heisenberg", (3,), Jx=0.9, Jy=1.8, B=0.3, initial="+x")
    t, origin = 1.3, system.quantum
    dense = tilted_qutip(origin.model, s)
    rho = density_matrix(origin.states)
    z = np.trace((expm(t * dense) @ rho.T.ravel()).reshape(8, 8)).real  # QuTiP stacks columns
    theta = np.linalg.eigvals(dense).real.max()
    own = solve(system, s, t, ["ln_Z", "activity", "susceptibility", "scgf", "gap"], observable="jumps")
    in_povm = solve(
        system, s, t, ["ln_Z", "activity", "susceptibility", "scgf", "gap"], observable="jumps", method="sparse"
    )
    own = own.set_index("quantity").value
    np.testing.assert_allclose(own, in_povm.set_index("quantity").value[own.index], atol=AGREE)
    assert own["ln_Z"] == pytest.approx(np.log(z), abs=AGREE)
    assert own["scgf"] == pytest.approx(theta, abs=AGREE)


def test_derivatives_in_s():
    """``activity`` and ``susceptibility`` are derivatives of ln Z: against central differences."""
    system, t, h, n = build("tfim", (3,), g=1.5), 2.0, 1e-3, 3
    ln_z = solve(system, [0.2 - h, 0.2, 0.2 + h], t, ["ln_Z"]).value.to_numpy()
    found = solve(system, 0.2, t, ["activity", "susceptibility"]).value.to_numpy()
    first, second = (ln_z[2] - ln_z[0]) / (2 * h), (ln_z[2] - 2 * ln_z[1] + ln_z[0]) / h**2
    np.testing.assert_allclose(found, [-first / (n * t), -second / (n * t)], atol=1e-5)  # h^2 times higher cumulants


def test_steady_states(monkeypatch):
    """Iterative, dense, QuTiP, and the null vector of the POVM generator."""
    model = heisenberg_model((4,), Jx=0.9, Jy=1.8, B=0.3)
    dense = steady_state(model)
    monkeypatch.setattr(steady, "DENSE_SPINS", 0)
    np.testing.assert_allclose(steady_state(model), dense, atol=AGREE)
    np.testing.assert_allclose(steady_qutip(model), dense, atol=AGREE)
    system = build("heisenberg", (4,), Jx=0.9, Jy=1.8, B=0.3, povm="4-pauli")
    assert np.abs(generator(system) @ system.quantum.povm.distribution(dense)).max() < 1e-12


def test_dark_state():
    """With Jx = Jy nothing lifts a spin: all down is the steady state, which the preconditioner does not know."""
    rho = steady_state(heisenberg_model((5,), Jx=1.0, Jy=1.0, Jz=0.5))
    assert rho[-1, -1].real == pytest.approx(1, abs=AGREE)


@pytest.mark.parametrize("s", [0.0, 0.3])
def test_leading_eigenvalues_iterative(s, monkeypatch):
    model = heisenberg_model((4,), Jx=0.9, Jy=1.8, B=0.3)
    dense = steady.leading_eigenvalues(model, s, 2)
    monkeypatch.setattr(steady, "DENSE_SPINS", 0)
    np.testing.assert_allclose(steady.leading_eigenvalues(model, s, 2).real, dense.real, atol=AGREE)


def test_schemes_on_exact_states():
    """Euler and trapezoid steps against their matrices in the POVM basis."""
    system, dt, steps = build("tfim", (2,), g=2.0, initial="+y"), 0.05, 6
    w, p = generator(system).toarray(), StateSpace(system).initial()
    one = np.eye(16)
    maps = {"euler": one + dt * w, "trapezoid": np.linalg.solve(one - dt / 2 * w, one + dt / 2 * w)}
    for scheme, step in maps.items():
        found = solve(system, 0, dt * steps, ["distribution"], scheme=scheme, dt=dt).value
        np.testing.assert_allclose(found, np.linalg.matrix_power(step, steps) @ p, atol=1e-10)  # GMRES to 1e-12 a step


def test_solve_speaks_for_qutip():
    system = build("tfim", (2, 2), g=1.2)
    names = ["sigma_x", "sigma_y", "sigma_z", "correlation_xx", "correlation_zz", "purity", "sigma_y_profile"]
    a, b = (solve(system, 0, [0.5, 1.0], names, method=m).value for m in ("auto", "qutip"))
    np.testing.assert_allclose(a, b, atol=AGREE)


@pytest.mark.slow
def test_published_lattice():
    """3x3 Heisenberg, Jx=0.9 Jy=1.8 Jz=1 B=0 gamma=1, all up: sigma_z(1), sigma_z(2) as given; QuTiP agrees."""
    system = build("heisenberg", (3, 3), Jx=0.9, Jy=1.8)
    names = ["sigma_x", "sigma_y", "sigma_z", "purity", "correlation_xx", "correlation_yy", "correlation_zz"]
    own = solve(system, 0, [1.0, 2.0], names)
    z = own[own.quantity == "sigma_z"].value.to_numpy()
    np.testing.assert_allclose(z, [-0.3577, -0.2620], atol=5e-5)  # given to four digits
    np.testing.assert_allclose(own.value, solve(system, 0, [1.0, 2.0], names, method="qutip").value, atol=AGREE)


@pytest.mark.slow
def test_published_lattice_in_the_povm_basis():
    """4^9 outcomes, matrix-free, against the Liouvillian: spins, two-point functions, purity."""
    system, t = build("heisenberg", (3, 3), Jx=0.9, Jy=1.8), 0.4
    origin, generator_of = system.quantum, operator(system)
    liouvillian = Liouvillian(origin.model)
    p = StateSpace(system).initial()
    steps = int(np.ceil(t * liouvillian.bound / 8))
    for _ in range(steps):
        p = taylor_step(generator_of.__matmul__, p, t / steps)
    rho = next(iter(evolve_state(liouvillian, density_matrix(origin.states), np.array([t])))).rho
    assert from_p(p, origin.povm) == pytest.approx(from_rho(rho), abs=AGREE)
