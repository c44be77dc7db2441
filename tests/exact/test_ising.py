"""Exact Ising references against each other, against other libraries' arithmetic and against closed forms."""

import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vanbench.exact import ising
from vanbench.exact.errors import InputError
from vanbench.exact.ising import coarse, enumeration, kaufman, lattice, montecarlo, ring, transfer

# 1e-10 between exact methods is asked for; 1e-12 is what double precision gives on sums of 2^25 terms.
EXACT = 1e-12
TEMPERATURES = [0.5, 1.0, kaufman.CRITICAL_TEMPERATURE, 2.5, 4.0, 20.0]


def brute_force(shape, T, J, h, plaquette):
    """Averages from nested Python loops over spins and neighbours: no code shared with the package."""
    rows, columns = shape
    bonds, squares = set(), set()
    for r, c in itertools.product(range(rows), range(columns)):
        right, down = (r, (c + 1) % columns), ((r + 1) % rows, c)
        corner = ((r + 1) % rows, (c + 1) % columns)
        bonds |= {frozenset({(r, c), other}) for other in (right, down)}
        squares.add(frozenset({(r, c), right, down, corner}))
    bonds = {b for b in bonds if len(b) == 2}
    squares = {q for q in squares if len(q) == 4}
    found, magnetizations = [], []
    for values in itertools.product([-1, 1], repeat=rows * columns):
        s = {(r, c): values[r * columns + c] for r in range(rows) for c in range(columns)}
        energy = -J * sum(np.prod([s[i] for i in b]) for b in bonds) - h * sum(values)
        found.append(energy - plaquette * sum(np.prod([s[i] for i in q]) for q in squares))
        magnetizations.append(abs(sum(values)))
    energies = np.array(found)
    weight = np.exp(-energies / T)
    p = weight / weight.sum()
    n = rows * columns
    return {
        "energy": p @ energies / n,
        "specific_heat": (p @ energies**2 - (p @ energies) ** 2) / (n * T**2),
        "free_energy": -T * np.log(weight.sum()) / n,
        "abs_magnetization": p @ np.array(magnetizations) / n,
    }


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2), (2, 4), (3, 3), (3, 2)])
def test_enumeration_matches_nested_loops(shape):
    expected = brute_force(shape, 1.7, 0.9, 0.2, -0.3)
    found = enumeration.averages(shape, 1.7, 0.9, 0.2, -0.3)
    assert found == pytest.approx(expected, abs=EXACT)


def test_a_direction_of_length_two_has_one_bond():
    assert len(lattice.bonds((2, 2))) == 4
    assert len(lattice.bonds((2, 3))) == 3 + 6
    assert len(lattice.bonds((3, 3))) == 18
    assert not kaufman.supports((2, 8))
    assert not transfer.supports((2, 2))


@pytest.mark.parametrize("shape", [(3, 3), (3, 4), (4, 3), (4, 4), (4, 5), (5, 5)])
def test_enumeration_kaufman_and_transfer_matrix_agree(shape):
    for T in TEMPERATURES:
        listed, closed, product = (
            enumeration.averages(shape, T),
            kaufman.averages(shape, T),
            transfer.averages(shape, T),
        )
        assert closed == pytest.approx({k: listed[k] for k in closed}, abs=EXACT)
        assert product == pytest.approx({k: listed[k] for k in product}, abs=EXACT)
        assert transfer.abs_magnetization(shape, T) == pytest.approx(listed["abs_magnetization"], abs=EXACT)


@pytest.mark.parametrize("shape", [(6, 6), (8, 8), (5, 16), (4, 100)])
def test_kaufman_and_transfer_matrix_agree_beyond_enumeration(shape):
    for T in TEMPERATURES:
        closed, product = kaufman.averages(shape, T), transfer.averages(shape, T)
        assert closed == pytest.approx(product, abs=EXACT)


