"""The population tracker against exact values, against ``exact.cloning``, and resumed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.exact import InputError, build, solve
from vanbench.neural import track

torch.set_num_threads(1)
SIGMAS = 4.5  # seeds are fixed: this bounds a systematic error, not luck
FEW = {"clones": 20_000, "populations": 10}


def follow(system, s, times, options=FEW, **arguments):
    return track(system, s, times, tracker="clones", architecture="bernoulli", tracker_options=options, **arguments)


@pytest.mark.parametrize(
    ("name", "shape", "params"),
    [("east", (3, 3), {}), ("fa", (2, 3), {"c": 0.3}), ("voter", (3, 2), {}), ("ssep", (6,), {"boundary": "periodic"})],
)
def test_agrees_with_exact_within_its_errors(name, shape, params):
    system, s, times = build(name, shape, **params), [-0.2, 0.2], [0.6, 3.0]
    found = follow(system, s, times, seed=3, quantities=("ln_Z", "density")).records
    exact = solve(system, s, times, ["ln_Z", "density"])
    for quantity in ("ln_Z", "density"):
        ours = found[found.quantity == quantity].sort_values(["s", "t"])
        want = exact[exact.quantity == quantity].sort_values(["s", "t"]).value.to_numpy()
        error = np.maximum(ours.sampling_stderr.to_numpy(), 1e-9)  # rounding, where nothing is uncertain
        assert (np.abs(ours.value.to_numpy() - want) < SIGMAS * error).all()
        assert (error < 0.05 * np.maximum(np.abs(want), 0.3)).all()


def test_standard_error_is_the_spread_over_seeds():
    system = build("east", (3, 3))
    rows = []
    for seed in range(12):
        found = follow(system, [0.3], [3.0], {"clones": 2000}, seed=seed).records
        rows.append(found[found.quantity == "ln_Z"].iloc[0])
    spread, told = np.std([r.value for r in rows], ddof=1), np.mean([r.sampling_stderr for r in rows])
    assert 0.4 < spread / told < 2.5  # 12 runs know a spread to exp(+-0.64) at three sigma, ten populations add as much


def test_activity_from_differences():
    system = build("fa", (5,), c=0.4)
    found = follow(system, [0.3], [1.0], quantities=("ln_Z", "activity")).records
    row = found[found.quantity == "activity"].iloc[0]
    exact = solve(system, 0.3, [1.0], ["activity"]).value.iloc[0]
    assert abs(row.value - exact) < SIGMAS * row.sampling_stderr + 5e-3 * exact  # the bias of the difference over s


def test_what_it_tells_and_what_it_refuses():
    system = build("east", (3, 3))
    found = follow(system, [0.2], [0.5])
    assert found.diagnostics["n_parameters"] == 0
    assert found.distribution() is None
    assert found.log["ess"].between(0, 1, inclusive="right").all()
    for options, message in (({"clones": 100}, "populations"), ({"dt": 0.0}, "positive")):
        with pytest.raises(InputError, match=message):
            follow(system, [0.2], [0.5], options)
    with pytest.raises(InputError, match="rates that are not positive"):
        follow(build("tfim", (2,)), [0.2], [0.5], observable="jumps", quantities=("ln_Z",))


def test_the_error_of_the_density_is_its_spread_over_seeds_though_most_clones_are_relatives():
    """FA 6 at s = -1: clones counted as independent said a fifth of the spread."""
    system, rows = build("fa", (6,), c=0.1), []
    for seed in range(16):
        found = follow(system, [-1.0], [2.0], {"clones": 1000}, seed=seed, quantities=("density",)).records
        rows.append(found[found.quantity == "density"].iloc[0])
    spread, told = np.std([r.value for r in rows], ddof=1), np.mean([r.sampling_stderr for r in rows])
    assert 0.55 < spread / told < 1.8  # 16 runs know a spread to exp(+-0.55) at three sigma; measured 1.1
