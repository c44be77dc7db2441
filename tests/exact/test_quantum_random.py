"""Random Lindbladians by every route, beside real matrices over Pauli strings; what rounding takes is refused."""

from __future__ import annotations

import numpy as np
import pytest
from pauli_strings import (
    AGREE,
    COUNTED,
    PLUS,
    SPINS,
    TILTED,
    UP,
    generator_of,
    random_lindblad,
    random_states,
    reference,
)
from scipy.linalg import expm

from vanbench.exact import InputError, solve
from vanbench.exact.definitions.pauli import I2, MINUS, X, Z
from vanbench.exact.quantum import Jump, Lindblad, LocalOperator, povm_system, tetrahedral
from vanbench.exact.quantum.evolve import evolve_state
from vanbench.exact.quantum.liouvillian import Liouvillian, density_matrix
from vanbench.exact.quantum.models import bloch_state


def free(n: int) -> Lindblad:
    """Spins that turn about x and dephase along a tilted axis; all that is not lost is an average of nothing."""
    turn = tuple(LocalOperator((i,), X) for i in range(n))
    return Lindblad((n,), turn, tuple(Jump((i,), TILTED) for i in range(n)))


def chain(jumps: list[Jump]) -> Lindblad:
    h = [LocalOperator((i,), X) for i in range(4)] + [LocalOperator((i, i + 1), np.kron(Z, Z)) for i in range(3)]
    return Lindblad((4,), tuple(h), tuple(jumps))


PAIR = (np.kron(PLUS, I2) + np.kron(I2, PLUS)) @ (np.kron(MINUS, I2) - np.kron(I2, MINUS))
GROWN = {
    "one spin": (free(1), 40.0),
    "three spins": (free(3), 12.0),
    "pairs": (chain([Jump((i, i + 1), PAIR) for i in range(3)] + [Jump((i,), MINUS, 0.1) for i in range(4)]), 20.0),
    "shifted": (chain([Jump((i,), MINUS + 0.5 * I2) for i in range(4)]), 20.0),
    "long": (free(1), 1e3),
}


@pytest.mark.parametrize("name", GROWN)
def test_no_part_of_rho_grows_that_is_none(name):
    """An anti-Hermitian part, left over by rounding, used to grow until it showed."""
    model, t = GROWN[name]
    states = np.repeat(UP, model.n_sites, axis=0)
    frame = solve(povm_system(model, tetrahedral(), states), 0.0, t, ["ln_Z", *SPINS])
    assert frame.value[0] == 0
    np.testing.assert_allclose(frame.value, reference(model, states, 0.0, t)[0], atol=1e-10)
    rho = next(evolve_state(Liouvillian(model), density_matrix(states), np.array([t]))).rho
    assert (rho == rho.conj().T).all()
    assert np.trace(rho).real == pytest.approx(1, abs=1e-14)


def test_the_values_that_were_printed():
    """-0.12 and 0.03: one spin by its Bloch equation, three by three of them."""
    z = [
        float(solve(povm_system(free(n), tetrahedral(), UP[0]), 0, t, ["sigma_z"]).value[0])
        for n, t in ((1, 40), (3, 12))
    ]
    # d r/dt = 2 x cross r - 2 (r - (r . m) m), m the tilted axis, x that of H = X
    m = np.array([0.8, 0, 0.6])
    turn = np.array([[0, 0, 0], [0, 0, -2], [0, 2, 0]])
    want = [(expm(t * (turn - 2 * (np.eye(3) - np.outer(m, m)))) @ [0, 0, 1])[2] for t in (40, 12)]
    np.testing.assert_allclose(z, want, atol=1e-12)
    assert want == pytest.approx([1.285e-9, 0.00038], rel=0.01)


