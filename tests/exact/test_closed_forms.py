"""Exact vectors against closed forms: free spins, voter, exclusion, and the closed forms against each other."""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest

from vanbench.exact import InputError, StateSpace, build, generator, solve
from vanbench.exact.closed_form import (
    copying,
    free_spins,
    lattice_edges,
    ssep_density,
    ssep_one_particle,
    tasep_current,
    voter_magnetisation,
    voter_two_point,
)

FREE = ("ln_Z", "activity", "susceptibility", "density", "instantaneous_activity", "scgf", "gap")


def values(frame) -> dict[str, float]:
    return dict(zip(frame["quantity"], frame["value"]))


# -- free spins -------------------------------------------------------------------------------------------------------


def free_spin_mp(c, s, t, rho):
    """One spin, 40 digits: ``Z = <-|exp(t W_s)|P_0>`` by mpmath, derivatives by its differences at high precision."""
    with mp.workdps(40):
        c, rho = mp.mpf(c), mp.mpf(rho)

        def evolved(field):
            u = mp.exp(-field)
            return mp.expm(t * mp.matrix([[-c, u * (1 - c)], [u * c, c - 1]])) * mp.matrix([1 - rho, rho])

        def log_z(field):
            p = evolved(field)
            return mp.log(p[0] + p[1])

        p = evolved(mp.mpf(s))
        first, second = mp.diff(log_z, s, 1), mp.diff(log_z, s, 2)
        return [float(v) for v in (log_z(mp.mpf(s)), -first / t, -second / t, p[1] / (p[0] + p[1]))]


@pytest.mark.parametrize("c", [0.1, 0.5])
@pytest.mark.parametrize("s", [-1.2, 0.0, 0.4, 6.0])
@pytest.mark.parametrize("t", [0.05, 2.0, 60.0])
@pytest.mark.parametrize("start", [None, 0.9])
def test_free_closed_form_at_high_precision(c, s, t, start):
    got = free_spins(5, c, s, t, start)
    ln_z, k, chi, rho = free_spin_mp(c, s, t, c if start is None else start)
    # 1e-11: double rounding, amplified by the cancellation of m2 - m1^2 at most (k t)^2 / (chi t) ~ 1e3 times
    assert got["ln_Z"] == pytest.approx(5 * ln_z, rel=1e-11, abs=1e-14)
    assert got["activity"] == pytest.approx(k, rel=1e-11)
    assert got["susceptibility"] == pytest.approx(chi, rel=1e-9)
    assert got["density"] == pytest.approx(rho, rel=1e-11)


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 4), (2, 2, 2)])
@pytest.mark.parametrize(("c", "s", "t"), [(0.3, 0.2, 2.0), (0.5, -0.7, 1.0), (0.8, 3.0, 0.3), (0.5, 0.0, 10.0)])
def test_free_system(shape, c, s, t):
    got = values(solve(build("free", shape, c=c), s, t, FREE))
    want = free_spins(math.prod(shape), c, s, t)
    for name in FREE:
        tolerance = 1e-7 if name == "susceptibility" else 1e-9  # the accuracy the project promises
        assert got[name] == pytest.approx(want[name], rel=tolerance, abs=1e-12), name


def test_free_from_another_start_and_pinned():
    got = values(solve(build("free", (6,), c=0.3, initial="up"), 0.5, 1.5, ("ln_Z", "density", "activity")))
    want = free_spins(6, 0.3, 0.5, 1.5, density=1.0)
    assert all(got[name] == pytest.approx(want[name], rel=1e-9) for name in got)
    pinned = values(solve(build("free", (6,), c=0.3, pinned={2: 1}), 0.5, 1.5, ("ln_Z", "density", "activity")))
    want = free_spins(5, 0.3, 0.5, 1.5)
    assert pinned["ln_Z"] == pytest.approx(want["ln_Z"], rel=1e-9)
    assert pinned["activity"] == pytest.approx(want["activity"] * 5 / 6, rel=1e-9)  # N counts the pinned site
    assert pinned["density"] == pytest.approx((5 * want["density"] + 1) / 6, rel=1e-9)


def test_free_long_times_do_not_overflow():
    for s in (-2.0, 0.3):
        got = values(solve(build("free", (3,), c=0.4), s, 1000.0, FREE))
        want = free_spins(3, 0.4, s, 1000.0)
        assert all(got[name] == pytest.approx(want[name], rel=1e-7) for name in FREE)
    huge = free_spins(10_000, 0.4, -3.0, 1e4)
    assert math.isfinite(huge["ln_Z"])
    assert huge["ln_Z"] / 1e4 == pytest.approx(huge["scgf"], rel=1e-3)


