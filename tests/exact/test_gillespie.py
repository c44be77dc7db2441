"""Trajectories against exact averages."""

from __future__ import annotations

import numpy as np
import pytest

from vanbench.exact import InputError, build, solve
from vanbench.exact.trajectories.gillespie import trajectories

WALKERS = 20_000
SIGMAS = 4.5  # a false alarm in 10^5 tests, and the seeds are fixed

CASES = [
    ("fa", (2, 3), {}, "activity"),
    ("south-east", (3, 3), {"c": 0.3}, "activity"),
    ("fa", (6,), {"initial": "up"}, "activity"),
    ("voter", (3, 2), {}, "activity"),
    ("asep", (5,), {}, "current"),
    ("ssep", (6,), {"boundary": "periodic"}, "activity"),
]


@pytest.mark.parametrize(("name", "shape", "params", "observable"), CASES)
def test_counts_and_densities(name, shape, params, observable):
    system = build(name, shape, **params)
    exact = solve(system, 0.0, [0.5, 3.0], ["activity", "density_profile"], observable=observable, method="sparse")
    for seen in trajectories(system, [0.5, 3.0], WALKERS, seed=5, observable=observable):
        now = exact[exact.t == seen.t]
        k = seen.counts / (system.n_sites * seen.t)
        error = k.std() / np.sqrt(WALKERS)
        assert abs(k.mean() - now[now.quantity == "activity"].value.iloc[0]) < SIGMAS * error
        profile = now[now.quantity == "density_profile"].value.to_numpy()
        spread = np.sqrt(profile * (1 - profile) / WALKERS) + 1e-12
        assert (np.abs(seen.configurations.mean(0) - profile) < SIGMAS * spread).all()


def test_large_deviations_of_short_runs():
    """``Z = <exp(-s K)>`` over plain trajectories."""
    system = build("fa", (2, 3))
    (seen,) = trajectories(system, [2.0], WALKERS, seed=1)
    weights = np.exp(-0.3 * seen.counts)
    exact = np.exp(solve(system, 0.3, 2.0, ["ln_Z"]).value[0])
    assert abs(weights.mean() - exact) < SIGMAS * weights.std() / np.sqrt(WALKERS)


def test_support_is_kept_and_seeds_repeat():
    system = build("fa", (2, 2))
    runs = [next(trajectories(system, [5.0], 3000, seed=s)).configurations for s in (1, 1, 2)]
    assert runs[0].any(1).all()
    assert (runs[0] == runs[1]).all()
    assert (runs[0] != runs[2]).any()


def test_bad_questions_are_refused():
    with pytest.raises(InputError, match="times"):
        next(trajectories(build("fa", (3,)), [2.0, 1.0], 10))
    with pytest.raises(InputError, match="walker"):
        next(trajectories(build("fa", (3,)), [2.0], 0))
