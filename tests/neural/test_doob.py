"""Trajectories driven by a network's left vector, against the exact transform and exact partition functions."""

import numpy as np
import pytest

from vanbench.exact import Connections, InputError, StateSpace, build, doob, solve
from vanbench.exact.trajectories.doob import Doob, doob_process
from vanbench.neural import track


@pytest.mark.parametrize(("name", "shape", "s"), [("fa", (4,), 0.3), ("south-east", (2, 2), -0.4), ("east", (5,), 0.1)])
def test_rates_of_the_exact_left_vector_are_those_of_the_exact_transform(name, shape, s):
    system = build(name, shape)
    process, leading = doob_process(system, s)
    space, w = StateSpace(system), doob(system, s)
    x = space.configurations()
    rates, targets = process.rates(x), process.connections.targets(x)
    for i, row in enumerate(rates):
        for move in np.flatnonzero(row):
            assert row[move] == pytest.approx(w[space.index(targets[i, move][None])[0], i], rel=1e-7)
    assert process.growth(x) == pytest.approx(leading.theta, abs=1e-8)


def test_any_left_vector_gives_the_partition_function():
    """A wrong one, too: the weights mend it, and their average is that of the point start."""
    system, s, t = build("fa", (4,)), 0.5, 1.5
    wrong = Doob(Connections(system, s), lambda x: 0.7 * x.sum(1) - 0.3 * x[:, 0])
    start = np.ones((20_000, 4), dtype=int)
    run = wrong.simulate(start, t, seed=1)
    weights = np.exp(run.log_weights)
    want = float(np.exp(solve(build("fa", (4,), initial="up"), s, t, ["ln_Z"]).value[0]))
    assert abs(weights.mean() - want) < 4 * weights.std() / np.sqrt(len(weights))
    assert weights.std() > 0.05 * want  # or there was nothing to mend


@pytest.mark.slow
def test_a_network_learns_the_transform():
    """The longer the run, the nearer its growth is to theta everywhere (here exp(-0.22 * 40) is left)."""
    system, s = build("fa", (5,)), 0.2
    run = track(system, s=s, times=80.0, tracker="tdvp", tracker_options={"picture": "symmetrised"}, seed=1)
    process, (exact, leading) = run.doob(), doob_process(system, s)
    x = StateSpace(system).configurations()
    weight = leading.layout.to_states(leading.stationary)
    assert np.abs(process.growth(x) - leading.theta) @ weight < 1e-3
    assert np.abs(process.rates(x) - exact.rates(x)).sum(1) @ weight < 1e-3 * (exact.rates(x).sum(1) @ weight)
    starts = x[np.random.default_rng(0).choice(len(x), 4000, p=weight / weight.sum())]
    moves = process.simulate(starts, 2.0, seed=2).moves / (2.0 * system.n_sites)
    k = solve(system, s, 400.0, ["activity"]).value[0]  # of long times
    assert moves.mean() == pytest.approx(k, abs=4 * moves.std() / np.sqrt(len(moves)) + 0.01 * k)


def test_what_it_does_not_give_is_refused():
    run = track(build("fa", (3,)), s=0.1, times=0.1, tracker="clones")
    with pytest.raises(InputError, match="takes networks of"):
        run.doob()
    open_chain = track(build("asep", (3,)), s=0.1, times=0.1, tracker="natural-gradient", observable="current")
    with pytest.raises(InputError, match="detailed balance"):
        open_chain.doob()
    for t in (-1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="not negative"):
            doob_process(build("fa", (3,)), 0.1)[0].simulate(np.ones((1, 3), int), t)
