"""Rare trajectories from a network's own Doob process, beside the exact one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from vanbench.exact import StateSpace, System, build, solve
from vanbench.exact.trajectories.doob import Doob, doob_process
from vanbench.neural import track

MODELS = (("fa", (8,)), ("east", (8,)), ("south-east", (3, 3)))
NETWORKS = ("made", "gru")
TRAJECTORIES = 2000
SPAN = 10.0  # length of a sampled trajectory
LONG = 1e4  # time after which the activity is that of the leading eigenvalue
OPTIONS = {"picture": "symmetrised"}


def table(
    models: Sequence[tuple[str, tuple[int, ...]]],
    networks: Sequence[str],
    fields: Sequence[float],
    t: float,
    progress: Callable[[str], None],
) -> pd.DataFrame:
    """A row for each model, network and field: how far rates, growth and activity lie from the exact process.

    ``rates``: ``sum |w - w_exact| / sum w_exact`` over all moves, weighted by the exact stationary distribution of the
    Doob process; ``growth``: the scatter of ``R_l - R`` over it, zero for the exact left vector; ``activity`` of
    sampled trajectories, a site and time, with its standard error, beside the exact k of long times.
    """
    rows = []
    for name, shape in models:
        system = build(name, shape)
        k = solve(system, fields, LONG, ["activity"]).value
        for network in networks:
            progress(f"{name} {'x'.join(map(str, shape))}, {network}")
            run = track(system, fields, t, architecture=network, tracker="tdvp", tracker_options=OPTIONS, seed=1)
            head = {"model": name, "shape": "x".join(map(str, shape)), "network": network}
            rows += [{**head, "s": s, **_apart(system, s, run.doob(r)), "k": k[r]} for r, s in enumerate(fields)]
    return pd.DataFrame(rows)


def _apart(system: System, s: float, process: Doob) -> dict[str, float]:
    exact, leading = doob_process(system, s)
    x = StateSpace(system).configurations()
    weight = leading.layout.to_states(leading.stationary)
    weight /= weight.sum()
    want, growth = exact.rates(x), process.growth(x)
    starts = x[np.random.default_rng(1).choice(len(x), TRAJECTORIES, p=weight)]
    moves = process.simulate(starts, SPAN, seed=1).moves / (SPAN * system.n_sites)
    return {
        "rates": np.abs(process.rates(x) - want).sum(1) @ weight / (want.sum(1) @ weight),
        "growth": float(np.sqrt(weight @ (growth - weight @ growth) ** 2)),
        "theta": leading.theta,
        "activity": moves.mean(),
        "stderr": moves.std(ddof=1) / np.sqrt(len(moves)),
    }
