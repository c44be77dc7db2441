"""Steady states and gaps of Lindbladians whose rates span twelve decades, beside 60 digits, or refused."""

from __future__ import annotations

import math
import re

import mpmath
import numpy as np
import pytest
from pauli_strings import PLUS, SPINS, UP, generator_of, parts, spins_of

from vanbench.exact import InputError, build, solve
from vanbench.exact.definitions.pauli import MINUS, X, Z
from vanbench.exact.quantum import Jump, Lindblad, LocalOperator, povm_system, steady, tetrahedral
from vanbench.exact.quantum.liouvillian import Liouvillian


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
        with pytest.raises(InputError, match="than the rest: the steady state is lost in rounding"):
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_gaps_of_near_degenerate_spins(monkeypatch):
    for seed in (*range(8), 1023):  # of which: a pair of complex ones was taken for the leading one, which is real
        check_gap(seed, monkeypatch)


@pytest.mark.slow
def test_many_gaps_of_near_degenerate_spins(monkeypatch):
    for seed in range(1000, 1300):
        check_gap(seed, monkeypatch)


def test_the_gap_does_not_ask_how_a_rate_is_shared_with_its_operator():
    """``gamma = 900`` with ``sigma^-``, or 1 with ``30 sigma^-``: one spin has ``x`` at ``-gamma/2`` and, driven by
    ``X``, ``y`` and ``z`` at ``-3 gamma/4 +- sqrt(gamma^2/16 - 4)``."""
    want = min(450.0, 675 - math.sqrt(225.0**2 - 4))
    for rate, scale in ((900.0, 1.0), (1.0, 30.0)):
        jumps = tuple(Jump((i,), scale * MINUS, rate) for i in range(5))
        model = Lindblad((5,), tuple(LocalOperator((i,), X) for i in range(5)), jumps)
        assert steady.decay_time(model) == pytest.approx(1 / 900)
        assert steady.scgf_and_gap(model)[1] == pytest.approx(want, rel=1e-9)


def test_the_bound_of_the_purity_is_twice_that_of_the_state():
    """``d Tr rho^2 = 2 Tr(rho d rho)``."""
    rows = solve(build("tfim", (3,)), quantities=["steady_purity", "steady_sigma_z"]).set_index("quantity")
    assert rows.bound["steady_purity"] == 2 * rows.bound["steady_sigma_z"] > 0