def test_free_refuses_bad_input():
    for bad in ({"c": 0.0, "s": 0.0}, {"c": 0.5, "s": 0.0, "t": 0.0}):
        with pytest.raises(InputError):
            free_spins(4, **bad)


# -- voter ------------------------------------------------------------------------------------------------------------

GRAPH = [(0, 1), (1, 2), (2, 0), (2, 3), (4, 5), (3, 5), (0, 5)]


def spins_and_distribution(system, t):
    x = StateSpace(system).configurations().astype(float)
    frame = solve(system, 0.0, t, ("distribution",))
    return 2 * x - 1, frame.sort_values("state")["value"].to_numpy()


def skewed(system, rng):
    """A start with correlations: any vector on the states."""
    weights = rng.random(2 ** len(system.free_sites)) ** 3
    return replace(system, initial=weights / weights.sum())


def voter_cases():
    for shape, boundary in [((6,), "periodic"), ((2, 3), "open"), ((3, 3), "periodic"), ((2, 2, 2), "periodic")]:
        yield build("voter", shape, boundary=boundary), lattice_edges(shape, boundary), None
    for shape, boundary in [((2, 3), "up"), ((5,), "down"), ((2, 1, 3), "up")]:
        yield build("voter", shape, boundary=boundary), lattice_edges(shape, boundary), boundary
    yield build("voter", (6,), edges=GRAPH), GRAPH, None


@pytest.mark.parametrize("case", range(8))
def test_voter_one_and_two_point_functions(case, rng):
    system, edges, outside = list(voter_cases())[case]
    system = skewed(system, rng)
    n, t = system.n_sites, 1.7
    sigma, p0 = spins_and_distribution(system, 0.0)
    _, p = spins_and_distribution(system, t)
    if outside:  # the outside is one more site, whose opinion is frozen
        sigma = np.hstack([sigma, np.full((len(sigma), 1), 1.0 if outside == "up" else -1.0)])
    rates = copying(sigma.shape[1], edges, frozen=(n,) if outside else ())
    # 1e-11: two expm_multiply at double precision, values of order 1
    np.testing.assert_allclose(p @ sigma, voter_magnetisation(rates, p0 @ sigma, t), atol=1e-11)
    start, end = (np.einsum("x,xi,xj->ij", q, sigma, sigma) for q in (p0, p))
    np.testing.assert_allclose(end, voter_two_point(rates, start, t), atol=1e-11)


def test_voter_conserved_magnetisation(rng):
    regular = skewed(build("voter", (3, 3)), rng)
    before, after = (solve(regular, 0.0, t, ("density",))["value"][0] for t in (0.0, 3.0))
    assert after == pytest.approx(before, abs=1e-12)
    graph = skewed(build("voter", (6,), edges=GRAPH), rng)
    degree = np.bincount(np.array(GRAPH).ravel())
    profiles = [solve(graph, 0.0, t, ("density_profile",))["value"].to_numpy() for t in (0.0, 3.0)]
    assert degree @ profiles[1] == pytest.approx(degree @ profiles[0], abs=1e-12)
    assert abs(profiles[1].sum() - profiles[0].sum()) > 1e-3  # the plain sum is not conserved there


def test_voter_pinned_zealot():
    system = build("voter", (5,), boundary="open", pinned={0: 1})
    rates = copying(5, lattice_edges((5,), "open"), frozen=(0,))
    want = voter_magnetisation(rates, np.array([1.0, 0, 0, 0, 0]), 4.0)
    got = solve(system, 0.0, 4.0, ("density_profile",))["value"].to_numpy()
    np.testing.assert_allclose(2 * got - 1, want, atol=1e-11)


def test_voter_two_point_sum_rule():
    """Diffusion conserves ``sum_r C(r)`` but for the source that holds ``C(0) = 1``: ``2 (1 - C(neighbour))``."""
    rates = copying(25, lattice_edges((5, 5), "periodic"))
    step = 1e-4
    before, now, after = (voter_two_point(rates, np.eye(25), t)[0] for t in (0.8 - step, 0.8, 0.8 + step))
    around = now[[1, 4, 5, 20]]
    np.testing.assert_allclose(around, around[0], rtol=1e-10)
    change = (after.sum() - before.sum()) / (2 * step)
    assert change == pytest.approx(2 * (1 - around[0]), rel=1e-6)  # central difference: an error of order step^2


# -- exclusion --------------------------------------------------------------------------------------------------------


