"""Standard errors of sampled values: held to within a factor of two, against the scatter about the exact value.

Over R replicas ``sum (value - exact)^2 / sum stderr^2`` follows F with R and R (m - 1) degrees of freedom, m being the
independent parts that each error is estimated from. With R = 80 it lies between 1/2 and 2 but for luck below 1e-4;
errors twice too small make it 4, twice too large 1/4. The seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch

from vanbench.exact import build, seeds, solve
from vanbench.exact.quantum import tfim_model
from vanbench.exact.quantum.observables import spin_averages
from vanbench.exact.quantum.trajectories import split_steady, summary, trajectory
from vanbench.exact.trajectories.cloning import cloning
from vanbench.neural import track

torch.set_num_threads(1)
REPLICAS = 80


def spread_over_error(found: Iterable[tuple[float, float]], exact: float) -> float:
    values, errors = np.array(list(found)).T
    assert len(values) == REPLICAS
    return float(np.sum((values - exact) ** 2) / np.sum(errors**2))


@pytest.mark.parametrize(("name", "s", "observable"), [("fa", 0.3, "activity"), ("asep", -0.3, "current")])
def test_cloning(name, s, observable):
    system, times = build(name, (4,)), [1.0, 4.0]
    exact = solve(system, s, times, ["ln_Z", "activity"], observable=observable)
    frames = [cloning(system, s, times, 1200, 6, seed=seed, observable=observable) for seed in range(REPLICAS)]
    for row in exact.itertuples():
        ours = [f[(f.quantity == row.quantity) & (f.t == row.t)].iloc[0] for f in frames]
        assert 0.5 < spread_over_error(((r.value, r.stderr) for r in ours), row.value) < 2, row
    growth = [f[f.quantity == "scgf"].iloc[0] for f in frames]
    late, early = (solve(system, s, t, ["ln_Z"], observable=observable).value[0] for t in (4.0, 2.0))
    assert 0.5 < spread_over_error(((r.value, r.stderr) for r in growth), (late - early) / 2) < 2


def test_the_clones_tracker():
    system, s, options = build("fa", (4,)), 0.3, {"clones": 1000, "populations": 10}
    exact = solve(system, s, [1.0], ["ln_Z"]).value[0]
    found = []
    for seed in range(REPLICAS):
        run = track(
            system, [s], [1.0], tracker="clones", architecture="bernoulli", tracker_options=options, seed=seed,
            quantities=("ln_Z",),
        )  # fmt: skip
        row = run.records[run.records.quantity == "ln_Z"].iloc[0]
        found.append((row.value, row.sampling_stderr))
    assert 0.5 < spread_over_error(found, exact) < 2


@pytest.mark.slow
def test_quantum_trajectories():
    """Against the fixed point of the averaged step, so that no splitting error counts."""
    model, dt, m = tfim_model((2,), g=2.5), 0.1, 6
    exact = spin_averages(split_steady(model, dt))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in exact}
    for seed in range(REPLICAS):
        runs = [trajectory(model, dt, 6.0, 6.0, seeds.stream(seed, run)) for run in range(m)]
        told = summary([dict(zip(("sigma_x", "sigma_y", "sigma_z"), map(str, values))) for values in runs])
        for name in exact:
            found[name].append(told[name])
    for name, value in exact.items():
        assert 0.5 < spread_over_error(found[name], value) < 2, name
