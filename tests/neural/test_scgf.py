"""The long-time limit against the largest eigenvalue, and the extrapolation against exact vectors."""

from __future__ import annotations

import pytest
import torch

from vanbench.exact import InputError, build, solve
from vanbench.neural import track

torch.set_num_threads(1)
LIMIT = {"picture": "symmetrised"}
SUMMED = {"full_summation": True, "damping": 1e-12, "tolerance": 1e9, "dt": 0.2, "window": 3.0, "still": 3e-4, **LIMIT}
SAMPLED = {"samples": 200, "dt": 0.2, "window": 1.0, "still": 0.02, **LIMIT}


def test_the_limit_is_the_largest_eigenvalue_and_the_rest_is_extrapolated():
    system, fields = build("east", (2, 2), c=0.4), [0.5, 0.8]
    found = track(system, fields, [60.0], tracker="tdvp", target="steady", architecture="table", tracker_options=SUMMED)
    last = found.log.groupby("s").tail(1)
    theta = [solve(system, s, 1.0, ["scgf"]).value.iloc[0] for s in fields]
    # where two windows of 3 differ by 3e-4, relaxation is slower than 1e-4 and leaves a few 1e-3 at the most
    assert last.scgf.to_numpy() == pytest.approx(theta, rel=3e-3)
    assert (last.reached == 1).all()
    assert last.step.iloc[0] < 290  # it did not walk all the way
    rows = found.records[found.records.quantity == "ln_Z"]
    exact = solve(system, fields, [60.0], ["ln_Z"]).value.to_numpy()
    assert rows.value.to_numpy() == pytest.approx(exact, rel=3e-3)


def test_sampled_limit_within_its_error():
    system, times = build("east", (2, 2), c=0.4), [5.0, 6.0, 20.0]
    arguments = {"s": [0.8], "times": times, "architecture": "sitewise", "tracker": "tdvp", "target": "steady"}
    whole = track(system, **arguments, tracker_options=SAMPLED)
    theta = solve(system, 0.8, 1.0, ["scgf"]).value.iloc[0]
    last = whole.log.iloc[-1]
    assert last.reached == 1
    assert abs(last.scgf - theta) < 0.02 * abs(theta) + 4 * last.scgf_stderr


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="positive"):
        track(build("fa", (4,)), [0.1], [0.1], tracker="tdvp", tracker_options={"window": 0.0})
