"""Steered clones: the same answer for any guide, and a left vector as guide leaves no noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exact import InputError, StateSpace, build, solve
from exact.sparse import generator
from neural import track
from neural.trackers.guided_clones import steered

torch.set_num_threads(1)
SIGMAS = 4.5  # seeds are fixed: this bounds a systematic error, not luck
FEW = {"clones": 5000, "populations": 10, "samples": 100}


def follow(system, s, times, options=FEW, **arguments):
    settings = {"tracker": "guided-clones", "architecture": "sitewise", "quantities": ("ln_Z",)}
    return track(system, s, times, tracker_options=options, **settings, **arguments)


@pytest.mark.parametrize(
    "system",
    [build("east", (2, 3), c=0.4), build("asep", (4,), p=1.0, q=0.3), build("voter", (4,))],
    ids=lambda v: v.name,
)
def test_a_steered_system_is_the_similarity_transform(system):
    guide = np.random.default_rng(1).normal(size=(system.n_sites, 2))
    states = StateSpace(system).configurations()
    g = np.exp(guide[np.arange(system.n_sites), states].sum(1))
    want = g[:, None] * generator(system, 0.3).toarray() / g
    assert np.allclose(generator(steered(system, guide), 0.3).toarray(), want, atol=1e-12)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_agrees_with_exact_within_its_errors(strength):
    system, fields, times = build("east", (2, 3)), [-0.2, 0.5], [1.5, 3.0]
    found = follow(system, fields, times, {**FEW, "strength": strength}, seed=2).records
    ours = found[found.quantity == "ln_Z"].sort_values(["s", "t"])
    want = solve(system, fields, times, ["ln_Z"]).sort_values(["s", "t"]).value.to_numpy()
    error = ours.stderr.to_numpy()
    assert (np.abs(ours.value.to_numpy() - want) < SIGMAS * error).all()
    assert (error < 0.03 * np.maximum(np.abs(want), 0.3)).all()


def test_independent_spins_have_the_product_as_their_left_vector():
    """For free spins the best guide is a product: the weights spread far less than without it."""
    system = build("free", (6,), c=0.3)
    plain, guided = (follow(system, [1.0], [4.0], {**FEW, "strength": strength}) for strength in (0.0, 1.0))
    assert guided.log.ess.iloc[6:].mean() > plain.log.ess.iloc[6:].mean()


def test_a_killed_run_resumed_gives_the_same_numbers(tmp_path, monkeypatch):
    system, options = build("fa", (4,), c=0.4), {**FEW, "clones": 400, "every": 0.5}
    whole = follow(system, [0.2, 0.4], [2.0], options)
    monkeypatch.setattr("neural.runner.CHECKPOINT_SECONDS", 0.0)

    def killed(step, total, message):
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(system, [0.2, 0.4], [2.0], options, out=tmp_path, progress=killed)
    resumed = follow(system, [0.2, 0.4], [2.0], options, out=tmp_path, resume=True)
    columns = [c for c in whole.log.columns if c != "wall"]
    assert resumed.log[columns].equals(whole.log[columns])


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        follow(build("fa", (4,)), [0.2], [0.5], {"strength": 2.0})
