"""Lanczos quadrature: bounds that hold, both schemes, derivatives, spectra, against dense matrices and QuSpin."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg

from vanbench.exact import InputError, StateSpace, build, generator, solve
from vanbench.exact.matrixfree import derivatives
from vanbench.exact.matrixfree.eigenvectors import doob, leading_vectors
from vanbench.exact.matrixfree.kernel import Layout
from vanbench.exact.matrixfree.quadrature import Tridiagonal, continuous, euler, log_functions
from vanbench.exact.matrixfree.solve_lanczos import unstable
from vanbench.exact.matrixfree.symmetric import Symmetric, applies, margin
from vanbench.exact.matrixfree.symmetrise import equilibrium

TIMES = np.array([0.05, 1.0, 10.0, 100.0])
SYSTEMS = {
    "south-east": build("south-east", (3, 3)),
    "fa": build("fa", (3, 3), c=0.3),
    "east": build("east", (8,), c=0.3),
    "ring": build("ssep", (8,), boundary="periodic"),
    "corner": build("fa", (3, 3), c=0.05, pinned="first"),
}


def dense_ln_z(system, s, times, dt=None):
    """From the eigenvalues of the dense symmetrised matrix."""
    engine = Symmetric(system, s)
    h = np.stack([engine.op @ e for e in np.eye(engine.op.size)])
    values, vectors = np.linalg.eigh(h)
    weights = (vectors.T @ engine.start()) ** 2
    if dt is None:
        return np.array([np.log(weights @ np.exp(t * (values - values[-1]))) + t * values[-1] for t in times])
    return np.array([np.log(weights @ (1 + dt * values) ** round(t / dt)) for t in times])


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("s", [0.0, 0.1, 1.0, -0.2])
def test_bounds_hold(name, s):
    system = SYSTEMS[name]
    run = Symmetric(system, s).run(TIMES, theta=True)
    for dt in (None, 0.05):
        value, bound = run.ln_z(TIMES, dt)
        # the dense route has its own rounding, about eps * t * |H|
        assert (np.abs(value - dense_ln_z(system, s, TIMES, dt)) <= bound + 1e-13 * (1 + 20 * TIMES)).all()
        assert (bound <= 1e-9).all()


@pytest.mark.parametrize("dt", [0.05, 0.2])
def test_few_steps_bracket_the_value(dt):
    """Long before convergence, where the bounds are wide: Gauss below, the other rule above, in both schemes."""
    system = SYSTEMS["south-east"]
    engine = Symmetric(system, 0.1)
    full = engine.run(TIMES, theta=True)
    lowest = np.linalg.eigvalsh(np.stack([engine.op @ e for e in np.eye(engine.op.size)]))[0]
    top = full.tri.theta()[0]
    steps = np.array([1, 2, 15, 16, 199, 200])
    for n in (3, 6, 12):
        tri = Tridiagonal(full.tri.diagonal[:n], full.tri.off[:n])
        value, bound = continuous(tri, TIMES, top + 1e-3)
        exact = dense_ln_z(system, 0.1, TIMES)
        assert (value <= exact + 1e-12).all()
        assert (exact <= value + bound + 1e-12).all()
        value, bound = euler(tri, dt, steps, lowest - 1e-3, top + 1e-3)
        assert (np.abs(value - dense_ln_z(system, 0.1, steps * dt, dt)) <= bound + 1e-12).all()


def test_collatz_wielandt_is_above_and_close():
    for name in ("south-east", "fa", "east", "corner"):
        engine = Symmetric(SYSTEMS[name], 0.3)
        tri = engine.run(np.zeros(0), theta=True).tri
        kept = np.delete(np.arange(engine.op.size), engine.layout.excluded)
        top = np.linalg.eigvalsh(np.stack([engine.op @ e for e in np.eye(engine.op.size)])[np.ix_(kept, kept)])[-1]
        bound = engine.certify(tri, 1e-4)
        assert -1e-13 <= bound - top <= 1e-4


def test_values_of_2d_south_east():
    """Exact values given for 4x4; the last digit is the tolerance."""
    frame = solve(build("south-east", (4, 4)), 0.1, 1.0, ["ln_Z"], method="lanczos")
    assert frame.value[0] == pytest.approx(-0.609932, abs=6e-7)
    frame = solve(build("south-east", (4, 4)), 0.1, 1.0, ["ln_Z"], "euler", 0.05, method="lanczos")
    assert frame.value[0] == pytest.approx(-0.619507, abs=6e-7)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize(("scheme", "dt"), [("continuous", None), ("euler", 0.05)])
def test_every_quantity_against_dense(name, scheme, dt):
    asked = ["ln_Z", "activity", "susceptibility", "density", "density_profile", "instantaneous_activity"]
    asked += ["trajectory_density", "scgf", "gap", "rate_function"]
    frames = [
        solve(SYSTEMS[name], 0.2, [0.0, 1.0, 10.0], asked, scheme, dt, method=m).sort_values(["quantity", "t", "site"])
        for m in ("lanczos", "dense")
    ]
    ours, want = (frame.value.to_numpy() for frame in frames)
    assert ours == pytest.approx(want, rel=1e-7, abs=1e-8)  # 1e-7 is asked of the derivatives; the rest does better


@pytest.mark.parametrize("s", [0.05, -0.1])
def test_derivatives_of_a_sharp_crossover(s):
    """Long times, where ln Z bends within |ds| ~ 1/t: the first derivative keeps 1e-7, and the errors are told."""
    system, times = build("south-east", (3, 3), c=0.5 if s > 0 else 0.05), [10.0, 300.0]
    got = solve(system, s, times, ["activity", "susceptibility"], method="lanczos")
    want = solve(system, s, times, ["activity", "susceptibility"], method="dense")
    assert got.value[:2].to_numpy() == pytest.approx(want.value[want.quantity == "activity"].to_numpy(), rel=1e-7)
    chi, exact = (f.value[f.quantity == "susceptibility"].to_numpy() for f in (got, want))
    assert chi == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("step", [0.1, 2.5e-3, 1e-5])
def test_differences_find_their_step(step):
    """``ln(exp(k x) + exp(-k x) + 1)`` bends within 1/k: the step shrinks to it, and the errors that are told hold."""
    k, calls = np.array([1.0, 30.0, 300.0]), []

    def f(h):
        calls.append(h)
        return np.log(np.exp(k * (h + 0.002)) + np.exp(-k * (h + 0.002)) + 1), np.full(3, 1e-15)

    found = derivatives.central(f, f(0.0), step)
    with mp.workdps(40):
        for order, got, error in ((1, found.first, found.first_error), (2, found.second, found.second_error)):
            for i in range(3):
                log_sum = lambda x, k=k[i]: mp.log(mp.exp(k * x) + mp.exp(-k * x) + 1)  # noqa: E731
                want = float(mp.diff(log_sum, mp.mpf("0.002"), order))
                assert abs(got[i] - want) <= error[i]
                assert error[i] <= 3e-7 * abs(want) + 1e-15 * 30 / found.step[i] ** order
    assert len(calls) == len(set(calls)) <= 41  # five steps at most, and a point is never computed twice
    calls.clear()
    again = derivatives.central(f, f(0.0), found.step)
    assert len(calls) <= 9 + 2 * 8  # the steps that it left behind, one for each function, are right
    assert again.second_error[2] <= 1.5 * found.second_error[2]


def test_unstable_euler_is_a_note_in_a_scan_and_an_error_alone():
    system = SYSTEMS["fa"]
    smallest = np.linalg.eigvals(generator(system, -1.0).toarray()).real.min()
    dt = 1.999 / -smallest  # stable at s = 1, where the rates of the tilted generator are smaller
    frame = solve(system, [1.0, -1.5], [20 * dt], ["ln_Z"], "euler", dt, method="lanczos")
    assert np.isfinite(frame.value[0])
    assert frame.note[0] == ""
    assert np.isnan(frame.value[1])
    assert "lambda_min" in frame.note[1]
    with pytest.raises(InputError, match="unstable"):
        solve(system, -1.5, [20 * dt], ["ln_Z"], "euler", dt, method="lanczos")


def test_detailed_balance_is_found_and_not_imagined():
    assert equilibrium(build("fa", (5,), c=0.3, initial="up"))[0] == pytest.approx([0.7, 0.3])
    assert not applies(build("fa", (5,), initial="up"), 0.1, "activity")
    assert applies(build("ssep", (6,), boundary="periodic"), 0.1, "activity")
    assert not applies(build("ssep", (6,), boundary="periodic"), 0.1, "current")
    assert equilibrium(build("voter", (3, 3)), 0.1) is None
    assert equilibrium(build("asep", (6,)), 0.1) is None


def test_ring_symmetry_agrees_with_quspin():
    """The zero-momentum block of QuSpin holds the leading eigenvalue of an FA ring (the Perron vector is symmetric)."""
    quspin = pytest.importorskip("quspin")
    from quspin.basis import spin_basis_1d
    from quspin.operators import hamiltonian

    length, c, s = 8, 0.3, 0.2
    root = np.exp(-s) * np.sqrt(c * (1 - c))
    basis = spin_basis_1d(length, kblock=0, pblock=1, pauli=False)
    flips, stay = [], []
    for i in range(length):
        for j in ((i + 1) % length, (i - 1) % length):  # n_j = 1/2 + Sz_j; escape c (1 - n_i) + (1 - c) n_i
            flips += [[("x", [[root, i]])], [("zx", [[2 * root, j, i]])]]
            stay += [[("I", [[-0.25, i]])], [("z", [[-0.5, j]])], [("z", [[c - 0.5, i]])]]
            stay += [[("zz", [[2 * c - 1, j, i]])]]
    terms = [[name, pairs] for block in (*flips, *stay) for name, pairs in block]
    h = hamiltonian(terms, [], basis=basis, dtype=np.float64, check_symm=False, check_herm=False, check_pcon=False)
    values = np.linalg.eigvalsh(h.toarray())
    system = build("fa", (length,), c=c, boundary="periodic")
    theta = solve(system, s, (), ["scgf"], method="lanczos").value[0]
    # the isolated all-down state has eigenvalue 0 in QuSpin's block: it is the one to leave out
    assert np.abs(values - theta).min() < 1e-9
    assert quspin is not None
    assert np.sum(values > theta + 1e-9) == 1


@pytest.mark.parametrize("name", ["south-east", "fa", "ring"])
def test_left_and_right_vectors(name):
    system, s = SYSTEMS[name], 0.2
    found = leading_vectors(system, s)
    w = generator(system, s).toarray()
    right, left = found.layout.to_states(found.right), found.layout.to_states(found.left)
    assert w @ right == pytest.approx(found.theta * right, abs=1e-9)
    assert left @ w == pytest.approx(found.theta * left, abs=1e-7 * np.abs(left).max())
    assert left @ right == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("system", [SYSTEMS["fa"], build("asep", (5,)), build("voter", (2, 3), boundary="up")])
def test_doob_transform_conserves_probability(system):
    w = doob(system, 0.3).toarray()
    assert w.sum(0) == pytest.approx(np.zeros(len(w)), abs=1e-7)
    assert (w - np.diag(np.diag(w)) >= 0).all()
    found = leading_vectors(system, 0.3)
    stationary = found.layout.to_states(found.stationary)
    assert w @ stationary == pytest.approx(np.zeros(len(w)), abs=1e-7)


def test_rate_function_of_independent_spins():
    """Two-state spins at c = 1/2: the activity is Poisson of rate 1/2 a spin, ``I(k)/N = k ln(2 k) - k + 1/2``."""
    frame = solve(build("free", (3,)), [-0.5, 0.1, 1.0], (), ["rate_function"])
    k = frame.k.to_numpy()
    assert frame.value.to_numpy() / 3 == pytest.approx(k * np.log(2 * k) - k + 0.5, abs=1e-12)


def test_the_trajectory_density_at_long_times_is_the_long_time_one():
    frame = solve(SYSTEMS["south-east"], 0.3, [2000.0, 4000.0], ["trajectory_density"], method="lanczos")
    late = frame[frame.t.notna()].value.to_numpy()
    mean = frame[frame.t.isna() & frame.site.isna()].value.iloc[0]
    assert 2 * late[1] - late[0] == pytest.approx(mean, abs=1e-6)  # the ends of the trajectory weigh 1/t


def test_auto_says_what_it_took_and_refuses_what_does_not_fit():
    frame = solve(build("south-east", (4, 4)), 0.1, 1.0, ["ln_Z"])
    assert frame.attrs["method"] == "lanczos"
    assert solve(build("asep", (4,)), 0.1, 1.0, ["ln_Z"]).attrs["method"] == "sparse"
    with pytest.raises(InputError, match="GiB"):
        solve(build("fa", (7, 7)), 0.1, 1.0, ["ln_Z"])
    with pytest.raises(InputError, match="detailed balance"):
        solve(build("asep", (4,)), 0.1, 1.0, ["ln_Z"], method="lanczos")


@pytest.mark.slow
def test_values_of_2d_south_east_5x5():
    """2^24 states: values computed independently of this code, to their last digit."""
    frame = solve(build("south-east", (5, 5)), 0.1, [1.0, 10.0, 50.0], ["ln_Z", "scgf"])
    want = [-0.98372025, -9.26188700, -38.2367773, -0.55524278]
    assert frame.value.to_numpy() == pytest.approx(want, abs=6e-8)
    assert frame.bound.max() < 1e-8


def test_layout_is_shared_by_runs_at_different_fields():
    layout = Layout(SYSTEMS["fa"])
    values = [Symmetric(SYSTEMS["fa"], s, layout=layout).run(TIMES).ln_z(TIMES)[0] for s in (0.1, 0.2)]
    assert (values[0] > values[1]).all()


def test_radau_and_lobatto_have_their_nodes(rng):
    matrix = rng.standard_normal((30, 30))
    values = np.linalg.eigvalsh(matrix + matrix.T)
    diagonal, off = rng.random(6), rng.random(6) + 0.1
    tri = Tridiagonal(diagonal, off)
    assert np.abs(tri.radau(values[-1])[0] - values[-1]).min() < 1e-10
    nodes, logs = tri.lobatto(values[0], values[-1])[:2]
    assert np.abs(nodes - values[0]).min() < 1e-9
    assert np.abs(nodes - values[-1]).min() < 1e-9
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-12)
    full = scipy.linalg.eigvalsh_tridiagonal(diagonal, off[:-1])
    assert tri.gauss.nodes == pytest.approx(full, abs=1e-12)


def test_a_node_far_above_is_no_bound_at_long_times():
    """The weight of a far node is below what an eigenvector routine resolves, and decides: the bound must be wide."""
    run = Symmetric(SYSTEMS["south-east"], 0.3).run(np.array([2000.0]), theta=True)
    tri = Tridiagonal(run.tri.diagonal[:30], run.tri.off[:30])
    value, far = continuous(tri, np.array([2000.0]), 0.5)
    assert far[0] > 100
    assert continuous(tri, np.array([1.0]), 0.5)[1][0] < 1e-12
    assert np.isfinite(value).all()


def test_euler_bounds_near_its_limit_stay_small_at_long_times():
    """Where ``dt`` times the crude bound of the spectrum passes 2 but ``dt |lambda_min|`` does not."""
    system, dt, steps = build("south-east", (4, 4)), 0.1, np.array([101, 40001])
    engine = Symmetric(system, 0.1)
    assert dt * engine.op.bound > 2
    run = engine.run(steps * dt, theta=True)
    assert unstable(engine, run, dt) == ""
    values, bounds = run.ln_z(steps * dt, dt)
    assert (bounds < 1e-9).all()
    w, p = generator(system, 0.1), StateSpace(system).initial()
    for _ in range(steps[0]):
        p = p + dt * (w @ p)
    assert abs(values[0] - np.log(p.sum())) < bounds[0] + 1e-13 * steps[0]
    rate = (values[1] - values[0]) / (steps[1] - steps[0])
    assert rate == pytest.approx(np.log1p(dt * run.tri.theta()[0]), rel=1e-3)


def test_derivatives_at_time_zero_are_known_with_certainty():
    """``k = exp(-s) <r> / N``, by hand for free spins: ``<r> = 2 c (1 - c) N`` of the start; ``chi = -k`` there."""
    for c, s in ((0.3, 0.4), (0.5, -1.0)):
        asked = ["activity", "susceptibility", "trajectory_density"]
        frame = solve(build("free", (4,), c=c), s, [0.0, 1.0], asked, method="lanczos")
        first = frame[frame.t == 0].set_index("quantity")
        assert first.value["trajectory_density"] == pytest.approx(c, rel=1e-14)
        assert first.bound["trajectory_density"] < 1e-12
        want = np.exp(-s) * 2 * c * (1 - c)
        for name, value in (("activity", want), ("susceptibility", -want)):
            assert first.value[name] == pytest.approx(value, rel=1e-14)
            assert 0 <= first.bound[name] < 1e-12


def test_errors_of_derivatives_are_per_site_and_time_as_the_values_are():
    """Free spins at c = 1/2: ``ln Z = N t (exp(-s) - 1) / 2``, so ``k = -chi = exp(-s) / 2`` at every time."""
    frame = solve(build("free", (6,), c=0.5), 0.3, [0.1, 1.0, 100.0], ["activity", "susceptibility"], method="lanczos")
    want = np.where(frame.quantity == "activity", 1, -1) * np.exp(-0.3) / 2
    assert (np.abs(frame.value - want) <= frame.bound).all()
    # relative truncation is 1e-8 as a goal; times N t twice over it would be 1e-3 at t = 100
    assert (frame.bound[frame.t > 0.5] < 1e-5).all()


def test_the_node_of_the_upper_rule_is_within_five_e_folds_of_the_latest_time():
    """At most 0.05 above the largest eigenvalue, and ``exp(5)`` at the latest time: nearer for later times alone."""
    found = {t: margin(t) for t in (0.0, 1.0, 50.0, 100.0, 1e4, 1e8)}
    assert found[0.0] == found[1.0] == found[50.0] == 0.05
    for t in (100.0, 1e4, 1e8):
        assert t * found[t] == pytest.approx(5.0)


def test_small_steps_keep_their_digits():
    """``1 + dt x`` would round a small ``dt x``, and a million steps would add that up."""
    logs = log_functions(np.array([-1e-9, 1e-9, -1.5, -2.5]), np.array([1e6]), 1.0)
    want = [1e6 * mp.log1p(-1e-9), 1e6 * mp.log1p(1e-9), 1e6 * mp.log(0.5), 1e6 * mp.log(1.5)]
    assert logs[0] == pytest.approx([float(value) for value in want], rel=1e-14)


def test_rounding_of_the_rate_grows_with_time_and_the_spread_of_rates():
    system = build("fa", (9,), c=0.3)
    rows = solve(system, 0.0, [0.0, 1e6], "instantaneous_activity", method="lanczos")
    escape, p = -generator(system).diagonal(), StateSpace(system).initial()
    spread = np.sqrt(p @ (escape - p @ escape) ** 2)
    assert rows.bound[1] / rows.bound[0] == pytest.approx(1 + 1e6 * spread)


def test_rounding_is_relative_to_the_matrix_where_no_norm_is_known():
    assert Tridiagonal(np.array([-1e-3, 2e-3]), np.array([5e-4, 0.0])).scale == pytest.approx(3e-3)
