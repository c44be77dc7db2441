"""Starts that are points: the first stretch is summed exactly, and networks go on from there."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from vanbench.exact import InputError, StateSpace, build, generator, solve
from vanbench.neural import Ensemble, architectures, track
from vanbench.neural.run.opening import opening
from vanbench.neural.trackers import Problem

TRACKERS = {
    "kl": {"epochs": 30, "first_epochs": 200, "learning_rate": 1e-2, "decay": 0.1},
    "natural-gradient": {},
    "tdvp": {},
    "log-ratio": {},
}


def _track(system, s, t, tracker, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return track(system, s, t, architecture="sitewise", tracker=tracker, tracker_options=options).records


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_point_is_left(tracker):
    system = build("fa", (4,), initial="up")
    rows = _track(system, [0.0, 0.3], [0.5], tracker, **TRACKERS[tracker])
    exact = solve(system, s=[0.0, 0.3], times=[0.5], quantities=["ln_Z", "density"])
    for name, most in (("ln_Z", 1e-2), ("density", 2e-2)):  # the steps of two fits; measured 4e-3
        ours, theirs = (frame[frame.quantity == name].sort_values("s").value for frame in (rows, exact))
        assert np.abs(ours.to_numpy() - theirs.to_numpy()).max() < most


def test_a_point_is_left_by_samples():
    system = build("fa", (4,), initial="up")
    rows = _track(system, [0.3], [0.5], "tdvp", full_summation=False, samples=500)
    exact = solve(system, s=[0.3], times=[0.5], quantities=["ln_Z"]).value.iloc[0]
    row = rows[rows.quantity == "ln_Z"].iloc[0]
    assert abs(row.value - exact) < max(5e-3, 2 * row.error_estimate)


def test_values_left_out_by_a_start_of_many_configurations_are_refused():
    system = build("fa", (16,))
    start = system.initial.copy()
    start[0] = [1.0, 0.0]
    with pytest.raises(InputError, match="no probability, and is no point"):
        track(replace(system, initial=start), [0.1], [0.5], tracker="tdvp")


def test_the_first_stretch_is_as_long_as_allowed():
    """Four moves reach a part of 256 states: 0.05 of them a time unit of the fastest are made, not fewer."""
    system = build("fa", (8,), initial="up")
    x = StateSpace(system).configurations()
    fastest = -generator(system, 0.1).diagonal()[(x == 0).sum(1) <= 4].min()
    problem = Problem(system, [0.1], "activity", Ensemble(architectures.build("made", (8,)), 1), torch.Generator())
    assert opening(problem, 2.0).t == pytest.approx(0.05 / fastest)
