"""Where answers are easily wrong in silence: very long times, absorbing states, networks that are no distribution."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

from vanbench.compare.declare.task import Run, Task, checked
from vanbench.compare.run.execute import check
from vanbench.exact import InputError, StateSpace, build, doob, generator, leading_vectors, solve

ASKED = ("ln_Z", "activity", "susceptibility", "density")


def free_spin(c: float, up: float, s: float, t: float) -> tuple[float, float, float]:
    """``ln Z``, ``k`` and ``chi`` of one free spin with 60 digits, by differentiating the 2x2 exponential."""
    with mp.workdps(60):

        def ln_z(field):
            w = mp.matrix([[-c, mp.exp(-field) * (1 - c)], [mp.exp(-field) * c, -(1 - c)]])
            p = mp.expm(w * t) * mp.matrix([1 - up, up])
            return mp.log(p[0] + p[1])

        return (
            float(ln_z(mp.mpf(s))),
            float(-mp.diff(ln_z, s) / t),
            float(-mp.diff(ln_z, s, 2) / t),
        )


@pytest.mark.parametrize("method", ["sparse", "krylov", "dense"])
@pytest.mark.parametrize("t", [1000.0, 3e5])
def test_derivatives_keep_their_digits_at_long_times(method, t):
    """Moments grow like t^2 and their difference like t: taken as such, the susceptibility would keep six digits."""
    if method == "krylov" and t > 1000:
        pytest.skip("minutes: Krylov steps do not grow with the time")
    c, up, s = mp.mpf("0.3"), mp.mpf("0.7"), 0.2
    want = free_spin(c, up, s, t)
    frame = solve(build("free", (3,), c=0.3, initial="bernoulli:0.7"), s, t, ASKED, method=method)
    got = frame.set_index("quantity").value
    assert got["ln_Z"] == pytest.approx(3 * want[0], rel=1e-10)  # t |W| roundings of 1e-16
    assert got["activity"] == pytest.approx(want[1], rel=1e-9)
    assert got["susceptibility"] == pytest.approx(want[2], rel=1e-8)


def test_long_times_over_few_states_are_quick_and_agree_with_lanczos():
    system = build("fa", (4,))
    frames = [solve(system, 0.1, [1e3, 1e6], ASKED, method=m) for m in ("sparse", "lanczos")]
    a, b = (f.sort_values(["quantity", "t"]).value.to_numpy() for f in frames)
    assert a == pytest.approx(b, rel=2e-8)  # the second differences of the Lanczos route carry 5e-9


@pytest.mark.parametrize("method", ["sparse", "krylov"])
def test_two_absorbing_states_are_two_eigenvalues(method):
    """s > 0: consensus costs nothing, so theta = 0, twice; one Krylov space alone would see a gap."""
    frame = solve(build("voter", (3, 3)), 0.1, 1.0, ("scgf", "gap", "rate_function"), method=method)
    got = frame.set_index("quantity")
    assert got.value["scgf"] == pytest.approx(0.0, abs=1e-10)
    assert got.value["gap"] == pytest.approx(0.0, abs=1e-10)
    assert np.isnan(got.value["rate_function"])
    assert "degenerate" in got.note["rate_function"]


def test_absorbing_states_beyond_the_stored_matrix(monkeypatch):
    from vanbench.exact.matrixfree import eigenvectors

    system = build("voter", (3, 3))
    want = [eigenvectors.leading_values(system, s)[:2] for s in (0.1, -0.5)]
    monkeypatch.setattr(eigenvectors, "STORED", 0)
    for s, values in zip((0.1, -0.5), want):
        assert eigenvectors.leading_values(system, s).real == pytest.approx(values.real, abs=1e-10)


def test_vectors_of_an_absorbing_model():
    system = build("voter", (3, 3))
    with pytest.raises(InputError, match="degenerate"):
        leading_vectors(system, 0.1)
    with pytest.raises(InputError, match="never reach"):
        doob(system, -0.5)  # from consensus nothing moves
    profile = leading_vectors(system, -0.5).stationary
    assert profile.sum() == pytest.approx(1.0)
    assert profile[[0, -1]] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_disconnected_states_that_weigh_little_in_the_start():
    """South-East with no pinned spin: the last spin alone is frozen, leads at s > 0, and has weight c in the start."""
    system = build("south-east", (2, 3), c=0.001, boundary="down", pinned="none")
    frame = solve(system, 0.001, (), ("scgf", "rate_function", "trajectory_density"))
    assert frame.value[:2].to_numpy() == pytest.approx([0.0, 0.0], abs=1e-14)
    profile = frame[frame.site.notna()].value.to_numpy()
    assert profile == pytest.approx([0, 0, 0, 0, 0, 1], abs=1e-12)
    assert solve(system, 0.001, 1.0, ("ln_Z",)).attrs["method"] == "sparse"
    assert solve(build("south-east", (2, 3)), 0.001, 1.0, ("ln_Z",)).attrs["method"] == "lanczos"


@pytest.mark.parametrize("method", ["sparse", "krylov", "lanczos"])
def test_the_trajectory_density_of_euler_steps_is_a_mean(method):
    """Over the starts of all steps, in the ensemble of one step less: never above one, here against its sum."""
    system, s, dt = build("south-east", (2, 2), c=0.9), 2.0, 0.1
    step = np.eye(8) + dt * generator(system, s).toarray()
    x = StateSpace(system).configurations().mean(1)
    got = solve(system, s, [0.0, 0.1, 3.0], ("trajectory_density",), "euler", dt, method=method)
    for t, value in zip(got.t.dropna(), got.value):
        steps = max(1, round(t / dt))
        ahead = [StateSpace(system).initial()]
        back = [np.ones(8)]
        for _ in range(steps - 1):
            ahead, back = [*ahead, step @ ahead[-1]], [*back, back[-1] @ step]
        means = [(b * x) @ p / (b @ p) for p, b in zip(ahead, reversed(back))]
        assert value == pytest.approx(np.mean(means), rel=1e-9)


def run_with(network: str) -> Run:
    declared = {
        "name": "strangers",
        "system": "east",
        "shapes": [[4, 4]],
        "s": [0.1],
        "times": [0.1],
        "architectures": [{"name": network}],
        "tracker_options": {"dt": 0.05},
    }
    task = checked(Task, declared, "strangers")
    return Run(task=task, shape=(4, 4), architecture=task.architectures[0], replica=0, seed=1)


@pytest.mark.parametrize("name", ["InclusiveMask", "NoMask", "Unnormalised", "DropoutLeftOn"])
def test_a_network_that_is_not_normalised_is_refused_before_any_work(name):
    with pytest.raises(InputError, match="is not normalised"):
        check(run_with(f"broken_networks:{name}"))


def test_a_healthy_stranger_passes():
    check(run_with("broken_networks:Healthy"))


@pytest.mark.parametrize("off", [4e-6, 1e-9])
def test_a_start_near_equilibrium_is_not_equilibrium(off):
    """Lanczos from the equilibrium answers for the equilibrium: 4e-6 from it, ln Z differs in the sixth digit.

    Tolerance: rounding of two routes at t |W| of some ten.
    """
    system = build("fa", (6,), initial=f"bernoulli:{0.5 + off!r}")
    frames = [solve(system, 0.3, 2.0, ["ln_Z", "density"], method=method) for method in ("auto", "dense")]
    assert frames[0].value.to_numpy() == pytest.approx(frames[1].value.to_numpy(), abs=1e-13)


def test_an_absorbing_state_that_leads():
    """East with no pinned spin, s > 0: the last spin alone is frozen, apart from all else, and theta = 0 is its value.

    By Lanczos above 2^14 states, to the rounding of a Ritz vector; below, class by class, from any start.
    """
    asked, frozen = ("rate_function", "trajectory_density"), {"boundary": "down", "pinned": "none"}
    frame = solve(build("east", (15,), **frozen), 1.0, (), asked, method="lanczos")
    found = leading_vectors(build("east", (15,), **frozen), 1.0)
    assert found.theta == pytest.approx(0.0, abs=1e-13)
    assert found.stationary[1] == pytest.approx(1.0, abs=1e-12)
    assert frame.value[frame.site.isna()].to_numpy() == pytest.approx([1 / 15, 0.0], abs=1e-12)
    frame = solve(build("east", (9,), initial="up", **frozen), 1.0, (), asked)
    assert frame.value.to_numpy() == pytest.approx([0.0, 1 / 9, *np.eye(9)[8]], abs=1e-12)


def test_leading_vectors_at_large_fields():
    """Diagonal entries within 1e-12 of theta: the vectors are those of the dense matrix, to their own rounding."""
    system = build("fa", (6,))
    found, w = leading_vectors(system, 20.0), generator(system, 20.0).toarray()
    values, vectors = np.linalg.eigh(w)  # c = 1/2: symmetric as it is
    want = vectors[:, -1] ** 2
    assert found.theta == pytest.approx(values[-1], abs=1e-13)
    assert found.layout.to_states(found.stationary) == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize(("name", "method"), [("fa", "auto"), ("fa", "lanczos"), ("asep", "krylov"), ("tfim", "auto")])
def test_a_time_step_that_nothing_takes_is_refused(name, method):
    with pytest.raises(InputError, match="dt is the step of"):
        solve(build(name, (3,)), 0.0, 1.0, ["ln_Z"], dt=0.1, method=method)


def test_trained_parameters_beside_another_start_are_refused():
    given = {
        "name": "a", "system": "fa", "shapes": [(4,)], "s": [0.1], "times": [1.0],
        "start_from": "net.pt", "params": {"initial": "up"},
    }  # fmt: skip
    with pytest.raises(InputError, match="both say where the run begins"):
        checked(Task, given, "task")
    assert checked(Task, {**given, "params": {}}, "task").start_from == "net.pt"
