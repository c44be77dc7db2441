"""Open quantum systems: measurements, generators and closed forms; bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vanbench.exact import SYSTEMS, Connections, InputError, StateSpace, build, generator, solve
from vanbench.exact.definitions.pauli import I2, MINUS, X, Y, Z, embed, pauli_strings
from vanbench.exact.definitions.povm import POVMS
from vanbench.exact.quantum import (
    Jump,
    Lindblad,
    LocalOperator,
    Povm,
    four_pauli,
    heisenberg_model,
    povm_by_name,
    povm_system,
    product_state,
    tetrahedral,
    tfim_model,
)
from vanbench.exact.quantum.liouvillian import Liouvillian, density_matrix, from_real, to_real
from vanbench.exact.quantum.observables import (
    distribution_averages,
    distribution_purity,
    distribution_two_point,
    purity,
    smallest_eigenvalue,
    spin_averages,
    two_point,
)
from vanbench.exact.quantum.steady import leading_eigenvalues, steady_state

ROUNDING = 1e-13  # sums of a few hundred products of numbers of order one
STARTS = ("up", "down", "+x", "-x", "+y", "-y", "+z", "-z")


def random_state(rng: np.random.Generator, n: int) -> np.ndarray:
    a = rng.standard_normal((2**n, 2**n, 2)) @ np.array([1, 1j])
    rho = a @ a.conj().T
    return rho / np.trace(rho)


def random_model(rng: np.random.Generator, n: int = 3) -> Lindblad:
    """One- and two-site pieces of every kind, on sites in any order."""

    def matrix(k: int) -> np.ndarray:
        return rng.standard_normal((2**k, 2**k, 2)) @ np.array([1, 1j])

    def sites(k: int) -> tuple[int, ...]:
        return tuple(int(i) for i in rng.permutation(n)[:k])

    h = [LocalOperator(sites(k), (m := matrix(k)) + m.conj().T) for k in (1, 2, 2)]
    return Lindblad((n,), tuple(h), tuple(Jump(sites(k), matrix(k), rng.random()) for k in (1, 2)))


@pytest.mark.parametrize("name", POVMS)
def test_povm_round_trip(name, rng):
    povm, rho = povm_by_name(name), random_state(rng, 3)
    np.testing.assert_allclose(np.einsum("aij,bji->ab", povm.elements, povm.dual), np.eye(4), atol=ROUNDING)
    p = povm.distribution(rho)
    assert p.min() > 0
    assert p.sum() == pytest.approx(1, abs=ROUNDING)
    np.testing.assert_allclose(povm.density_matrix(p), rho, atol=ROUNDING)
    assert distribution_purity(p, povm) == pytest.approx(purity(rho), abs=ROUNDING)
    found = distribution_averages(p, povm.estimators)
    for key, value in spin_averages(rho).items():
        assert found[key] == pytest.approx(value, abs=ROUNDING)
    for axis in "xyz":
        pair = distribution_two_point(p, povm.estimators[f"sigma_{axis}"], 0, 2)
        assert pair == pytest.approx(two_point(rho, axis, [(0, 2)])[0], abs=ROUNDING)


def test_published_outcome_order():
    """4-Pauli: +z, +x, +y, rest; tetrahedral: the first corner on +z, the second towards +x."""
    up = four_pauli().probabilities(product_state("+z", 1))[0]
    np.testing.assert_allclose(up, [1 / 3, 1 / 6, 1 / 6, 1 / 3], atol=ROUNDING)
    np.testing.assert_allclose(four_pauli().probabilities(product_state("-x", 1))[0], [1 / 6, 0, 1 / 6, 2 / 3])
    plus = tetrahedral().probabilities(product_state("+x", 1))[0]
    assert plus.argmax() == 1
    np.testing.assert_allclose(tetrahedral().probabilities(product_state("-z", 1))[0], [0, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", POVMS)
def test_product_starts(name, start):
    system = build("heisenberg", (2,), povm=name, initial=start)
    p = StateSpace(system).initial()
    rho = density_matrix(system.quantum.states)
    np.testing.assert_allclose(p, system.quantum.povm.distribution(rho), atol=ROUNDING)
    axis, sign = {"up": ("z", 1), "down": ("z", -1)}.get(start, (start[1], 1 if start[0] == "+" else -1))
    found = distribution_averages(p, system.local_observables)
    assert found == pytest.approx({f"sigma_{a}": sign * (a == axis) for a in "xyz"}, abs=ROUNDING)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(POVMS)), st.floats(-1, 1))
def test_generator_of_random_models(seed, name, s):
    """Sparse and matrix-free Liouvillian and the POVM generator are one map, tilted too; trace is conserved."""
    rng = np.random.default_rng(seed)
    model, povm = random_model(rng), povm_by_name(name)
    rho = random_state(rng, 3)
    liouvillian = Liouvillian(model, s)
    image = liouvillian.apply(rho)
    scale = liouvillian.bound
    np.testing.assert_allclose(liouvillian.sparse() @ rho.ravel(), image.ravel(), atol=ROUNDING * scale)
    np.testing.assert_allclose(liouvillian.apply_real(to_real(rho)), to_real(image), atol=ROUNDING * scale)
    system = povm_system(model, povm, product_state("up", 3))
    w = generator(system, s, "jumps")
    # the inverse of the overlaps multiplies rounding by at most its norm, 12 a site for 4-Pauli
    np.testing.assert_allclose(w @ povm.distribution(rho), povm.distribution(image), atol=30 * ROUNDING * scale)
    plain = generator(system)
    assert np.abs(plain.sum(axis=0)).max() < 1e3 * ROUNDING * scale
    x = StateSpace(system).configurations()
    p = povm.distribution(rho)
    ratio = Connections(system, s, "jumps").local_ratio(x, lambda y: np.log(p)[StateSpace(system).index(y)])
    np.testing.assert_allclose(ratio * p, w @ p, atol=30 * ROUNDING * scale)


def test_real_form(rng):
    rho = random_state(rng, 3)
    np.testing.assert_allclose(from_real(to_real(rho), 8), rho, atol=1e-16)
    assert np.linalg.norm(to_real(rho)) == pytest.approx(np.linalg.norm(rho), rel=1e-14)


def test_bound_holds(rng):
    for s in (-0.7, 0.0, 0.5):
        liouvillian = Liouvillian(random_model(rng), s)
        assert np.linalg.norm(liouvillian.sparse().toarray(), 2) <= liouvillian.bound * (1 + 1e-12)


def test_embed_and_strings(rng):
    a = rng.standard_normal((4, 4, 2)) @ np.array([1, 1j])
    np.testing.assert_allclose(embed((0, 1), a, 3).toarray(), np.kron(a, np.eye(2)))
    swapped = a.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)
    np.testing.assert_allclose(embed((2, 1), a, 3).toarray(), np.kron(np.eye(2), swapped))
    assert pauli_strings(np.kron(X, Z) - 2 * np.kron(np.eye(2), Y)) == {"iy": -2, "xz": 1}


def test_bonds_of_the_lattices():
    """2 N bonds on a periodic square lattice, one on a periodic direction of length 2, none on length 1."""
    for shape, bonds in [((3, 3), 18), ((2, 2), 4), ((2,), 1), ((5,), 5), ((1,), 0), ((2, 3), 9)]:
        model = heisenberg_model(shape)
        assert len([h for h in model.hamiltonian if len(h.sites) == 2]) == bonds
    assert len(heisenberg_model((3, 3), boundary="open").hamiltonian) == 12


# -- closed forms --------------------------------------------------------------------------------------------------


def values(frame, quantity):
    return frame[frame.quantity == quantity].value.to_numpy()


def test_decay_of_free_spins():
    """sigma_z = 2 exp(-gamma t) - 1 and Z = (exp(-gamma t) + (1 - exp(-gamma t)) exp(-s))^N: each spin jumps once."""
    gamma, s, t, n = 0.7, 0.4, np.array([0.3, 2.0]), 3
    system = build("heisenberg", (n,), Jx=0.0, Jy=0.0, Jz=0.0, gamma=gamma)
    frame = solve(system, s, t, ["ln_Z", "activity"], observable="jumps")
    left = np.exp(-gamma * t)
    one = left + (1 - left) * np.exp(-s)
    np.testing.assert_allclose(values(frame, "ln_Z"), n * np.log(one), atol=1e-12)
    np.testing.assert_allclose(values(frame, "activity"), (1 - left) * np.exp(-s) / one / t, atol=1e-12)
    np.testing.assert_allclose(values(solve(system, 0, t, ["sigma_z"]), "sigma_z"), 2 * left - 1, atol=1e-12)


def test_larmor_precession():
    """``H = B z``, no decay: a spin along +x turns with frequency 2 B; the state stays pure."""
    system = build("heisenberg", (2,), Jx=0.0, Jy=0.0, Jz=0.0, B=0.8, gamma=0.0, initial="+x")
    t = np.array([0.5, 3.0])
    frame = solve(system, 0, t, ["sigma_x", "sigma_y", "purity"])
    np.testing.assert_allclose(values(frame, "sigma_x"), np.cos(1.6 * t), atol=1e-12)
    np.testing.assert_allclose(values(frame, "sigma_y"), np.sin(1.6 * t), atol=1e-12)
    np.testing.assert_allclose(values(frame, "purity"), 1, atol=1e-12)


def test_resonance_fluorescence():
    """One driven spin: the steady optical Bloch equations, ``sigma_z = -1/(1 + 2 g^2/gamma^2)``."""
    g, gamma = 1.3, 0.6
    frame = solve(
        build("tfim", (1,), g=g, gamma=gamma), quantities=["steady_sigma_x", "steady_sigma_y", "steady_sigma_z"]
    )
    z = -1 / (1 + 2 * g**2 / gamma**2)
    np.testing.assert_allclose(frame.value, [0, -2 * g / gamma * z, z], atol=1e-12)


def test_scgf_of_resonance_fluorescence():
    """theta(s) of one driven spin: the largest root of the cubic of its tilted Bloch equations."""
    g, gamma, s = 0.9, 1.1, -0.35
    # in the basis (1, y, z): d/dt of <1>_s, <y>_s, <z>_s with n_up = (1 + z)/2, x decoupled
    e = np.expm1(-s) * gamma / 2
    bloch = np.array([[e, 0, e], [0, -gamma / 2, -g], [-gamma - e, g, -gamma - e]])
    theta = np.linalg.eigvals(bloch).real.max()
    frame = solve(build("tfim", (1,), g=g, gamma=gamma), s, quantities=["scgf"])
    assert frame.value[0] == pytest.approx(theta, abs=1e-12)


def test_physicality():
    frame = solve(build("tfim", (3,), g=1.5), 0, [0.4], ["distribution"])
    rho = tetrahedral().density_matrix(frame.value.to_numpy())
    assert smallest_eigenvalue(rho) > -1e-12
    assert smallest_eigenvalue(rho - 0.5 * np.eye(8)) < 0


# -- bad input -----------------------------------------------------------------------------------------------------

PARTLY = Lindblad((5,), (), (Jump((0,), MINUS), Jump((1,), MINUS)))  # spins 2, 3, 4 never move
FLAT = np.array([np.eye(2) + c * X + s * Z for c, s in [(1, 0), (-1, 0), (0, 1), (0, -1)]]) / 4
BAD = {
    "not informationally complete": lambda: Povm("flat", FLAT),
    "four 2 x 2": lambda: Povm("six", np.zeros((6, 2, 2))),
    "add up": lambda: Povm("half", tetrahedral().elements / 2),
    "must add up": lambda: Povm("nearly", tetrahedral().elements * (1 + 1e-9)),
    "Hermitian with no": lambda: Povm("nearly", tetrahedral().elements + 1e-9 * np.triu(np.ones((2, 2)), 1)),
    "negative eigenvalue": lambda: Povm("neg", np.array([-np.eye(2), np.eye(2), np.eye(2), 0 * X])),
    "unknown POVM": lambda: build("tfim", (2,), povm="tetra"),
    "unknown start": lambda: build("tfim", (2,), initial="sideways"),
    "unknown boundary": lambda: build("tfim", (2,), boundary="up"),
    "not Hermitian": lambda: Lindblad((2,), (LocalOperator((0,), MINUS),), ()),
    "rate": lambda: Jump((0,), MINUS, -1.0),
    "gamma": lambda: build("heisenberg", (2,), gamma=-0.1),
    "coupling": lambda: build("heisenberg", (2,), Jx=float("nan")),
    "only 2 sites": lambda: Lindblad((2,), (LocalOperator((2,), Z),), ()),
    "distinct": lambda: LocalOperator((1, 1), np.eye(4)),
    "4 x 4": lambda: LocalOperator((0, 1), Z),
    "not finite": lambda: LocalOperator((0,), Z * np.inf),
    "GiB": lambda: solve(build("tfim", (20,)), quantities=["sigma_z"]),
    "unknown quantity": lambda: solve(build("tfim", (2,)), quantities=["sigma_q"]),
    "unknown observable": lambda: solve(build("tfim", (2,)), quantities=["ln_Z"], observable="current"),
    "unknown scheme": lambda: solve(build("tfim", (2,)), scheme="leapfrog"),
    "needs a positive time step": lambda: solve(build("tfim", (2,)), scheme="trapezoid"),
    "no multiple": lambda: solve(build("tfim", (2,)), times=[1.0], scheme="euler", dt=0.3),
    "not negative": lambda: solve(build("tfim", (2,)), times=[-1.0]),
    "no unique steady state": lambda: solve(build("tfim", (2,), gamma=0.0), quantities=["steady_sigma_z"]),
    "of up to 6 spins": lambda: solve(build("tfim", (7,)), quantities=["steady_sigma_z"], method="povm"),
    "states, not ln_Z": lambda: solve(build("tfim", (2,)), quantities=["ln_Z"], method="qutip"),
    "no sigma_z: take 'povm'": lambda: solve(build("tfim", (2,)), quantities=["sigma_z"], method="sparse"),
    "unstable": lambda: solve(build("tfim", (2,)), 0, [40.0], ["sigma_z"], scheme="euler", dt=2.0),
    "takes 5e": lambda: solve(build("tfim", (2,), V=1e60), quantities=["sigma_z"]),
    "too large": lambda: solve(build("tfim", (2,), V=1e300), quantities=["sigma_z"]),
    "density matrix": lambda: povm_system(tfim_model((2,)), tetrahedral(), np.zeros((3, 2, 2))),
    "trace 1": lambda: povm_system(tfim_model((2,)), tetrahedral(), np.eye(2)),
    "have trace 1": lambda: povm_system(tfim_model((2,)), tetrahedral(), I2 / 2 * (1 + 1e-9)),
    "must be Hermitian with": lambda: povm_system(tfim_model((2,)), tetrahedral(), I2 / 2 + 1e-9 * MINUS),
    "states: every one must be Hermitian": lambda: povm_system(tfim_model((2,)), tetrahedral(), I2 / 2 + X),
    "matrix of numbers": lambda: LocalOperator((0,), [["a", "b"], ["c", "d"]]),
    "not unique": lambda: steady_state(PARTLY),
    "slower than the rest: the steady state is lost in rounding": lambda: steady_state(
        heisenberg_model((2,), gamma=1e-14)
    ),
    "positive time step: give": lambda: solve(build("tfim", (2,)), scheme="euler", dt=np.inf),
    "makes 1e": lambda: solve(build("tfim", (2,)), scheme="euler", dt=1e-300),
    "makes 2e": lambda: solve(build("tfim", (2,)), times=[2.0], scheme="trapezoid", dt=1e-8),
    "s = -800 is out of range": lambda: solve(build("tfim", (2,)), -800.0, quantities=["scgf"]),
    "whole numbers in a tuple": lambda: Jump((0.5,), MINUS),
    "rate x must be": lambda: Jump((0,), MINUS, "x"),
    "longer than 1": lambda: __import__("vanbench.exact.quantum.models", fromlist=["x"]).bloch_state((1, 1, 0)),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("message", BAD)
def test_bad_input(message):
    with pytest.raises(InputError, match=message):
        BAD[message]()


def test_slow_decay_still_has_one_steady_state():
    """In units of the decay rates nothing is degenerate, whatever the couplings."""
    slow, fast = (steady_state(heisenberg_model((2,), Jx=1000 * f, Jy=f, Jz=f, gamma=1e-3 * f)) for f in (1e-3, 1.0))
    assert np.allclose(slow, fast, atol=1e-6)
    assert np.linalg.norm(Liouvillian(heisenberg_model((2,), Jx=1.0, Jy=1e-3, Jz=1e-3, gamma=1e-6)).apply(slow)) < 1e-9


def test_nothing_decays():
    """Unitary: no Krylov method can pick one of 2^N zero eigenvalues, and none has to."""
    np.testing.assert_array_equal(leading_eigenvalues(tfim_model((6,), gamma=0.0), 0.3), 0)


def test_registered():
    assert {"tfim", "heisenberg"} <= set(SYSTEMS)
    assert build("tfim", (3,)).observables == ["activity", "jumps"]
    assert tfim_model((3,)).n_sites == 3
