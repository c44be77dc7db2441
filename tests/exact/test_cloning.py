"""Cloning against exact values."""

from __future__ import annotations

import numpy as np
import pytest

from vanbench.exact import InputError, build, solve
from vanbench.exact.trajectories import cloning as module
from vanbench.exact.trajectories.cloning import cloning

SIGMAS = 4.5  # seeds are fixed: this bounds a systematic error, not luck


@pytest.mark.parametrize(
    ("name", "shape", "params", "observable"),
    [
        ("south-east", (3, 3), {}, "activity"),
        ("fa", (2, 3), {"c": 0.3}, "activity"),
        ("voter", (3, 2), {}, "activity"),
        ("asep", (5,), {}, "current"),
    ],
)
@pytest.mark.parametrize("s", [0.2, -0.2])
def test_agrees_with_exact_within_its_errors(name, shape, params, observable, s):
    system = build(name, shape, **params)
    found = cloning(system, s, [1.0, 5.0], clones=10_000, populations=10, seed=3, observable=observable)
    exact = solve(system, s, [1.0, 5.0], ["ln_Z", "activity"], observable=observable)
    for quantity in ("ln_Z", "activity"):
        ours, want = found[found.quantity == quantity], exact[exact.quantity == quantity].value.to_numpy()
        error = np.hypot(ours.stderr.to_numpy(), 1e-9)
        bias = np.abs(ours.bias.to_numpy())  # of ten populations: itself uncertain by about their stderr
        assert (np.abs(ours.value.to_numpy() - want) < SIGMAS * error + bias).all()
        assert (error < 0.05 * np.maximum(np.abs(want), 0.3)).all()


def test_growth_rate_of_independent_spins():
    """Free spins at c = 1/2: ``theta = N (exp(-s) - 1) / 2``, every clone weighs the same."""
    found = cloning(build("free", (4,)), 0.5, 4.0, clones=400, populations=2)
    theta = found[found.quantity == "scgf"].iloc[0]
    assert theta.value == pytest.approx(2 * np.expm1(-0.5), abs=1e-12)


@pytest.mark.slow
def test_small_populations_show_their_bias():
    """``ln Z`` of twenty clones a population is too low, and half as many tell: the bias has the right sign."""
    system = build("fa", (3, 3))
    small = cloning(system, -0.5, 4.0, clones=6000, populations=300, seed=1).iloc[0]
    exact = solve(system, -0.5, 4.0, ["ln_Z"]).value[0]
    assert small.value < exact - 2 * small.stderr
    assert small.bias > 2 * small.stderr


@pytest.mark.slow
def test_the_estimated_bias_is_the_true_one_on_average():
    """Of forty clones a population; from ten and twenty a law of 1/n is not yet seen, and the estimate is too large."""
    system = build("fa", (3, 3))
    exact = solve(system, -0.5, 4.0, ["ln_Z"]).value[0]
    runs = [cloning(system, -0.5, 4.0, clones=12_000, populations=300, seed=seed).iloc[0] for seed in range(1, 13)]
    true, estimated = (np.array(values) for values in zip(*((exact - run.value, run.bias) for run in runs)))
    stderr = np.std(estimated - true, ddof=1) / np.sqrt(len(runs))
    assert abs((estimated - true).mean()) < 3.1 * stderr  # Student's t, 11 degrees of freedom: 1 %
    assert true.mean() > 3.1 * stderr  # so that none, or twice as much, would be seen


def test_too_few_clones_are_refused():
    with pytest.raises(InputError, match="populations"):
        cloning(build("fa", (3,)), 0.1, 1.0, clones=100, populations=10)


@pytest.mark.slow
@pytest.mark.parametrize("length", [4, 5])
def test_2d_south_east_at_the_sizes_of_the_literature(length):
    system = build("south-east", (length, length))
    found = cloning(system, 0.1, 10.0, clones=100_000, populations=10, seed=2)
    exact = solve(system, 0.1, 10.0, ["ln_Z"]).value[0]
    ours = found.iloc[0]
    assert abs(ours.value - exact) < SIGMAS * ours.stderr + abs(ours.bias)
    assert ours.stderr < 1e-3 * abs(exact)  # measured 7e-4 at both sizes, itself known to a quarter


def test_clones_that_never_moved_tell_no_error():
    """From all down next to a wall that is up, one site moves at the rate 1e-9: no clone does, and 0 is not exact."""
    system = build("east", (2,), c=1e-9, initial="down")
    rows = cloning(system, 0.3, [0.01, 0.1], clones=400, populations=2)
    assert len(rows) == 5
    assert rows.stderr.isna().all()
    assert rows.note.str.contains("no clone has moved").all()
    moved = cloning(build("east", (2,), c=0.5), 0.3, [1.0], clones=400, populations=2)
    assert (moved.stderr > 0).all()
    assert (moved.note == "").all()


def test_clones_say_how_far_they_are_and_take_no_end_of_time():
    told: list[str] = []
    cloning(build("free", (1,)), 0.1, [100.0], clones=40, populations=2, progress=told.append)
    assert len([line for line in told if "t = 25 of 100" in line]) == 4  # two populations of either size
    with pytest.raises(InputError, match="takes clones days"):
        cloning(build("free", (1,)), 0.1, [1e9], clones=40, populations=2)


def test_the_bias_is_what_half_the_clones_change(monkeypatch):
    """Of populations whose ``ln Z`` is one over their size, their integrated observable twice that."""

    def population(tables, times, clones, rng, progress):
        return np.array([1.0, 2.0, 0.5])[:, None] / clones + np.zeros(len(times))

    monkeypatch.setattr(module, "_population", population)
    rows = cloning(build("fa", (4,)), 0.1, [2.0], 120, 3).set_index("quantity")
    full, half = 1 / 40, 1 / 20
    assert rows.value["ln_Z"] == pytest.approx(full)
    assert rows.bias["ln_Z"] == pytest.approx(full - half)
    assert rows.bias["activity"] == pytest.approx(2 * (full - half) / (4 * 2.0))
    assert rows.bias["scgf"] == pytest.approx(0.5 * (full - half) / 1.0)
