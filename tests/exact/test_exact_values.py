"""`solve` against dense matrices built elsewhere, high-precision derivatives, symmetries, and published figures."""

from __future__ import annotations

import math
import tracemalloc

import independent as ind
import mpmath as mp
import numpy as np
import pytest
from dense import CASES, RATES, Dense, get, values
from scipy.linalg import expm

from vanbench.exact import InputError, build, generator, solve
from vanbench.exact.sparse.spectrum import euler_limit

ALL = ("ln_Z", "activity", "susceptibility", "density", "scgf")
# -- given values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "c", "s", "want"),
    [
        ("fa", (6,), 0.3, 0.2, (-0.7054361304, 0.2447191632, -0.2373614540, 0.2557264131)),
        ("east", (7,), 0.2, -0.3, (0.5486865048, 0.1669626522, 0.3903053349, 0.2361729999)),
    ],
)
def test_values_given_with_the_task(name, shape, c, s, want):
    got = values(solve(build(name, shape, c=c), s, 2.0, ("ln_Z", "activity", "scgf", "density")))
    for quantity, value in zip(("ln_Z", "activity", "scgf", "density"), want):
        assert got[quantity] == pytest.approx(value, abs=6e-11), quantity  # ten digits are given


def test_south_east_continuous_and_euler():
    system = build("south-east", (4, 4), c=0.5)
    assert get(system, 0.1, 1.0, "ln_Z") == pytest.approx(-0.609932, abs=6e-7)  # six digits are given
    assert get(system, 0.1, 1.0, "ln_Z", scheme="euler", dt=0.05) == pytest.approx(-0.619507, abs=6e-7)


@pytest.mark.slow
def test_instantaneous_activity_is_not_the_activity():
    frame = solve(build("south-east", (4, 4), c=0.5), 0.2, 100.0, ("activity", "instantaneous_activity"))
    got = values(frame)
    assert got["activity"] == pytest.approx(0.060, abs=5e-4)  # three digits are given
    assert got["instantaneous_activity"] == pytest.approx(0.182, abs=5e-4)


# -- dense matrices and high precision --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("s", "t"), [(0.2, 2.0), (-1.5, 1.0), (1.1, 30.0), (-0.4, 0.01), (0.0, 5.0)])
def test_against_dense(name, s, t):
    system, full = CASES[name]
    dense = Dense(system, full)
    got = values(solve(system, s, t, ALL))
    assert got["ln_Z"] == pytest.approx(dense.ln_z(s, t), rel=1e-10, abs=1e-12)
    assert got["scgf"] == pytest.approx(dense.theta(s), rel=1e-9, abs=1e-11)
    assert got["activity"] == pytest.approx(dense.activity(s, t), rel=1e-9)
    assert got["density"] == pytest.approx(dense.density(s, t), rel=1e-9)
    assert got["susceptibility"] == pytest.approx(dense.susceptibility(s, t), rel=1e-7)
    assert got["susceptibility"] < 0


@pytest.mark.parametrize(("name", "s"), [("fa", -1.0), ("asep", -0.2), ("south-east", 0.3)])
def test_long_times(name, s):
    """t = 1000: ``ln Z`` up to 1e4, far beyond ``exp(709)``."""
    system, full = CASES[name]
    dense = Dense(system, full)
    got = values(solve(system, s, 1000.0, ALL))
    assert got["ln_Z"] == pytest.approx(dense.ln_z(s, 1000.0), rel=1e-9)
    assert got["activity"] == pytest.approx(dense.activity(s, 1000.0), rel=1e-7)
    assert got["density"] == pytest.approx(dense.density(s, 1000.0), rel=1e-7)
    # the variance is what is left of moments (N t k)^2 ~ 1e8 times larger relative to t: 1e-7 needs 1e-11 of those
    assert got["susceptibility"] == pytest.approx(dense.susceptibility(s, 1000.0), rel=1e-6)


