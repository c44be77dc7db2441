"""Three routes to an open quantum system agree: QuTiP, the Liouvillian, the generator in the POVM basis; and QuSpin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import qutip
from scipy.linalg import expm

from vanbench.exact import StateSpace, build, generator, solve
from vanbench.exact.matrixfree.kernel import operator
from vanbench.exact.quantum import (
    Jump,
    Lindblad,
    LocalOperator,
    Povm,
    heisenberg_model,
    povm_system,
    steady,
    tetrahedral,
    tfim_model,
)
from vanbench.exact.quantum.evolve import evolve_state, taylor_step
from vanbench.exact.quantum.liouvillian import Liouvillian, density_matrix
from vanbench.exact.quantum.observables import (
    distribution_averages,
    distribution_purity,
    distribution_two_point,
    purity,
    spin_averages,
    two_point,
)
from vanbench.exact.quantum.qutip_route import evolve_qutip, operators, steady_qutip, tilted_qutip
from vanbench.exact.quantum.steady import steady_state
from vanbench.exact.sparse import quspin_route
from vanbench.exact.sparse.propagate import evolve

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
    parts = [(part.sites, part.matrix[::-1, ::-1]) for part in model.hamiltonian]  # up is index 1 there
    theirs = quspin_route.operator(parts, model.n_sites, np.complex128).toarray()[::-1, ::-1]
    np.testing.assert_allclose(own, theirs, atol=1e-13)  # sums of at most 18 couplings
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


def test_the_gap_against_all_eigenvalues_in_the_povm_basis():
    """Arnoldi on ``exp(L)`` of density matrices, and the dense generator of outcome distributions."""
    system = build("heisenberg", (5,), Jx=0.9, Jy=1.8, B=0.3)
    values, residuals = steady.leading_pairs(system.quantum.model)
    found = np.linalg.eigvals(generator(system).toarray())
    assert (residuals < 1e-9).all()
    np.testing.assert_allclose(values.real, np.sort(found.real)[::-1][:2], atol=AGREE)


def test_schemes_on_exact_states():
    """Euler and trapezoid steps against their matrices in the POVM basis."""
    system, dt, steps = build("tfim", (2,), g=2.0, initial="+y"), 0.05, 6
    w, p = generator(system).toarray(), StateSpace(system).initial()
    one = np.eye(16)
    maps = {"euler": one + dt * w, "trapezoid": np.linalg.solve(one - dt / 2 * w, one + dt / 2 * w)}
    for scheme, step in maps.items():
        found = solve(system, 0, dt * steps, ["distribution"], scheme=scheme, dt=dt).value
        np.testing.assert_allclose(found, np.linalg.matrix_power(step, steps) @ p, atol=1e-10)  # GMRES to 1e-12 a step


SPINS = ["sigma_x", "sigma_y", "sigma_z"]
STATE = [*SPINS, "purity", "correlation_xx", "correlation_yy", "correlation_zz", "sigma_y_profile", "distribution"]


@pytest.mark.parametrize("boundary", ["periodic", "open"])
def test_solve_by_three_methods(boundary):
    """Every quantity of the evolved and of the steady state, by name, from each route."""
    system = build("tfim", (2, 2), g=1.2, boundary=boundary, povm="4-pauli", initial="+y")
    names = [*STATE, *(f"steady_{name}" for name in STATE)]
    found = {m: solve(system, 0, [0.5, 1.0], names, method=m) for m in ("liouvillian", "povm", "qutip")}
    assert set(found["povm"].quantity) == set(names)
    for method, frame in found.items():
        assert frame.attrs["method"] == method
        np.testing.assert_allclose(frame.value, found["liouvillian"].value, atol=AGREE)


@pytest.mark.parametrize("s", [-0.3, 0.4])
def test_counting_by_name_in_the_povm_basis(s):
    system = build("heisenberg", (2, 2), Jx=0.9, Jy=1.8, initial="+x", povm="4-pauli")
    names = ["ln_Z", "activity", "susceptibility", "scgf", "gap", "sigma_z"]
    own, other = (solve(system, s, [0.0, 1.5], names, method=m) for m in ("liouvillian", "povm"))
    np.testing.assert_allclose(own.value, other.value, atol=AGREE)


def qutip_lattice(shape, periodic, bond, field):
    """``sum_<ij> bond + sum_i field`` from coordinates, in QuTiP alone: ``bond`` and ``field`` are ``{axis: J}``."""
    sites = list(itertools.product(*map(range, shape)))
    pauli = {"x": qutip.sigmax(), "y": qutip.sigmay(), "z": qutip.sigmaz()}

    def at(**places):
        return qutip.tensor([pauli[places[f"s{i}"]] if f"s{i}" in places else qutip.qeye(2) for i in range(len(sites))])

    bonds = set()
    for x, axis in itertools.product(sites, range(len(shape))):
        y = list(x)
        y[axis] += 1
        if periodic:
            y[axis] %= shape[axis]
        if tuple(y) in sites and tuple(y) != x:
            bonds.add(frozenset((sites.index(x), sites.index(tuple(y)))))
    h = sum(J * at(**{f"s{i}": a, f"s{j}": a}) for i, j in map(sorted, bonds) for a, J in bond.items())
    h += sum(J * at(**{f"s{i}": a}) for i in range(len(sites)) for a, J in field.items())
    lower = [(at(**{f"s{i}": "x"}) - 1j * at(**{f"s{i}": "y"})) / 2 for i in range(len(sites))]
    mean = {f"sigma_{a}": sum(at(**{f"s{i}": a}) for i in range(len(sites))) / len(sites) for a in "xyz"}
    return h, lower, mean


LATTICES = [
    ("heisenberg", (2, 3), {"Jx": 0.7, "Jy": -1.1, "Jz": 0.4, "B": 0.6, "gamma": 0.8}, "-x"),
    ("tfim", (5,), {"V": 1.7, "g": 0.9, "gamma": 1.3}, "+y"),
    ("tfim", (3, 2), {"V": -0.6, "g": 2.1, "gamma": 0.5}, "down"),
]


@pytest.mark.parametrize("boundary", ["periodic", "open"])
@pytest.mark.parametrize(("name", "shape", "params", "start"), LATTICES)
def test_against_qutip_without_our_models(name, shape, params, start, boundary):
    """The formulas of the two models written once more, in QuTiP: bonds, signs, rates and starts are the published."""
    p = {"Jx": 0, "Jy": 0, "Jz": 0, "B": 0, **params}
    if name == "heisenberg":
        h, lower, mean = qutip_lattice(shape, boundary == "periodic", {a: p[f"J{a}"] for a in "xyz"}, {"z": p["B"]})
    else:
        h, lower, mean = qutip_lattice(shape, boundary == "periodic", {"z": p["V"] / 4}, {"x": p["g"] / 2})
    start_axis, sign = ("z", -1) if start == "down" else (start[1], 1 if start[0] == "+" else -1)
    one = (qutip.qeye(2) + sign * {"x": qutip.sigmax(), "y": qutip.sigmay(), "z": qutip.sigmaz()}[start_axis]) / 2
    n, t = int(np.prod(shape)), 0.8
    options = {"rtol": 1e-10, "atol": 1e-12, "progress_bar": ""}
    jumps = [np.sqrt(p["gamma"]) * g for g in lower]
    found = qutip.mesolve(h, qutip.tensor([one] * n), [0, t], c_ops=jumps, e_ops=mean, options=options)
    own = solve(build(name, shape, boundary=boundary, initial=start, **params), 0, t, SPINS).set_index("quantity").value
    for spin in SPINS:
        assert own[spin] == pytest.approx(found.e_data[spin][-1], abs=AGREE)


def test_users_own_model():
    """Local terms from QuTiP or as lists, correlated jumps, a POVM turned by hand: the three routes agree."""
    pair = Jump((0, 2), qutip.tensor(qutip.sigmam(), qutip.sigmaz()), 0.7)
    terms = (
        LocalOperator((1, 0), qutip.tensor(qutip.sigmax(), qutip.sigmay())),
        LocalOperator((2,), [[1, 2], [2, -1]]),
    )
    model = Lindblad((3,), terms, (pair, *(Jump((i,), [[0, 0], [1, 0]], 0.5) for i in range(3))))
    turn = expm(0.3j * qutip.sigmax().full())
    povm = Povm("turned", turn @ tetrahedral().elements @ turn.conj().T)
    system = povm_system(model, povm, np.array([[0.6, 0.3], [0.3, 0.4]]), "own")
    names = [*SPINS, "purity", "correlation_xx", "steady_sigma_z"]
    frames = [solve(system, 0, [0.7], names, method=m) for m in ("liouvillian", "povm", "qutip")]
    for frame in frames[1:]:
        np.testing.assert_allclose(frame.value, frames[0].value, atol=AGREE)


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


@pytest.mark.parametrize("options", [{}, {"scheme": "euler", "dt": 1e-3}, {"scheme": "trapezoid", "dt": 1e-3}])
def test_long_evolutions_say_how_far_they_are(monkeypatch, options):
    told: list[str] = []
    monkeypatch.setattr("vanbench.exact.quantum.evolve.PROBE", 5)
    solve(
        build("tfim", (1,), g=0.1),
        0.0,
        [0.1, 60.0 if not options else 0.2],
        ["sigma_z"],
        progress=told.append,
        **options,
    )
    steps = [line for line in told if " to t = " in line]
    assert len(steps) >= 2
    assert all(int(line.split("step ")[1].split()[0]) % 5 == 0 for line in steps)
