"""Random Lindbladians by every route, beside real matrices over Pauli strings; what rounding takes is refused."""

from __future__ import annotations

import re

import mpmath
import numpy as np
import pytest
from scipy.linalg import expm

from vanbench.exact import InputError, solve
from vanbench.exact.definitions.pauli import I2, MINUS, PAULI, X, Z
from vanbench.exact.quantum import Jump, Lindblad, LocalOperator, povm_system, steady, tetrahedral
from vanbench.exact.quantum.evolve import evolve_state
from vanbench.exact.quantum.liouvillian import Liouvillian, density_matrix
from vanbench.exact.quantum.models import bloch_state

AGREE = 1e-8  # of values of order one; relative of ln Z beyond
PLUS = MINUS.conj().T
TILTED = 0.6 * Z + 0.8 * X  # a Pauli matrix whose eigenvectors are not exact in binary
COUNTED = ["ln_Z", "activity", "susceptibility"]
SPINS = ["sigma_x", "sigma_y", "sigma_z", "purity"]


# -- the reference: real matrices over Pauli strings, built from Kronecker products alone ---------------------------


def full(sites: tuple[int, ...], matrix: np.ndarray, n: int) -> np.ndarray:
    rest = [i for i in range(n) if i not in sites]
    at = np.argsort([*sites, *rest])
    whole = np.kron(matrix, np.eye(2 ** len(rest))).reshape((2,) * (2 * n))
    return whole.transpose([*at, *(n + at)]).reshape(2**n, 2**n)


def strings(n: int) -> np.ndarray:
    found = [np.ones((1, 1))]
    for _ in range(n):
        found = [np.kron(a, b) for a in found for b in (I2, *PAULI.values())]
    return np.array(found)


def parts(model: Lindblad) -> tuple[np.ndarray, list[tuple[float, np.ndarray, np.ndarray]]]:
    """``R_ab = Tr(P_a L[P_b]) / D`` real: of ``H``, and of each jump (rate, recycling, loss)."""
    n, p = model.n_sites, strings(model.n_sites)

    def matrix(action) -> np.ndarray:  # type: ignore[no-untyped-def]
        return np.einsum("aij,bji->ab", p, np.array([action(q) for q in p]), optimize=True).real / 2**n

    h = sum((full(part.sites, part.matrix, n) for part in model.hamiltonian), np.zeros((2**n, 2**n)))
    jumps = []
    for jump in model.jumps:
        g = full(jump.sites, jump.matrix, n)
        loss = g.conj().T @ g / 2
        recycled = matrix(lambda q, g=g: g @ q @ g.conj().T)
        jumps.append((jump.rate, recycled, matrix(lambda q, loss=loss: -loss @ q - q @ loss)))
    return matrix(lambda q: -1j * (h @ q - q @ h)), jumps


def generator_of(model: Lindblad, s: float) -> np.ndarray:
    coherent, jumps = parts(model)
    out = coherent + sum(rate * (np.exp(-s) * recycled + loss) for rate, recycled, loss in jumps)
    if s == 0:
        out[0] = 0.0  # the trace is conserved
    return out


def bloch(model: Lindblad, states: np.ndarray) -> np.ndarray:
    rho = density_matrix(states)
    return np.einsum("aij,ji->a", strings(model.n_sites), rho).real


def spins_of(v: np.ndarray, n: int) -> list[float]:
    """Site averages of x, y, z, and the purity, of the coefficients ``v`` (``v[0] = 1``)."""
    return [*(np.mean([v[a * 4**i] for i in range(n)]) for a in (1, 2, 3)), v @ v / 2**n]


def reference(model: Lindblad, states: np.ndarray, s: float, t: float) -> tuple[np.ndarray, float]:
    """``ln Z, sigma_x, sigma_y, sigma_z, purity`` and ``t theta``."""
    matrix = generator_of(model, s)
    theta = float(np.linalg.eigvals(matrix).real.max()) if s else 0.0
    v = expm(t * (matrix - theta * np.eye(len(matrix)))) @ bloch(model, states)
    with np.errstate(divide="ignore"):  # where all that grows is lost, rounding may be negative
        log = np.log(max(v[0], 0.0))
    return np.array([log + t * theta, *spins_of(v / v[0], model.n_sites)]), t * theta


# -- models ---------------------------------------------------------------------------------------------------------


def random_matrix(rng: np.random.Generator, k: int) -> np.ndarray:
    return rng.standard_normal((2**k, 2**k, 2)) @ np.array([1, 1j])