def test_derivatives_at_forty_digits():
    system = build("fa", (3,), c=0.3, initial="bernoulli:0.6")
    dense = Dense(system, ind.constrained(ind.neighbours((3,), "up"), 0.3, 0.0, True))
    s, t = 0.25, 1.5
    with mp.workdps(40):
        diagonal, jumping, p0 = (mp.matrix(m.tolist()) for m in (dense.diagonal, dense.jumps, dense.p0))

        def log_z(field):
            return mp.log(sum(mp.expm(t * (diagonal + mp.exp(-field) * jumping)) * p0))

        ln_z = log_z(mp.mpf(s))
        first, second = mp.diff(log_z, s, 1), mp.diff(log_z, s, 2)
    got = values(solve(system, s, t, ALL))
    assert got["ln_Z"] == pytest.approx(float(ln_z), rel=1e-12)
    assert got["activity"] == pytest.approx(float(-first / (3 * t)), rel=1e-11)
    assert got["susceptibility"] == pytest.approx(float(-second / (3 * t)), rel=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_normalised_at_zero_and_mean_activity(name):
    """``ln Z(0) = 0``, and ``-d ln Z/ds`` there is the mean number of jumps ``int_0^t <r>``, by Gauss-Legendre."""
    system, full = CASES[name]
    dense, t = Dense(system, full), 1.8
    got = values(solve(system, 0.0, t, ("ln_Z", "activity", "scgf")))
    assert abs(got["ln_Z"]) < 1e-12
    assert abs(got["scgf"]) < 1e-12
    nodes, weights = np.polynomial.legendre.leggauss(24)  # entire function: exact to rounding
    rates = -np.diag(dense.diagonal)
    mean = [rates @ expm(dense.w(0.0) * (t * (1 + u) / 2)) @ dense.p0 for u in nodes]
    assert got["activity"] * system.n_sites * t == pytest.approx(t / 2 * np.dot(weights, mean), rel=1e-10)


def test_limit_of_short_times():
    system, full = CASES["fa"]
    dense = Dense(system, full)
    rate = -np.diag(dense.diagonal) @ dense.p0
    for s in (0.0, 0.4):
        got = values(solve(system, s, 0.0, ("ln_Z", "activity", "susceptibility")))
        assert got["ln_Z"] == 0
        assert got["activity"] == pytest.approx(math.exp(-s) * rate / 5, rel=1e-12)
        assert got["susceptibility"] == pytest.approx(-math.exp(-s) * rate / 5, rel=1e-12)
        soon = values(solve(system, s, 1e-6, ("activity", "susceptibility")))
        assert soon["activity"] == pytest.approx(got["activity"], rel=1e-5)  # first order in t
        assert soon["susceptibility"] == pytest.approx(got["susceptibility"], rel=1e-4)


def test_whole_distribution_and_profile():
    system, full = CASES["fa-2d"]
    dense = Dense(system, full)
    p, _ = dense.evolved(0.3, 1.2)
    frame = solve(system, 0.3, 1.2, ("distribution", "density_profile", "instantaneous_activity"))
    part = dict(iter(frame.groupby("quantity")))
    np.testing.assert_allclose(part["distribution"].sort_values("state")["value"], p / p.sum(), atol=1e-13)
    profile = part["density_profile"].sort_values("site")["value"]
    np.testing.assert_allclose(profile, p @ dense.x / p.sum(), atol=1e-13)
    now = math.exp(-0.3) * (-np.diag(dense.diagonal) @ p) / p.sum() / 6
    assert part["instantaneous_activity"]["value"].item() == pytest.approx(now, rel=1e-12)


def test_lists_of_fields_and_times():
    """Any order, repeats, and 0 among them: every row equals the one computed alone."""
    system = build("east", (4,), c=0.3)
    frame = solve(system, [0.3, -0.5], [2.0, 0.5, 0.0, 2.0], ("ln_Z", "activity", "scgf"))
    assert list(frame.columns)[:5] == ["quantity", "s", "t", "value", "bound"]
    steady = frame[frame["quantity"] == "scgf"]
    assert steady["t"].isna().all()
    assert len(steady) == 2
    moving = frame[frame["quantity"] != "scgf"]
    assert len(moving) == 2 * 2 * 3
    for row in moving.itertuples():
        assert row.value == pytest.approx(get(system, row.s, row.t, row.quantity), rel=1e-11, abs=1e-14)


# -- Euler ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fa", "south-east", "voter", "asep"])
@pytest.mark.parametrize(("s", "dt", "t"), [(0.2, 0.05, 1.0), (-2.0, 0.02, 10.1), (-0.5, 0.01, 40.03), (0.1, 0.1, 0.7)])
def test_euler_scheme(name, s, dt, t):
    """``(1 + dt W_s)^J`` by repeated squaring of the dense matrix; long runs are rescaled on the way."""
    system, full = CASES[name]
    dense = Dense(system, full)
    norm = 1 + dt * max(dense.theta(s), 0)
    steps = round(t / dt)
    p = np.linalg.matrix_power((np.eye(len(dense.p0)) + dt * dense.w(s)) / norm, steps) @ dense.p0
    want = steps * math.log(norm) + math.log(p.sum())
    frame = solve(system, s, t, ("ln_Z", "density", "activity"), scheme="euler", dt=dt)
    got = values(frame)
    assert got["ln_Z"] == pytest.approx(want, rel=1e-10)
    assert got["density"] == pytest.approx(p @ dense.x.sum(1) / p.sum() / system.n_sites, rel=1e-9)
    h = 1e-30  # the complex step again
    shifted = np.linalg.matrix_power((np.eye(len(dense.p0)) + dt * dense.w(s + 1j * h)) / norm, steps) @ dense.p0
    k = -shifted.sum().imag / shifted.sum().real / h / (system.n_sites * t)
    assert got["activity"] == pytest.approx(k, rel=1e-9)


def test_euler_approaches_continuous_at_first_order():
    system = build("fa", (5,), c=0.3)
    exact = get(system, 0.3, 1.0, "ln_Z")
    errors = [get(system, 0.3, 1.0, "ln_Z", scheme="euler", dt=dt) - exact for dt in (0.02, 0.01, 0.005)]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.02)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.01)


