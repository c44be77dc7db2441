"""Steered clones: the same answer for any guide, and a left vector as guide leaves no noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.exact import Connections, InputError, StateSpace, build, solve
from vanbench.exact.sparse.generator import generator
from vanbench.exact.trajectories import steering
from vanbench.exact.trajectories.guide import Guide, connected, flat, velocity
from vanbench.exact.trajectories.jumptables import advance, compile_moves, draw_starts
from vanbench.neural import Ensemble, track
from vanbench.neural import build as network
from vanbench.neural.run.checks import of_step
from vanbench.neural.run.log import RunLog
from vanbench.neural.trackers import Problem
from vanbench.neural.trackers.walkers.guided_clones import GuidedClones

torch.set_num_threads(1)
SIGMAS = 4.5  # seeds are fixed: this bounds a systematic error, not luck
FEW = {"clones": 2000, "samples": 200}
SYSTEMS = [
    build("east", (2, 3), c=0.4),
    build("fa", (2, 2), c=0.3),  # a restricted support
    build("asep", (4,), p=1.0, q=0.3),  # moves of two sites, no detailed balance
    build("voter", (4,)),
]


def any_guide(system, seed=1):
    clusters = connected(system, 3)
    return Guide(clusters, np.random.default_rng(seed).normal(scale=0.2, size=len(clusters.sites)))


def follow(system, s, times, options=FEW, **arguments):
    settings = {"tracker": "guided-clones", "architecture": "sitewise", "quantities": ("ln_Z", "density")}
    return track(system, s, times, tracker_options=options, **settings, **arguments)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda v: v.name)
def test_any_guide_leaves_z_as_it_is(system):
    """``<g(x_0) exp(int (W^T g) / g) / g(x_t)> = Z`` over walkers with guided rates, for a guide out of the air."""
    guide, s, t, size = any_guide(system), 0.4, 1.5, 40_000
    start = draw_starts(system, size, np.random.default_rng(0))
    x, log_weights = start.copy(), guide.log(start)
    tables = compile_moves(system, s, clusters=guide.clusters)
    advance(tables, x, np.zeros(size), log_weights, t, 3, tables.steering.tables(guide))
    weights = np.exp(log_weights - guide.log(x))
    want = np.exp(solve(system, [s], [t], ["ln_Z"]).value.iloc[0])
    error = weights.std() / np.sqrt(size)
    assert abs(weights.mean() - want) < SIGMAS * error
    assert error < 0.02 * want


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda v: v.name)
def test_a_flat_guide_is_none(system):
    x = draw_starts(system, 300, np.random.default_rng(0))
    results = []
    for clusters in (None, connected(system, 2)):
        y, log_weights, tables = x.copy(), np.zeros(len(x)), compile_moves(system, 0.3, clusters=clusters)
        steer = () if clusters is None else (tables.steering.tables(flat(clusters)),)
        advance(tables, y, np.zeros(len(x)), log_weights, 1.0, 5, *steer)
        results.append((y, log_weights))
    assert (results[0][0] == results[1][0]).all()
    assert np.allclose(results[0][1], results[1][1], atol=1e-12)


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda v: v.name)
def test_the_velocity_of_a_guide_is_the_left_generator_over_it(system):
    """From ``g = 1``, ``(W_s^T 1)(x)`` is a sum over bonds: the fit is exact up to the constant and its ridge."""
    states = StateSpace(system).configurations()
    found = velocity(flat(connected(system, 2)), Connections(system, 0.4), states).log(states)
    want = np.asarray(generator(system, 0.4).sum(0)).ravel()
    assert np.allclose(found - found.mean(), want - want.mean(), atol=2e-3 * np.abs(want).max())


@pytest.mark.parametrize("largest", [8, 512])
@pytest.mark.parametrize("system", [*SYSTEMS, build("free", (3,), c=0.2)], ids=lambda v: v.name)
def test_the_tables_of_a_move_are_what_the_guide_gains(system, largest, monkeypatch):
    """However the functions are shared out over tables."""
    monkeypatch.setattr(steering, "LARGEST", largest)
    guide, deltas = any_guide(system), Connections(system).deltas
    compiled = steering.compile_steering(guide.clusters, deltas, system.local_dim)
    tables, x = compiled.tables(guide), StateSpace(system).configurations()
    for m, delta in enumerate(deltas):
        rows = (x[:, compiled.sites[m]] * compiled.strides[m]).sum(-1)  # (batch, n_tables)
        found = tables[m, np.arange(rows.shape[1]), rows].prod(-1)
        assert np.allclose(found, np.exp(guide.log((x + delta) % system.local_dim) - guide.log(x)), rtol=1e-12)


def test_clusters_hang_together():
    sites = connected(build("east", (2, 3)), 3).sites
    by_size = {size: {tuple(sorted(set(one))) for one in sites.tolist() if len(set(one)) == size} for size in (1, 2, 3)}
    assert [len(by_size[size]) for size in (1, 2, 3)] == [6, 7, 10]  # of the 2x3 grid: sites, bonds, bent and straight
    assert (0, 1, 5) not in by_size[3]


def test_independent_spins_have_a_product_as_their_left_vector():
    """Then the guide misses nothing, and the noise goes with the span of a guide: a hundredth of that of no guide."""
    system = build("free", (6,), c=0.3)
    guided = follow(system, [1.0], [4.0], {**FEW, "every": 0.05}).records.query("quantity == 'ln_Z'")
    settings = {"tracker": "clones", "architecture": "bernoulli", "tracker_options": {"clones": 2000}}
    plain = track(system, [1.0], [4.0], **settings).records.query("quantity == 'ln_Z'")
    assert guided.sampling_stderr.iloc[0] < 0.15 * plain.sampling_stderr.iloc[0]


@pytest.mark.parametrize("system", [SYSTEMS[0], build("fa", (2, 3)), build("free", (3,), c=0.2)], ids=lambda v: v.name)
def test_agrees_with_exact_within_its_errors(system):
    fields, times = [-0.2, 0.5], [1.5, 3.0]
    found = follow(system, fields, times, seed=2).records
    ours = found[found.quantity == "ln_Z"].sort_values(["s", "t"])
    want = solve(system, fields, times, ["ln_Z"]).sort_values(["s", "t"]).value.to_numpy()
    error = ours.sampling_stderr.to_numpy()
    assert (np.abs(ours.value.to_numpy() - want) < SIGMAS * error).all()
    assert (error < 0.005 * np.maximum(np.abs(want), 0.3)).all()
    ours = found[found.quantity == "density"].sort_values(["s", "t"])
    want = solve(system, fields, times, ["density"]).sort_values(["s", "t"]).value.to_numpy()
    assert np.allclose(ours.value.to_numpy(), want, atol=0.025)  # 2000 ends: a standard error of 0.005 or so


def test_what_it_cannot_do_is_refused():
    with pytest.raises(InputError, match=r"at least 0\.001"):
        follow(build("fa", (4,)), [0.2], [0.5], {"every": 0.0})
    with pytest.raises(InputError, match="raise 'clones'"):
        follow(build("fa", (4,)), [0.2], [0.5], {"clones": 10})
    with pytest.raises(InputError, match="detailed balance"):
        follow(build("voter", (4,)), [0.2], [0.5])


def test_a_network_that_misses_what_matters_is_warned_about():
    system = build("east", (2, 3))
    torch.manual_seed(0)
    net = network("sitewise", (2, 3)).double().restrict(system.pinned, system.support)
    ensemble = Ensemble(net, 1)  # its output is zero at first: the equilibrium of c = 0.5
    problem, tracker = (
        Problem(system, [0.2], "activity", ensemble, torch.Generator().manual_seed(1)),
        GuidedClones(2000),
    )
    state, step = tracker.step(problem, tracker.init(problem), 0.01)
    assert list(of_step(step, RunLog([0.2]), [0.2])) == []
    with torch.no_grad():
        ensemble.parameters["site_bias"][..., 1] -= 4.0  # next to no up-spins
    (told,) = of_step(tracker.step(problem, state, 0.01)[1], RunLog([0.2]), [0.2])
    assert "the effective sample size falls to" in told.text


@pytest.mark.slow  # half a minute
def test_the_standard_error_is_the_spread_over_seeds():
    rows = []
    for seed in range(16):
        found = follow(build("fa", (4,)), [0.4], [2.0], {**FEW, "every": 1.0}, seed=seed).records
        rows.append(found[found.quantity == "ln_Z"].iloc[0])
    spread, told = np.std([r.value for r in rows], ddof=1), np.sqrt(np.mean([r.sampling_stderr**2 for r in rows]))
    assert 0.55 < spread / told < 1.8  # 16 runs know a spread to exp(+-0.55) at three sigma
