"""Bounds that are printed hold: random systems, references in extended precision; the long run is `random_bounds`."""

from __future__ import annotations

import numpy as np
import pytest
import random_bounds
from extended import ENOUGH, Reference, together

from vanbench.exact import build, solve
from vanbench.exact.closed_form import free_spins

pytestmark = pytest.mark.skipif(not ENOUGH, reason="long doubles are plain doubles here")
FEW, MANY = range(40), range(2000)


def check(seeds) -> None:
    frame = random_bounds.collect(seeds)
    assert len(set(frame.seed)) >= 0.99 * len(seeds)  # few draw an Euler step that is unstable at every time
    bad = frame[random_bounds.violated(frame)]
    assert not len(bad[bad.kind == "certified"]), bad.to_string()
    assert len(bad) <= 1e-3 * (frame.kind == "estimated").sum(), bad.to_string()
    assert set(frame.kind) == {"certified", "estimated"}
    assert (frame[frame.quantity == "ln_Z"].kind == "certified").all()
    small = frame[(frame.quantity == "ln_Z") & (frame.bound <= 1e-8 * np.maximum(1.0, np.abs(frame.wanted)))]
    assert len(small) >= 0.8 * (frame.quantity == "ln_Z").sum()  # that they hold by being wide is no use


def test_bounds_of_a_few_random_systems():
    check(FEW)


@pytest.mark.slow
def test_bounds_of_many_random_systems():
    check(MANY)


@pytest.mark.parametrize("seed", [20085, 20116])
def test_site_averages_where_nodes_are_close(seed):
    """Vectors of close nodes are turned among each other; first entries made better alone were 30 bounds off."""
    frame = random_bounds.rows(seed)
    assert not random_bounds.violated(frame[frame.quantity.isin(["density", "density_profile"])]).any()


def test_a_bound_that_is_too_small_would_be_seen():
    """Rounding alone is a hundredth of most bounds: a thousandth of them is violated somewhere."""
    frame = random_bounds.collect(range(6))
    frame["bound"] /= 1000
    assert random_bounds.violated(frame[frame.kind == "certified"]).any()
    assert random_bounds.violated(frame[frame.kind == "estimated"]).any()


@pytest.mark.parametrize("s", [-1.469, 0.3])
def test_the_reference_against_a_closed_form(s):
    """Independent spins; the closed form in doubles is good to 1e-12 of each value."""
    times = [1e-3, 1.0, 1e4]
    for t, got in zip(times, Reference(build("free", (3,), c=0.75), s).values(times)):
        want = free_spins(3, 0.75, s, t)
        for name in ("ln_Z", "activity", "susceptibility", "density", "instantaneous_activity"):
            assert getattr(got, name) == pytest.approx(want[name], rel=1e-9 if name == "susceptibility" else 1e-12)


def test_the_reference_of_blocks_is_that_of_the_whole():
    one, two = (build("free", (n,), c=0.2) for n in (1, 2))
    parts = [Reference(system, -0.4).values([2.0])[0] for system in (one, two)]
    whole, whole_parts = Reference(build("free", (3,), c=0.2), -0.4).values([2.0])[0], together(parts)
    for name in ("ln_Z", "activity", "susceptibility", "density", "instantaneous_activity", "trajectory_density"):
        assert getattr(whole_parts, name) == pytest.approx(getattr(whole, name), rel=1e-14)


def pinned_east(c):
    return build("east", (5,), c=c, pinned="0:1,4:0")


@pytest.mark.parametrize(
    ("system", "s", "times", "want"),
    [
        (build("free", (5,), c=0.75), -1.469, [0.001, 0.1, 10000], 0.0062730),
        (build("free", (5,), c=0.75), -1.469, [0.001], 0.0062730),
    ],
)
def test_ln_z_where_the_krylov_space_ends(system, s, times, want):
    """Six dimensions: a seventh vector would be rounding alone, and its weights wrong by 2e-5."""
    frame = solve(system, s, times, "ln_Z", method="lanczos")
    assert frame.value[0] == pytest.approx(want, abs=6e-8)  # the last digit given
    for row in frame.itertuples():
        exact = free_spins(5, 0.75, s, row.t)["ln_Z"]
        assert abs(row.value - exact) <= row.bound + 1e-14 * abs(exact)
        assert row.bound <= 1e-13 * (1 + 50 * row.t)


@pytest.mark.parametrize(
    ("system", "s", "times", "want", "last"),
    [
        (build("free", (5,), c=0.25), -0.712, [0.05, 1, 1000], 0.2547, 6e-5),
        (build("east", (6,), c=0.01), 0.0, [1e8], 0.01, 1e-6),
        (build("east", (6,), c=0.01), 0.05, [1e7], 0.0041884, 6e-8),
    ],
)
def test_trajectory_density_at_times_far_apart(system, s, times, want, last):
    frame = solve(system, s, times, "trajectory_density")
    rows = frame[frame.t.notna()]
    assert rows.value.iloc[0] == pytest.approx(want, abs=last)
    for row, known in zip(rows.itertuples(), Reference(system, s).values(times)):
        assert abs(row.value - known.trajectory_density) <= row.bound < 1e-5


@pytest.mark.parametrize(("c", "want"), [(0.05, -0.0198090), (0.02, -0.0080982)])
def test_susceptibility_is_as_good_as_asked_alone(c, want):
    """One time bends a thousand times faster in ``s`` than the other: each has its own step."""
    system, dt = pinned_east(c), 0.67
    alone, both = (
        solve(system, -0.0221, times, "susceptibility", "euler", dt, method="lanczos")
        for times in ([dt], [dt, 1000 * dt])
    )
    assert both.value[0] == pytest.approx(want, abs=6e-8)
    assert both.bound[0] <= 2 * alone.bound[0]
    for row, known in zip(both.itertuples(), Reference(system, -0.0221).values(both.t, dt)):
        assert abs(row.value - known.susceptibility) <= row.bound < 1e-7


@pytest.mark.parametrize("name", ["activity", "susceptibility", "trajectory_density"])
@pytest.mark.parametrize("start", [0, 1, 2])
def test_every_time_is_as_good_as_asked_alone(name, start, rng):
    """Times over eight decades in one call, constrained systems of which some relax slowly."""
    system = build("east", (4,), c=(0.5, 0.05, 0.9)[start])
    times, s = [1e-3, 1.0, 1e3, 1e5], (-0.3, 0.02, 0.5)[start]
    whole = solve(system, s, times, name, method="lanczos")
    whole = whole[whole.t.notna()]
    for t, row in zip(times, whole.itertuples()):
        alone = solve(system, s, [t], name, method="lanczos").iloc[0]
        assert abs(row.value - alone.value) <= row.bound + alone.bound
        assert row.bound <= 4 * alone.bound
