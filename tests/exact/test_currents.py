"""Currents, time-integrated potentials and conserved sums: fluctuation symmetry, continuity, dense exponentials."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from dense import CASES, RATES, Dense, get, values
from extended import dense
from scipy.linalg import expm

from vanbench.exact import FixedSum, StateSpace, System, Term, build, jumps, solve


@pytest.mark.parametrize("shape", [(1,), (4,), (3, 2)])
def test_gallavotti_cohen(shape):
    """``theta(s) = theta(E - s)`` with ``e^E = alpha beta p^(L-1) / (gamma delta q^(L-1))`` (Lebowitz and Spohn 1999).

    Through every cut alike; the current over all ``L + 1`` cuts has ``theta_all(s) = theta((L + 1) s)``.
    """
    system, length = build("asep", shape, **RATES), shape[0]
    affinity = math.log(0.7 * 0.9 * 1.3 ** (length - 1) / (0.2 * 0.35 * 0.4 ** (length - 1)))
    for s in (-0.4, 0.1, 0.6):
        theta = [get(system, s, 1.0, "scgf", observable=f"current_{cut}") for cut in range(length + 1)]
        np.testing.assert_allclose(theta, theta[0], rtol=1e-9, atol=1e-11)
        assert get(system, affinity - s, 1.0, "scgf", observable="current_0") == pytest.approx(theta[0], rel=1e-9)
        assert get(system, s / (length + 1), 1.0, "scgf", observable="current") == pytest.approx(theta[0], rel=1e-9)
        assert abs(theta[0]) > 1e-3


def test_gallavotti_cohen_on_a_ring():
    system = build("asep", (6,), p=1.3, q=0.4, boundary="periodic")
    for s in (-0.3, 0.5):
        theta = get(system, s, 1.0, "scgf", observable="current")
        assert get(system, math.log(1.3 / 0.4) - s, 1.0, "scgf", observable="current") == pytest.approx(theta, rel=1e-9)
        assert get(system, 6 * s, 1.0, "scgf", observable="current_3") == pytest.approx(theta, rel=1e-9)


@pytest.mark.parametrize("shape", [(4,), (3, 2)])
def test_mean_current_by_continuity(shape):
    """What enters a region and does not leave it stays: ``Q_a - Q_b = change of the particle number between them``."""
    system, t = build("asep", shape, **RATES, initial="bernoulli:0.2"), 1.3
    n, length = system.n_sites, shape[0]
    count = [n * t * get(system, 0.0, t, "activity", observable=f"current_{b}") for b in range(length + 1)]
    profile = solve(system, 0.0, t, ("density_profile",))["value"].to_numpy().reshape(length, -1).sum(1)
    np.testing.assert_allclose(-np.diff(count), profile - 0.2 * n / length, atol=1e-11)
    total = n * t * get(system, 0.0, t, "activity", observable="current")
    assert total == pytest.approx(sum(count), rel=1e-10)


def test_mean_current_on_a_ring():
    """Uniform measure: ``(p - q) rho (N - n) / (N - 1)`` through each bond, ``n`` particles at density ``rho``."""
    system = build("asep", (6,), p=1.3, q=0.4, boundary="periodic", particles=2)
    want = (1.3 - 0.4) * (2 / 6) * (4 / 5)
    assert 6 * get(system, 0.0, 2.0, "activity", observable="current_2") == pytest.approx(want, rel=1e-10)
    assert get(system, 0.0, 2.0, "activity", observable="current") == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("s", [-25.0, 20.0])
def test_a_far_field_on_a_ring_of_two(s):
    """``W_s`` has the eigenvalue 0 at any field, with ``r = (p e^-s, q)`` and ``l = (e^s, 1)``: ``Z`` is constant.

    A rate ``p e^-20`` that is left of a difference has seven digits: ``ln Z`` then drifts by 1e-8 a unit of time.
    """
    p, q = 27.5455, 0.1728
    system = build("asep", (2,), p=p, q=q, boundary="periodic")
    want = math.log((p * math.exp(-s) + q) * (math.exp(s) + 1) / (2 * (p + q)))
    for method in ("auto", "dense", "krylov"):
        table = solve(system, s, (1e2, 1e7), ("ln_Z", "scgf"), observable="current_1", method=method)
        np.testing.assert_allclose(table[table.quantity == "ln_Z"].value, want, atol=1e-6)  # t |W| roundings
        assert abs(table[table.quantity == "scgf"].value.item()) < 1e-12


@pytest.mark.parametrize("s", [10.0, 20.0, 30.0])
def test_a_far_field_on_all_bonds(s):
    """Against Taylor's series of ``W_s`` with its diagonal shifted: no term is negative, no digit is lost."""
    system = build("asep", (4,), p=4.9398, q=4.0273, alpha=4.0453, beta=0.1062, gamma=0.0, delta=0.005)
    times, counters = (1e-3, 1.0), [(term.sites, term.counters["current"]) for term in system.terms]
    parts = [(term.sites, np.diag(np.diag(term.matrix))) for term in system.terms]
    parts += [(sites, math.exp(-s * step) * jump) for sites, counter in counters for step, jump in counter]
    w = dense(4, 2, parts, float)
    shift = -w.diagonal().min()
    table = solve(system, s, times, ("ln_Z",), observable="current")
    for t in times:
        term = total = np.full(len(w), 1 / len(w))
        for k in range(1, 4000):
            term = t / k * ((w + shift * np.eye(16)) @ term)
            total = total + term
        at = table[(table.t == t) & (table.quantity == "ln_Z")].value.item()
        assert at == pytest.approx(math.log(total.sum()) - shift * t, rel=1e-11)