def random_lindblad(rng: np.random.Generator) -> Lindblad:
    """Non-normal jumps, dephasing and projections along tilted axes, jumps with decoherence-free states, weak decay."""
    n = int(rng.integers(1, 4))

    def sites(k: int) -> tuple[int, ...]:
        return tuple(int(i) for i in rng.permutation(n)[:k])

    def jump() -> Jump:
        k = int(rng.integers(1, min(n, 2) + 1))
        pair = np.kron(PLUS, I2) + np.kron(I2, PLUS)
        dark = pair @ (np.kron(MINUS, I2) - np.kron(I2, MINUS))
        kinds = [random_matrix(rng, 1), TILTED, (I2 + TILTED) / 2, MINUS + 0.5 * I2, MINUS]
        one = [*kinds, dark][rng.integers(6 if k == 2 else 5)]
        if k == 2 and len(one) == 2:
            one = random_matrix(rng, 2)
        return Jump(
            sites(len(one).bit_length() - 1), one, float(10 ** rng.uniform(-4, 0)) if rng.random() < 0.5 else 1.0
        )

    h = [LocalOperator((i,), [X, TILTED, Z][rng.integers(3)] * rng.random()) for i in range(n) if rng.random() < 0.8]
    if n > 1:
        h += [LocalOperator(sites(2), (m := random_matrix(rng, 2) / 2) + m.conj().T)]
    return Lindblad((n,), tuple(h), tuple(jump() for _ in range(int(rng.integers(1, 4)))))


def random_states(rng: np.random.Generator, n: int) -> np.ndarray:
    axes = [(0, 0, 1), (0.8, 0, 0.6), (-0.8, 0, -0.6), (0.36, 0.48, 0.8), (0, 0, 0)]
    return np.array([bloch_state(axes[rng.integers(len(axes))]) for _ in range(n)])


# -- the evolved state ----------------------------------------------------------------------------------------------


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
UP = np.array([bloch_state((0, 0, 1))])


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


# -- steady states --------------------------------------------------------------------------------------------------


def collective(n: int) -> Lindblad:
    lower = sum(np.kron(np.kron(np.eye(2**i), MINUS), np.eye(2 ** (n - 1 - i))) for i in range(n))
    return Lindblad((n,), (), (Jump(tuple(range(n)), lower),))


SHARED = {
    "collective decay": collective(2),
    "of three": collective(3),
    "by iteration": Lindblad((5,), (), tuple(Jump((i,), MINUS) for i in range(4))),
    "dephasing": Lindblad((2,), (), (Jump((0,), Z), Jump((1,), Z))),
    "a conserved product": Lindblad((2,), (LocalOperator((0, 1), np.kron(X, X)),), (Jump((0,), X, 0.3),)),
    "a spin left alone": Lindblad((2,), (LocalOperator((1,), X),), (Jump((0,), MINUS),)),
}


@pytest.mark.parametrize("method", ["auto", "povm", "qutip"])
@pytest.mark.parametrize("name", SHARED)
def test_steady_states_that_are_not_unique_are_refused_alike(name, method):
    system = povm_system(SHARED[name], tetrahedral(), UP[0])
    with pytest.raises(InputError, match=f"^{re.escape(steady.NOT_UNIQUE)}$"):
        solve(system, quantities=["steady_purity"], method=method)


def slow_first(n: int, rate: float) -> Lindblad:
    fast = range(1, n)
    h = tuple(LocalOperator((i,), 0.8 * X) for i in fast)
    return Lindblad((n,), h, (Jump((0,), MINUS, rate), Jump((0,), PLUS, 3 * rate), *(Jump((i,), MINUS) for i in fast)))


@pytest.mark.parametrize("n", [4, 5, 6, 7])
@pytest.mark.parametrize("rate", [1e-12, 1e-10, 1e-8, 1e-4])
def test_one_spin_is_slow(n, rate):
    """+1/2 by the two rates; where rounding hides it, the refusal, whatever the number of spins."""
    system = povm_system(slow_first(n, rate), tetrahedral(), UP[0])
    if rate < 1e-9:
        with pytest.raises(InputError, match="too slow for rounding"):
            solve(system, quantities=["steady_sigma_z_profile"])
        return
    row = solve(system, quantities=["steady_sigma_z_profile"]).iloc[0]
    assert abs(row.value - 0.5) <= row.bound <= 1e-4
    assert row.bound_kind == "estimated"


def exact_in_binary(rng: np.random.Generator, n: int) -> Lindblad:
    """Entries that are small whole numbers, so that nothing but the rates, over 12 decades, is rounded."""

    def whole(k: int) -> np.ndarray:
        return rng.integers(-1, 2, (2**k, 2**k)) + 1j * rng.integers(-1, 2, (2**k, 2**k))

    def rate() -> float:
        return float(10 ** rng.uniform(-12, 0)) if rng.random() < 0.5 else 1.0

    h = [LocalOperator((i,), float(rng.integers(3)) / 2 * X) for i in range(n)]
    if n > 1 and rng.random() < 0.7:
        h.append(LocalOperator((0, 1), (m := whole(2)) + m.conj().T))
    jumps = [Jump((i,), g, rate()) for i in range(n) for g in (MINUS, PLUS)]
    jumps += [Jump((int(rng.integers(n)),), whole(1), rate()) for _ in range(int(rng.integers(2)))]
    return Lindblad((n,), tuple(h), tuple(jumps))


