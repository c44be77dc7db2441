"""`solve` by TEBD: the errors it prints hold, no size is out of reach, and what cannot be is refused."""

from __future__ import annotations

import re

import mps_calibration
import numpy as np
import pytest

from vanbench.exact import InputError, System, build, jumps, solve
from vanbench.exact.mps.solve_tebd import Evolved

QUICK = (11, 15, 18, 20, 22, 48, 49, 55)  # of the random systems, those that take below a second
PAIR = -0.68468304  # ln Z of two more sites of a long FA chain, s = 0.1, t = 8: exact vectors of 18, 20 and 22 sites


def check(frame) -> None:
    assert frame.value.notna().all()
    assert (frame.bound > 0).all()
    assert (frame.off <= frame.bound).mean() >= 0.99, frame[frame.off > frame.bound].to_string()
    close = frame[frame.tolerance == 1e-5]  # that they hold by being wide is no use
    assert (close[close.quantity == "ln_Z"].bound <= 1e-2).mean() >= 0.5


def test_errors_of_a_few_random_systems():
    frame = mps_calibration.collected(QUICK)
    check(frame)
    small = frame.assign(bound=frame.bound / 100)
    assert (small.off > small.bound).any()  # a bound that is too small would be seen


@pytest.mark.slow
def test_errors_of_many_random_systems():
    check(mps_calibration.collected(range(1000, 1050)))
    check(mps_calibration.collected(range(1200, 1208), derived=True))


def test_derivatives_of_ln_z_are_those_of_the_exact_vectors():
    system, names = build("fa", (5,), c=0.3), ["activity", "susceptibility", "trajectory_density"]
    got = solve(system, -0.2, [0.0, 1.5], names, method="mps", tolerance=1e-3)
    want = solve(system, -0.2, [0.0, 1.5], names, method="sparse")
    want = want[want.t.notna()].set_index(["quantity", "t"]).value
    got = got.set_index(["quantity", "t"])
    assert ((got.value - want).abs() <= got.bound).all()
    assert (got.bound < 5e-3).all()


@pytest.mark.slow
def test_the_error_of_a_difference_does_not_pass_zero():
    """At t = 8 the second-order formula is right by chance, and that of fourth order is not."""
    system, times = build("ssep", (5,), alpha=1.0, beta=0.1), [1.0, 5.0, 8.0, 20.0]
    exact = solve(system, 0.1, times, "activity", method="dense").value.to_numpy()
    for asked in (times, times[:3]):
        values = solve(system, 0.1, asked, "activity", method="mps")
        assert (np.abs(values.value - exact[: len(asked)]) <= values.bound).all()


def test_beyond_its_light_cone_ln_z_grows_by_the_site():
    ln_z = [solve(build("fa", (n,)), 0.1, 8.0, "ln_Z", method="mps", bond=16).iloc[0] for n in (38, 40)]
    bound = sum(row.bound for row in ln_z)
    assert bound < 1e-3
    assert ln_z[1].value - ln_z[0].value == pytest.approx(PAIR, abs=1e-6)


def test_the_step_is_the_one_that_is_given_or_shorter():
    rows = [solve(build("fa", (5,)), 0.1, 2.0, "ln_Z", method="mps", dt=dt).iloc[0] for dt in (0.5, 1.0)]
    exact = solve(build("fa", (5,)), 0.1, 2.0, "ln_Z").value[0]
    off = [abs(row.value - exact) for row in rows]
    assert off[0] < off[1] / 8
    assert all(distance <= row.bound for distance, row in zip(off, rows))


RATES = np.ones((8, 8)) - np.eye(8)
WIDE = System("three", (3,), 2, (jumps((0, 1, 2), RATES),), np.full((3, 2), 0.5))


@pytest.mark.parametrize(
    ("system", "options", "message"),
    [
        (WIDE, {}, "one site or two"),
        (build("ssep", (4,), boundary="periodic"), {}, "fixed sum"),
        (build("fa", (4,)), {"bond": 1}, "bond = 1"),
        (build("fa", (4,)), {"tolerance": 0.0}, "tolerance = 0"),
        (build("fa", (4,)), {"dt": -1.0}, "time step must be positive"),
        (build("fa", (4,)), {"scheme": "euler", "dt": 0.1}, "continuous time"),
        (build("fa", (4,)), {"quantities": ["scgf"]}, "no scgf"),
        (build("tfim", (3,)), {"quantities": ["density"]}, "no density|unknown quantity"),
    ],
)
def test_what_it_cannot_do_is_refused(system, options, message):
    with pytest.raises(InputError, match=message):
        solve(system, 0.1, 1.0, method="mps", **options)


def test_the_bond_is_for_matrix_products_alone():
    with pytest.raises(InputError, match="mps and dmrg"):
        solve(build("fa", (4,)), 0.1, 1.0, bond=8)


def test_a_phase_that_bonds_have_cut_is_told(monkeypatch):
    """Where both bonds agree on a value that lacks it, the leading eigenvector shows that it does."""
    system, exact = build("fa", (10,)), solve(build("fa", (10,)), 0.1, 60.0, "ln_Z").value[0]
    rows = []
    for lacking in (5.0, 0.0):
        solved = {"ln_Z": np.array([exact - lacking])}, {"ln_Z": np.array([1e-6])}
        monkeypatch.setattr(Evolved, "solved", lambda self, solved=solved: solved)
        rows.append(solve(system, 0.1, 60.0, "ln_Z", method="mps").iloc[0])
    assert rows[0].bound == pytest.approx(5, abs=0.1)
    assert "take a larger bond" in rows[0].note
    assert (rows[1].bound, rows[1].note) == (1e-6, "")


def test_days_of_steps_are_refused_before_any_work(monkeypatch):
    """Rates of exp(30) allow steps of 1e-13."""
    monkeypatch.setattr(Evolved, "measured", lambda *_: pytest.fail("work began"))
    with pytest.raises(InputError, match="hours: take a smaller"):
        solve(build("fa", (8,)), [0.1, -30.0], 1.0, ["ln_Z"], method="mps")


@pytest.mark.parametrize(("bond", "missed"), [(2, True), (16, False)])
def test_a_bond_below_the_tolerance_says_so(bond, missed):
    frame = solve(build("fa", (8,)), 0.3, 2.0, ["ln_Z"], method="mps", bond=bond)
    assert ("above what the tolerance allows" in (frame.note[0] or "")) is missed
    assert (frame.bound[0] > 8e-5 * max(abs(frame.value[0]), 0.1)) is np.bool_(missed)


def test_progress_says_how_many_steps_a_bond_takes():
    said = []
    solve(build("fa", (5,)), 0.1, 2.0, "ln_Z", method="mps", dt=0.5, bond=8, progress=said.append)
    asked = [re.search(r"bond (\d+), ([\d.]+) steps of dt = ([\d.]+)", line) for line in said]
    steps = [(float(line[2]), float(line[3])) for line in asked if line]
    assert {dt for _, dt in steps} == {1.0, 0.5}
    assert all(n * dt == pytest.approx(2.0) for n, dt in steps)