def test_euler_stability_limit():
    system = build("fa", (5,), c=0.3)
    limit, lowest = euler_limit(generator(system, 0.2))
    assert lowest == pytest.approx(np.linalg.eigvals(Dense(*CASES["fa"]).w(0.2)).real.min(), rel=1e-9)
    assert limit == pytest.approx(-2 / lowest)
    with pytest.raises(InputError, match=f"{limit:.4g}"[:4]):
        solve(system, 0.2, 2.0, scheme="euler", dt=1.0)
    beyond = np.linalg.eigvals(np.eye(32) + 1.01 * limit * Dense(*CASES["fa"]).w(0.2))
    assert np.abs(beyond).max() > 1


@pytest.mark.parametrize("length", [3, 4, 5])
def test_euler_limit_of_a_complex_spectrum(length):
    """One driven walker on a ring: ``lambda = e^ik - 1`` lies on a circle, so that the limit is exactly 1."""
    ring = build("asep", (length,), p=1.0, q=0.0, boundary="periodic", particles=1)
    limit, _ = euler_limit(generator(ring))
    assert limit == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize("s", [0.0, -0.5])
def test_euler_limit_of_a_large_driven_system(s):
    """512 states, complex spectrum: at the limit a mode is just as large as the leading one, beyond it larger."""
    w = generator(build("asep", (9,), p=1.0, q=0.1, alpha=0.8, beta=0.6, gamma=0.1, delta=0.05), s, "current")
    limit, lowest = euler_limit(w)
    modes = np.linalg.eigvals(w.toarray())
    assert lowest == pytest.approx(modes.real.min(), rel=1e-9)
    allowed = [max(1.0, 1 + dt * modes.real.max()) for dt in (0.999 * limit, 1.001 * limit)]
    assert np.abs(1 + 0.999 * limit * modes).max() <= allowed[0] + 1e-12
    assert np.abs(1 + 1.001 * limit * modes).max() > allowed[1] or limit == pytest.approx(-2 / lowest, rel=1e-9)


