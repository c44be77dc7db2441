"""Values that were wrong in silence once, and others of their kinds: an estimate covers them, or the run warns."""

import warnings

import pytest

from vanbench.exact import build, solve
from vanbench.neural import track

SYMMETRISED = {"picture": "symmetrised"}
HASTY = {"dt": 0.25, "epochs": 10, "first_epochs": 50, "samples": 200}
slow = pytest.mark.slow
CASES = [  # system, s, t, network, tracker, options, quantity
    (("east", (3, 3), {}), 0.3, 10.0, "bernoulli", "tdvp", {}, "ln_Z"),
    (("fa", (3, 3), {}), 0.5, 10.0, "bernoulli", "tdvp", SYMMETRISED, "ln_Z"),
    (("fa", (2, 3), {"c": 0.2}), 0.7, 5.0, "bernoulli", "tdvp", SYMMETRISED, "ln_Z"),
    (("voter", (6,), {}), 0.5, 3.0, "bernoulli", "tdvp", {}, "ln_Z"),
    (("asep", (6,), {}), -0.5, 3.0, "bernoulli", "log-ratio", {}, "ln_Z"),
    pytest.param(("fa", (3, 3), {}), 0.5, 10.0, "made", "kl", HASTY, "ln_Z", marks=slow),
    (("east", (5,), {}), 0.5, 2.0, "made", "kl", HASTY, "ln_Z"),
    pytest.param(
        ("tfim", (5,), {"boundary": "periodic", "initial": "-y"}), 0.0, 0.5, "made", "l1", {}, "sigma_z", marks=slow
    ),
    (("tfim", (3,), {"boundary": "periodic", "initial": "-y"}), 0.0, 0.2, "made", "l1", {"epochs": 15}, "sigma_z"),
    *(
        pytest.param(("fa", (5,), {"c": 0.3}), 0.3, 5.0, "made", "tdvp", {"samples": 200, **how}, "ln_Z", marks=slow)
        for how in ({}, {"full_summation": False}, {"full_summation": False, "damping": 0.1})
    ),
]


@pytest.mark.parametrize(("system", "s", "t", "network", "tracker", "options", "quantity"), CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_covered_or_warned_of(system, s, t, network, tracker, options, quantity, seed):
    name, shape, params = system
    built = build(name, shape, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = track(
            built, s, t, architecture=network, tracker=tracker, tracker_options=options, quantities=quantity, seed=seed
        )
    row = run.records.set_index("quantity").loc[quantity]
    off = abs(row.value - solve(built, s=[s], times=[t], quantities=[quantity]).value.iloc[0])
    assert off <= 2 * row.error_estimate or run.warnings, (off, row.error_estimate)
    assert row.error_estimate <= 10 * off + 0.02  # nor does an estimate cover whatever happens