def steady_reference(model: Lindblad) -> np.ndarray:
    """``sigma_x, sigma_y, sigma_z, purity`` in 60 digits: entries are exact, rates are added in mpmath."""
    coherent, jumps = parts(model)
    with mpmath.workdps(60):
        r = mpmath.matrix(coherent.tolist())
        for rate, recycled, loss in jumps:
            r += mpmath.mpf(rate) * mpmath.matrix((recycled + loss).tolist())
        size = r.rows
        inner = mpmath.lu_solve(r[1:size, 1:size], -r[1:size, 0])
        v = np.array([1.0, *(float(x) for x in inner)])
    return np.array(spins_of(v, model.n_sites))


def check_steady(seed: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many values of how many bounds that were given hold: dense, by iteration, over outcomes."""
    rng = np.random.default_rng(seed)
    model = exact_in_binary(rng, int(rng.integers(1, 3)))
    want = steady_reference(model)
    held = given = 0
    for spins, method in ((4, "auto"), (0, "auto"), (4, "povm")):
        monkeypatch.setattr(steady, "DENSE_SPINS", spins)
        try:
            frame = solve(
                povm_system(model, tetrahedral(), UP[0]), quantities=[f"steady_{q}" for q in SPINS], method=method
            )
        except InputError as error:
            refusal = str(error)
            assert "rounding" in refusal or "converge" in refusal
            continue
        off = np.abs(frame.value.to_numpy() - want)
        assert off.max() < 1e-3, (seed, spins, method)
        held, given = held + int((off <= frame.bound).sum()), given + len(frame)
    return held, given


def test_steady_states_over_twelve_decades(monkeypatch):
    counts = np.array([check_steady(seed, monkeypatch) for seed in range(40)])
    assert counts[:, 1].sum() > 200
    assert (counts[:, 0] == counts[:, 1]).all()


@pytest.mark.slow
def test_many_steady_states_over_twelve_decades(monkeypatch):
    counts = np.array([check_steady(seed, monkeypatch) for seed in range(1000, 3000)]).sum(0)
    assert counts[0] >= 0.999 * counts[1]


# -- the gap --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "povm"])
@pytest.mark.parametrize("rate", [1e-2, 1e-6, 1e-8, 1e-10])
def test_the_gap_of_a_slow_spin_is_not_doubled(rate, method):
    """Of ``rate / 2`` (coherences) and ``rate`` (populations) Arnoldi on ``exp(L)`` used to see the second alone."""
    fast = range(1, 5)
    h = tuple(LocalOperator((i,), 0.8 * X) for i in fast)
    model = Lindblad((5,), h, (Jump((0,), MINUS, rate), *(Jump((i,), MINUS) for i in fast)))
    gap = solve(povm_system(model, tetrahedral(), UP[0]), quantities=["gap"], method=method).value[0]
    assert gap == pytest.approx(rate / 2, rel=1e-3, abs=1e-13)


def check_gap(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By iteration against the dense eigenvalues over Pauli strings: close real ones, close pairs, many slow spins."""
    rng = np.random.default_rng(seed)
    slow = 10 ** rng.uniform(-9, 0)
    rates = [np.full(3, 0.3), np.array([1, slow, slow]), np.array([1, slow, slow * (1 + 1e-6)])][rng.integers(3)]
    jumps = [Jump((i,), MINUS, float(rate)) for i, rate in enumerate(rates)]
    h = [LocalOperator((i,), float(b) * Z) for i, b in enumerate(rng.choice([0.0, 0.5, 0.5 + 1e-6], 3))]
    h += [LocalOperator((0, 1), float(rng.choice([0.0, 1e-4, 0.7])) * np.kron(X, X))]
    s = float(rng.choice([0.0, 0.0, 0.4, -0.3]))
    model = Lindblad((3,), tuple(h), tuple(jumps))
    values = np.sort(np.linalg.eigvals(generator_of(model, s)).real)[::-1]
    monkeypatch.setattr(steady, "DENSE_SPINS", 0)
    norm = Liouvillian(model, s).bound
    for method in ("auto", "povm"):
        found = solve(povm_system(model, tetrahedral(), UP[0]), s, quantities=["scgf", "gap"], method=method).value
        assert found[0] == pytest.approx(values[0], abs=1e-10 * norm), seed
        assert found[1] == pytest.approx(values[0] - values[1], rel=1e-3, abs=1e-10 * norm), (seed, method)


def test_gaps_of_near_degenerate_spins(monkeypatch):
    for seed in (*range(8), 1023):  # of which: a pair of complex ones was taken for the leading one, which is real
        check_gap(seed, monkeypatch)


@pytest.mark.slow
def test_many_gaps_of_near_degenerate_spins(monkeypatch):
    for seed in range(1000, 1300):
        check_gap(seed, monkeypatch)