# -- potentials -------------------------------------------------------------------------------------------------------


def with_occupation(system: System) -> System:
    """The same dynamics with ``K = int sum_i x_i dt`` as the observable ``occupation``."""
    zero = np.zeros((2, 2))
    extra = tuple(Term((i,), zero, {}, {"occupation": np.array([0.0, 1.0])}) for i in range(system.n_sites))
    return replace(system, terms=system.terms + extra)


def test_time_integrated_potential():
    """``W_s = W - s b(x)`` against a dense exponential; its ``activity`` is the mean of ``b`` in time and per site."""
    plain, full = CASES["asep"]
    system, dense = with_occupation(plain), Dense(plain, full)
    s, t = 0.35, 1.6
    b = np.diag(dense.x.sum(1).astype(float))

    def ln_z(field):
        return np.log((expm(t * (dense.w(0.0) - field * b)) @ dense.p0).sum())

    got = values(solve(system, s, t, ("ln_Z", "activity", "susceptibility", "scgf"), observable="occupation"))
    assert got["ln_Z"] == pytest.approx(ln_z(s), rel=1e-11)
    assert got["scgf"] == pytest.approx(np.linalg.eigvals(dense.w(0.0) - s * b).real.max(), rel=1e-10)
    h = 1e-30
    assert got["activity"] == pytest.approx(-ln_z(s + 1j * h).imag / h / (5 * t), rel=1e-10)
    d = 1e-3
    second = (ln_z(s + d + 1j * h).imag - ln_z(s - d + 1j * h).imag) / h / (2 * d)
    assert got["susceptibility"] == pytest.approx(-second / (5 * t), rel=1e-5)  # d^2 of a three-point formula
    nodes, weights = np.polynomial.legendre.leggauss(24)
    mean = [dense.x.sum(1) @ expm(dense.w(0.0) * (t * (1 + u) / 2)) @ dense.p0 / 5 for u in nodes]
    average = get(system, 0.0, t, "activity", observable="occupation")
    assert average == pytest.approx(np.dot(weights, mean) / 2, rel=1e-10)


def test_one_observable_from_counter_and_potential():
    rise = jumps((0,), np.array([[0.0, 0.7], [0.3, 0.0]]))
    both = Term((0,), rise.matrix, {"k": rise.counters["activity"]}, {"k": np.array([0.5, -1.0])})
    system = System("both", (1,), 2, (both,), np.array([[0.4, 0.6]]))
    s, t = 0.6, 1.1
    g = math.exp(-s)
    w = np.array([[-0.3 - 0.5 * s, 0.7 * g], [0.3 * g, -0.7 + s]])
    assert get(system, s, t, "ln_Z", observable="k") == pytest.approx(
        math.log((expm(t * w) @ [0.4, 0.6]).sum()), rel=1e-11
    )


def test_fixed_sum_on_a_system_that_keeps_it():
    """The sector of two particles of closed SSEP, by support and by projecting the full start."""
    walls = build("ssep", (5,), alpha=0, beta=0, gamma=0, delta=0)
    sector = replace(walls, support=FixedSum(2))
    assert StateSpace(sector).size == 10
    space = StateSpace(walls)
    two = space.configurations().sum(1) == 2
    projected = replace(walls, initial=two / two.sum())
    for quantity in ("ln_Z", "activity", "density"):
        want = get(projected, 0.4, 1.5, quantity)
        assert get(sector, 0.4, 1.5, quantity) == pytest.approx(want, rel=1e-11)