def spectrum(w) -> np.ndarray:
    return np.sort(np.linalg.eigvals(w.toarray()).real)


def contains(many: np.ndarray, few: np.ndarray) -> None:
    """Every value of ``few`` occurs in ``many`` at least as often."""
    left = list(many)
    for value in few:
        nearest = int(np.argmin(np.abs(np.array(left) - value)))
        assert left.pop(nearest) == pytest.approx(value, abs=1e-9)  # symmetric matrices up to norm 30


@pytest.mark.parametrize("shape", [(6,), (2, 3), (3, 3), (2, 2, 2), (2,)])
def test_ssep_ring_spectrum(shape):
    one = ssep_one_particle(shape, p=0.7)
    n = math.prod(shape)
    alone = generator(build("ssep", shape, p=0.7, boundary="periodic", particles=1))
    np.testing.assert_allclose(spectrum(alone), one, atol=1e-9)
    for particles in range(2, n // 2 + 1):
        many = generator(build("ssep", shape, p=0.7, boundary="periodic", particles=particles))
        assert abs(many - many.T).max() == 0  # symmetric: the uniform distribution is stationary
        found = spectrum(many)
        assert found[-1] == pytest.approx(0, abs=1e-10)
        assert found[-2] == pytest.approx(one[-2], abs=1e-9)  # Aldous: the gap is that of one particle
        contains(found, one)


def test_ssep_between_walls():
    system = build("ssep", (3, 2), alpha=0, beta=0, gamma=0, delta=0)
    contains(spectrum(generator(system)), ssep_one_particle((3, 2), periodic=False))


@pytest.mark.parametrize(("shape", "boundary"), [((5,), "open"), ((3, 2), "open"), ((2, 2, 2), "open"), ((6,), "ring")])
def test_ssep_density_obeys_a_closed_equation(shape, boundary):
    n, t = math.prod(shape), 0.9
    if boundary == "ring":
        system = build("ssep", shape, boundary="periodic", particles=2)
        start = np.full(n, 2 / 6)
        want = ssep_density(shape, start, t, boundary="periodic")
    else:
        options = {"alpha": 0.9, "beta": 1.4, "gamma": 0.3, "delta": 0.1}
        system = build("ssep", shape, p=0.6, initial="bernoulli:0.2", **options)
        rates = tuple(options[k] for k in ("alpha", "beta", "gamma", "delta"))
        want = ssep_density(shape, np.full(n, 0.2), t, 0.6, rates)
    got = solve(system, 0.0, t, ("density_profile",))["value"].to_numpy()
    np.testing.assert_allclose(got, want, atol=1e-11)


def test_ssep_density_relaxes_from_one_corner():
    """A single particle on a ring of five is a walker: its density is the walker's propagator."""
    system = build("ssep", (5,), boundary="periodic", particles=1, initial="bernoulli:0.5")
    space = StateSpace(system)
    first = np.array([1, 0, 0, 0, 0], dtype=np.int8)
    p0 = np.zeros(5)
    p0[space.index(first)] = 1
    got = solve(replace(system, initial=p0), 0.0, 0.7, ("density_profile",))["value"].to_numpy()
    k = 2 * np.pi * np.arange(5) / 5
    walk = [np.mean(np.exp(-2 * 0.7 * (1 - np.cos(k))) * np.cos(k * x)) for x in range(5)]
    np.testing.assert_allclose(got, walk, atol=1e-12)
    np.testing.assert_allclose(
        ssep_density((5,), p0 @ space.configurations(), 0.7, boundary="periodic"), walk, atol=1e-12
    )


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.3, 0.8), (0.6, 0.6)])
@pytest.mark.parametrize("length", [1, 2, 6])
def test_tasep_current(length, alpha, beta):
    system = build("asep", (length,), p=1.0, q=0.0, alpha=alpha, beta=beta, gamma=0.0, delta=0.0)
    frame = solve(system, 0.0, [150.0, 300.0], ("activity",), observable="current_0")
    counted = frame["value"] * frame["t"] * length
    assert (counted[1] - counted[0]) / 150 == pytest.approx(tasep_current(length, alpha, beta), rel=1e-9)
    if alpha == beta == 1:
        assert tasep_current(length, 1, 1) == pytest.approx((length + 2) / (2 * (2 * length + 1)))


def test_a_direction_of_length_two_has_one_pair():
    assert lattice_edges((2,), "periodic") == lattice_edges((2,), "open") == [(0, 1)]
    assert sorted(map(sorted, lattice_edges((3,), "periodic"))) == [[0, 1], [0, 2], [1, 2]]