# -- spectra past the size where a dense solve is used ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "observable"),
    [
        (build("fa", (9,), c=0.3), "activity"),
        (build("east", (9,), c=0.4), "activity"),
        (build("asep", (9,), **RATES), "current"),
        (build("asep", (11,), p=1.0, q=0.0, boundary="periodic"), "current"),
        (build("voter", (3, 3)), "activity"),
    ],
    ids=["fa", "east", "asep", "tasep-ring", "voter"],
)
def test_arpack_against_dense(system, observable):
    for s in (0.0, -0.4):
        got = values(solve(system, s, 1.0, ("scgf", "gap"), observable=observable))
        eigenvalues = np.sort(np.linalg.eigvals(generator(system, s, observable).toarray()).real)[::-1]
        assert got["scgf"] == pytest.approx(eigenvalues[0], rel=1e-9, abs=1e-10)
        assert got["gap"] == pytest.approx(eigenvalues[0] - eigenvalues[1], rel=1e-7, abs=1e-9)


# -- refused ----------------------------------------------------------------------------------------------------------

SMALL = build("fa", (4,), c=0.3)
BAD = [
    (lambda: solve(SMALL, 0.1, 1.0, ("lnZ",)), "did you mean 'ln_Z'"),
    (lambda: solve(SMALL, 0.1, 1.0, method="magic"), "unknown method"),
    (lambda: solve(SMALL, 0.1, 1.0, scheme="euller", dt=0.1), "did you mean 'euler'"),
    (lambda: solve(SMALL, 0.1, 1.0, observable="current"), "unknown observable"),
    (lambda: solve(SMALL, 0.1, -1.0), "not negative"),
    (lambda: solve(SMALL, 0.1, float("nan")), "finite"),
    (lambda: solve(SMALL, float("inf"), 1.0), "finite"),
    (lambda: solve(SMALL, -900.0, 1.0), "out of range"),
    (lambda: solve(SMALL, 0.1, 1.0, scheme="euler"), "dt"),
    (lambda: solve(SMALL, 0.1, 1.0, scheme="euler", dt=0.0), "dt"),
    (lambda: solve(SMALL, 0.1, 1.0, scheme="euler", dt=-0.1), "dt"),
    (lambda: solve(SMALL, 0.1, 1.0, scheme="euler", dt=float("nan")), "dt"),
    (lambda: solve(SMALL, 0.1, 1.03, scheme="euler", dt=0.1), "no multiple of the time step"),
    (lambda: solve(SMALL, 0.1, [0.5, 1.0], scheme="euler", dt=0.4), "no multiple of the time step"),
    (lambda: solve(SMALL, 0.1, 2.0, scheme="euler", dt=1.0), "dt must stay below"),
    (lambda: solve(build("fa", (40,)), 0.1), "GiB"),
    (lambda: solve(build("fa", (6, 7)), 0.1), "GiB"),
    (lambda: solve(build("south-east-front", (4, 4, 4)), 0.1), "GiB"),
    (lambda: solve(build("ssep", (50,), boundary="periodic"), 0.1), "GiB"),
    (lambda: solve(build("free", (1100,)), 0.1), "GiB"),
    (lambda: solve(build("fa", (33, 33)), 0.1, 1.0, scheme="euler", dt=1e-4), "GiB"),
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_refused_before_allocating(case):
    make, says = BAD[case]
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=says) as caught:
            make()
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