@given(
    shape=st.sampled_from([(1, 6), (2, 5), (3, 4), (4, 4), (3, 5)]),
    T=st.floats(0.5, 10),
    J=st.floats(-1.5, 1.5),
    h=st.floats(-1, 1),
    plaquette=st.floats(-1, 1),
)
@settings(max_examples=15, deadline=None)
def test_transfer_matrix_matches_enumeration_with_any_coupling(shape, T, J, h, plaquette):
    listed = enumeration.averages(shape, T, J, h, plaquette)
    product = transfer.averages(shape, T, J, h, plaquette)
    # T up to 10 and energies up to 3.5 a site: rounding of the variance grows with (e/T)^2 * N^2, still below 1e-10
    assert product == pytest.approx({k: listed[k] for k in product}, abs=1e-10)
    m = transfer.abs_magnetization(shape, T, J, h, plaquette)
    assert m == pytest.approx(listed["abs_magnetization"], abs=1e-10)


def test_transfer_matrix_correlation_matches_enumeration():
    p = np.exp(enumeration.log_distribution((3, 5), 1.9, 0.7, 0.1))
    s = lattice.spins(enumeration.configurations(15)).astype(float)
    along = [p @ (s[:, 0] * s[:, r]) for r in range(3)]  # the longer side runs along a row here
    assert transfer.correlation((3, 5), 1.9, 0.7, 0.1) == pytest.approx(np.array(along), abs=EXACT)


def test_kaufman_is_symmetric_and_needs_no_orientation():
    for T in TEMPERATURES:
        one, other = kaufman.averages((16, 40), T), kaufman.averages((40, 16), T)
        assert one == pytest.approx(other, abs=EXACT)


@pytest.mark.parametrize("T", [1.0, kaufman.CRITICAL_TEMPERATURE, 3.0])
def test_kaufman_at_16x16_matches_fifty_digits(T):
    """The formula typed again in 50-digit arithmetic, differentiated numerically: no shared derivative."""
    n = m = 16
    with mpmath.workdps(50):

        def ln_z(K):
            def gamma(l):
                if l == 0:
                    return 2 * K + mpmath.log(mpmath.tanh(K))
                return mpmath.acosh(mpmath.cosh(2 * K) * mpmath.coth(2 * K) - mpmath.cos(mpmath.pi * l / mpmath.mpf(n)))

            def product(f, offset):
                return mpmath.fprod(2 * f(m * gamma(2 * r + offset) / 2) for r in range(n))

            total = sum(product(f, o) for f in (mpmath.cosh, mpmath.sinh) for o in (0, 1))
            return m * n * mpmath.log(2 * mpmath.sinh(2 * K)) / 2 + mpmath.log(total / 2)

        K = 1 / mpmath.mpf(T)
        ln, first, second = (mpmath.diff(ln_z, K, order) if order else ln_z(K) for order in range(3))
        expected = {
            "energy": float(-first / (n * m)),
            "specific_heat": float(K**2 * second / (n * m)),
            "free_energy": float(-T * ln / (n * m)),
        }
    # 256 sites and exponents of order 500: five digits above the 50-digit formula's own error
    assert kaufman.averages((n, m), T) == pytest.approx(expected, abs=EXACT)


def test_kaufman_does_not_overflow_on_large_or_cold_lattices():
    cold = kaufman.averages((512, 512), 0.05)
    assert cold["energy"] == pytest.approx(-2, abs=EXACT)
    assert cold["free_energy"] == pytest.approx(-2 - 0.05 * np.log(2) / 512**2, abs=EXACT)  # two ground states


def test_antiferromagnet_on_even_sides_equals_ferromagnet():
    listed = enumeration.averages((4, 4), 1.3, J=-1)
    closed = kaufman.averages((4, 4), 1.3, J=-1)
    assert closed == pytest.approx({k: listed[k] for k in closed}, abs=EXACT)
    assert not kaufman.supports((3, 4), J=-1)