def check_evolution(seed: int, latest: float) -> str:
    """Which routes answered, checked; a refusal is checked too: the rounding of the start must be near ``Z``."""
    rng = np.random.default_rng(seed)
    model = random_lindblad(rng)
    states = random_states(rng, model.n_sites)
    s = float(rng.choice([0.0, 0.0, rng.uniform(-2, 2), rng.uniform(0, 6)]))
    t = float(10 ** rng.uniform(-1, np.log10(latest)))
    want, growth = reference(model, states, s, t)
    system = povm_system(model, tetrahedral(), states)
    answered = ""
    for method in ("liouvillian", "povm"):
        try:
            found = solve(system, s, t, ["ln_Z", *SPINS], method=method).value.to_numpy()
        except InputError as error:
            refusal = str(error)
            assert "lost in" in refusal
            assert growth - want[0] > np.log(1e-6 / 1e-13)  # what grows most has come within 1e-6 of the start
            continue
        answered += method[0]
        scale = max(1.0, 1e-16 / 1e-13 * np.exp(min(growth - want[0], 700.0)))  # the reference rounds as well
        if scale < 1e3:
            np.testing.assert_allclose(found, want, atol=AGREE * max(1.0, abs(want[0])), err_msg=f"{seed} {method}")
        if s == 0:
            assert abs(found[0]) < (1e-300 if method == "liouvillian" else 1e-10)
    return answered


def test_random_evolutions():
    answers = [check_evolution(seed, 100.0) for seed in range(40)]
    assert sum("l" in answer for answer in answers) > 30
    assert check_evolution(1183, 1000.0) == "lp"  # all of it decays, and much slower than it turns


@pytest.mark.slow
def test_many_random_evolutions():
    for seed in range(1000, 3000):
        check_evolution(seed, 1000.0)


@pytest.mark.parametrize("s", [0.0, -0.7, 0.9])
def test_derivatives_at_long_times(s):
    """The cumulants grow like ``t``: their slope is that of ``theta(s)``, by differences of dense eigenvalues."""
    model, t, h = (
        Lindblad((2,), (LocalOperator((0, 1), np.kron(X, X)),), (Jump((0,), MINUS), Jump((1,), TILTED, 0.3))),
        400.0,
        1e-3,
    )
    theta = [np.linalg.eigvals(generator_of(model, s + d * h)).real.max() for d in (-2, -1, 0, 1, 2)]
    first = (theta[0] - 8 * theta[1] + 8 * theta[3] - theta[4]) / (12 * h)
    second = (-theta[0] + 16 * theta[1] - 30 * theta[2] + 16 * theta[3] - theta[4]) / (12 * h**2)
    system = povm_system(model, tetrahedral(), UP[0])
    early, late = (solve(system, s, at, COUNTED).value.to_numpy() * [1, -2 * at, -2 * at] for at in (t / 2, t))
    slopes = (late - early) / (t / 2)
    np.testing.assert_allclose(slopes, [theta[2], first, second], atol=1e-8)  # h^4 times the fifth and sixth cumulant


ROTATED = np.linalg.eigh(TILTED)[1][:, ::-1]  # its up is the tilted axis
LOST = {
    "the other side is counted": (Jump((0,), (I2 + TILTED) / 2), (-0.8, 0, -0.6), -3.0, 5.0),
    "a dark state ends up alone": (Jump((0,), ROTATED @ MINUS @ ROTATED.conj().T), (0.8, 0, 0.6), 50.0, 100.0),
}


@pytest.mark.parametrize("method", ["liouvillian", "povm"])
@pytest.mark.parametrize("name", LOST)
def test_a_start_that_is_lost_in_rounding_is_refused(name, method):
    """By hand ln Z = 0 and -50; rounding along an axis that is not exact in binary fills what grows most."""
    jump, axis, s, t = LOST[name]
    with pytest.raises(InputError, match="lost in"):
        solve(povm_system(Lindblad((1,), (), (jump,)), tetrahedral(), bloch_state(axis)), s, t, ["ln_Z"], method=method)


@pytest.mark.parametrize(("matrix", "axis", "s", "want"), [((I2 + Z) / 2, -1, -3.0, 0.0), (MINUS, 1, 50.0, -50.0)])
def test_along_z_no_digit_is_lost(matrix, axis, s, want):
    system = povm_system(Lindblad((1,), (), (Jump((0,), matrix),)), tetrahedral(), bloch_state((0, 0, axis)))
    assert solve(system, s, 100.0, ["ln_Z"]).value[0] == pytest.approx(want, abs=1e-9)