@pytest.mark.parametrize("T", [1.0, 2.0, 2.6, 4.0])
def test_onsager_is_the_limit_of_large_lattices(T):
    limit, finite = kaufman.onsager(T), kaufman.averages((300, 300), T)
    for name in ("energy", "specific_heat"):
        # corrections fall as exp(-L/xi): below 1e-10 here, at least 0.3 away from T_c
        assert finite[name] == pytest.approx(limit[name], abs=1e-10)
    # below T_c the two ordered states leave T ln 2 / L^2 in the finite free energy
    degeneracy = T * np.log(2) / 300**2 if kaufman.CRITICAL_TEMPERATURE > T else 0.0
    assert finite["free_energy"] + degeneracy == pytest.approx(limit["free_energy"], abs=1e-10)


def test_onsager_energy_at_the_critical_point():
    limit = kaufman.onsager(kaufman.CRITICAL_TEMPERATURE * (1 + 1e-12))
    assert limit["energy"] == pytest.approx(-np.sqrt(2), abs=1e-9)  # u_c = -sqrt 2, slope ~ ln|t| * 1e-12


def test_distribution_is_indexed_as_the_configurations():
    x = enumeration.configurations(6)
    energies = ising.energy(x, (2, 3), 0.7, 0.2, 0.1)
    assert enumeration.energies((2, 3), 0.7, 0.2, 0.1) == pytest.approx(energies, abs=EXACT)
    p = np.exp(enumeration.log_distribution((2, 3), 1.4, 0.7, 0.2, 0.1))
    assert p.sum() == pytest.approx(1, abs=EXACT)
    ratio = np.log(p[5] / p[40])
    assert ratio == pytest.approx((energies[40] - energies[5]) / 1.4, abs=EXACT)


@pytest.mark.parametrize("algorithm", ["wolff", "metropolis"])
@pytest.mark.parametrize("T", [1.5, 2.3, 3.0])
def test_monte_carlo_matches_enumeration_within_its_errors(algorithm, T):
    expected = enumeration.averages((4, 4), T)
    run = montecarlo.simulate((4, 4), T, 60000, algorithm=algorithm, seed=11)
    for name, (value, error) in montecarlo.averages(run, T, 16).items():
        assert abs(value - expected[name]) < 4 * error  # fixed seed; 4 sigma over 18 numbers fails once in 900
        assert error < 0.02


def test_metropolis_knows_field_and_plaquette():
    expected = enumeration.averages((4, 4), 2.0, 0.7, 0.1, 0.3)
    run = montecarlo.simulate((4, 4), 2.0, 60000, 0.7, 0.1, 0.3, seed=2)
    for name, (value, error) in montecarlo.averages(run, 2.0, 16).items():
        assert abs(value - expected[name]) < 4 * error


def test_kept_configurations_have_the_recorded_energy():
    run = montecarlo.simulate((3, 5), 2.0, 50, 0.7, 0.1, 0.3, keep=True)
    assert run.configurations is not None
    assert ising.energy(run.configurations, (3, 5), 0.7, 0.1, 0.3) == pytest.approx(run.energy, abs=EXACT)
    up = run.configurations.sum(axis=1)
    assert 2 * up - 15 == pytest.approx(run.magnetization)


def test_error_bars_know_about_correlation():
    """AR(1) with coefficient a has tau = (1 + a) / (2 (1 - a))."""
    rng = np.random.default_rng(5)
    a, n = 0.9, 200000
    noise = rng.normal(size=n)
    series = np.empty(n)
    series[0] = noise[0]
    for t in range(1, n):
        series[t] = a * series[t - 1] + noise[t]
    tau = (1 + a) / (2 * (1 - a))
    # relative error of tau is sqrt(2 (2 W + 1) / n) = 3.4 % with window W = 6 tau; three of them
    assert montecarlo.autocorrelation_time(series) == pytest.approx(tau, rel=0.1)
    assert montecarlo.mean_error(series)[1] == pytest.approx(np.sqrt(2 * tau * series.var() / n), rel=0.05)
    assert montecarlo.autocorrelation_time(np.ones(10)) == 0.5


@pytest.mark.parametrize("stride", [1, 2])
def test_coarse_distribution_counts_every_spin_configuration(stride):
    exact = coarse.distribution((4, 4), stride, 2.5)
    blocks = coarse.blocks((4, 4), stride)
    assert exact.outcomes.shape[1] == len(blocks) == (9 if stride == 1 else 4)
    assert np.exp(exact.log_p).sum() == pytest.approx(1, abs=EXACT)
    # mean block product through the spins, with no coarse configuration in between
    p = np.exp(enumeration.log_distribution((4, 4), 2.5))
    s = lattice.spins(enumeration.configurations(16)).astype(float)
    through_spins = p @ (s[:, blocks[0]].sum(axis=1) * s[:, blocks[-1]].sum(axis=1))
    b = exact.outcomes.astype(float) * 2 - 4
    assert np.exp(exact.log_p) @ (b[:, 0] * b[:, -1]) == pytest.approx(through_spins, abs=EXACT)


def test_coarse_ceiling():
    assert coarse.coarse_shape((16, 16), 1) == (15, 15)
    assert coarse.coarse_shape((16, 16), 2) == (8, 8)
    same = coarse.ceiling((4, 4), 2, 2.5, 2.5)
    assert same["kl_divergence"] == pytest.approx(0, abs=EXACT)
    away = coarse.ceiling((4, 4), 2, 2.5, 4.0)
    assert away["exact_abs_magnetization"] == pytest.approx(
        enumeration.averages((4, 4), 4.0)["abs_magnetization"], abs=EXACT
    )
    assert away["kl_divergence"] > 0.1  # tiles hide entropy: the method is wrong at 4 even with a perfect p


@given(K=st.floats(-3, 3), order=st.permutations([0, 1, 2]))
@settings(max_examples=25, deadline=None)
def test_three_spin_ring_in_any_order(K, order):
    log_p = enumeration.log_distribution((3,), 1.0, J=K)
    factors = ring.conditionals(log_p, order)
    assert factors.prod(axis=1) == pytest.approx(np.exp(log_p), abs=EXACT)
    # renaming the sites leaves the ring as it is: row x of the closed form is the configuration read in that order
    x = enumeration.configurations(3)
    index = x[:, order] @ np.array([4, 2, 1])
    assert factors == pytest.approx(ring.ring_conditionals(K)[index], abs=EXACT)


def test_solve_names_its_methods():
    small = ising.solve((4, 4), [1.0, 2.0])
    assert set(small.method) == {"enumeration"}
    assert small.bound.max() <= 1e-10
    assert small.stderr.isna().all()
    large = ising.solve((16, 16), [2.5], samples=4000).set_index("quantity")
    assert large.method.to_dict() == {
        "energy": "Kaufman",
        "specific_heat": "Kaufman",
        "free_energy": "Kaufman",
        "abs_magnetization": "Monte Carlo",
    }
    assert large.stderr["abs_magnetization"] > 0
    assert set(ising.solve((6, 6), [2.0], h=0.1).method) == {"transfer matrix"}
    field = ising.solve((12, 12), [2.0], h=0.1, samples=200)
    assert set(field.method) == {"Monte Carlo"}
    assert "free_energy" not in set(field.quantity)


@pytest.mark.parametrize("by", ["enumeration", "kaufman", "transfer", "montecarlo"])
def test_solve_uses_the_method_asked_for(by):
    expected = enumeration.averages((4, 4), 2.0)
    found = ising.solve((4, 4), [2.0], by=by).set_index("quantity")
    assert set(found.method) == {{"kaufman": "Kaufman", "transfer": "transfer matrix"}.get(by, found.method.iloc[0])}
    assert len(found) == (3 if by in ("kaufman", "montecarlo") else 4)
    for name, row in found.iterrows():
        assert abs(row.value - expected[name]) < (4 * row.stderr if by == "montecarlo" else row.bound)


def test_solve_gives_the_correlation_on_request():
    found = ising.solve((3, 4), [1.5, 2.0], h=0.1, quantities=["correlation", "energy"])
    rows = found[found.quantity == "correlation"]
    assert list(rows.distance) == [0, 1, 2, 0, 1, 2]
    p = np.exp(enumeration.log_distribution((3, 4), 2.0, h=0.1))
    s = lattice.spins(enumeration.configurations(12)).astype(float)
    assert rows.value.to_numpy()[3:] == pytest.approx([p @ (s[:, 0] * s[:, r]) for r in range(3)], abs=EXACT)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"by": "exactly"}, "montecarlo"),
        ({"by": "enumeration"}, "does not hold"),
        ({"by": "kaufman", "h": 0.1}, "does not hold"),
        ({"by": "kaufman", "quantities": ["abs_magnetization"]}, "does not give"),
        ({"by": "montecarlo", "quantities": ["correlation"]}, "transfer matrix"),
    ],
)
def test_solve_refuses_a_method_that_does_not_hold(options, says):
    with pytest.raises(InputError, match=says):
        ising.solve((6, 6), [2.0], **options)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (((4, 4, 4), [1.0]), "one or two positive lengths"),
        (((4, 4), [0.0]), "positive finite"),
        (((4, 4), [np.nan]), "positive finite"),
        (((4, 4), []), "positive finite"),
        (((4, 4), [1.0], np.inf), "finite number"),
        (((4, 4), [1.0], 1.0, 0.0, 0.0, ["enregy"]), "energy"),
        (((12, 12), [1.0], 1.0, 0.1, 0.0, ["free_energy"]), "no exact free energy"),
        (((16, 16), [1e-5]), "Kaufman"),
    ],
)
def test_solve_refuses_bad_input(arguments, says):
    with pytest.raises(InputError, match=says):
        ising.solve(*arguments)


def test_methods_refuse_what_they_cannot_do():
    for call in (
        lambda: enumeration.averages((6, 6), 1.0),
        lambda: kaufman.averages((2, 8), 1.0),
        lambda: kaufman.onsager(-1.0),
        lambda: transfer.averages((11, 11), 1.0),
        lambda: montecarlo.simulate((4, 4), 1.0, 10, h=0.1, algorithm="wolff"),
        lambda: montecarlo.simulate((4, 4), 1.0, 10, algorithm="heatbath"),
        lambda: coarse.blocks((5, 4), 2),
        lambda: coarse.distribution((5, 5), 1, 1.0),
        lambda: ring.conditionals(np.log(np.full(8, 1 / 8)), [0, 1, 1]),
    ):
        with pytest.raises(InputError):
            call()


def test_a_trace_that_underflows_is_refused():
    """A frustrated ring of 27 at T = 0.002: every closed path costs 2 J more than the rows' lowest, exp(-1000)."""
    with pytest.raises(InputError, match="underflows"):
        ising.solve((27,), [0.002], -1.0, by="transfer")


@pytest.mark.parametrize(("shape", "pairs"), [((4, 5), 40), ((3, 3), 18), ((2, 2), 2), ((1, 5), 5)])
def test_each_site_has_its_four_diagonal_neighbours(shape, pairs):
    found = {tuple(pair) for pair in lattice.diagonals(shape).tolist()}
    rows, columns = shape
    if rows == 1:
        want = {tuple(sorted((c, (c + 2) % columns))) for c in range(columns)}
    else:
        sites = [(r, c) for r in range(rows) for c in range(columns)]
        steps = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
        ends = [(r * columns + c, (r + a) % rows * columns + (c + b) % columns) for r, c in sites for a, b in steps]
        want = {tuple(sorted(pair)) for pair in ends}
    assert found == want
    assert len(found) == pairs
