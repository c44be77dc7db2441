"""Systems in which nothing moves: every tracker and every exact method gives the start back, or one sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vanbench.exact import FixedSum, InputError, System, Term, build, solve
from vanbench.exact.trajectories.cloning import cloning
from vanbench.neural import track
from vanbench.neural.trackers import TRACKERS

ASEP = dict.fromkeys(("p", "q", "alpha", "beta", "gamma", "delta"), 0.0)
EMPTY = np.tile([1.0, 0.0], (4, 1))
SYSTEMS = {
    "one site": lambda: build("voter", (1,)),
    "all pinned": lambda: build("fa", (3,), pinned={0: 1, 1: 0, 2: 1}),
    "one site, pinned": lambda: build("free", (1,), pinned={0: 1}),
    "all rates zero": lambda: build("asep", (3,), **ASEP),
    "absorbing start": lambda: build("voter", (3,), initial="up"),
    "one allowed state": lambda: replace(build("ssep", (4,), boundary="periodic"), initial=EMPTY, support=FixedSum(0)),
    "no terms": lambda: System("empty", (2,), 2, (), np.full((2, 2), 0.5)),
}


def made(name):
    return SYSTEMS[name]()


def density(system):
    return float(np.asarray(system.initial)[:, 1].mean())


@pytest.mark.parametrize(("tracker", "variant"), [(n, v) for n, kind in TRACKERS.items() for v in kind.variants])
@pytest.mark.parametrize("name", list(SYSTEMS))
def test_trackers_give_the_start_back(name, tracker, variant):
    system, options = made(name), dict(variant.when)
    asked = {"quantities": ["ln_Z", "activity", "density"], "tracker": tracker, "tracker_options": options}
    network = {"architecture": "matrix-product" if variant.network == "matrix-product" else "made"}
    network["target"] = variant.target
    for s in (0.0, 0.3):
        run = track(system, [s], [0.0, 1.0, 7.0], **asked, **network)
        for quantity, right in {"ln_Z": 0.0, "activity": 0.0}.items():
            rows = run.records[(run.records.quantity == quantity) & (run.records.t > 0)]
            assert len(rows) == 2
            assert np.abs(rows.value - right).max() < 1e-12
            assert (rows.sampling_stderr == 0).all()
        rows = run.records[run.records.quantity.isin(["density", "middle_density"])]
        assert len(rows) == 3
        assert (np.abs(rows.value - density(system)) <= 5 * rows.sampling_stderr + 1e-12).all()
        assert (run.log.scgf == 0).all()


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_exact_methods_give_the_start_back(name):
    system = made(name)
    wanted = {"ln_Z": 0.0, "activity": 0.0, "susceptibility": 0.0, "scgf": 0.0, "density": density(system)}
    wanted["trajectory_density"] = density(system)
    for method in ("auto", "dense", "krylov", "lanczos"):
        for quantity, right in wanted.items():
            rows, refused = answered(system, quantity, method)
            assert rows is not None or (method != "auto" and "unknown" not in refused), (method, quantity, refused)
            if rows is not None:
                assert np.allclose(rows, right, atol=1e-12), (method, quantity)


def answered(system, quantity, method):
    """The values, without those of single sites, or why there are none."""
    try:
        rows = solve(system, [0.0, 0.3], [1.0, 7.0], [quantity], method=method)
    except InputError as error:
        return None, str(error)
    rows = rows[rows.quantity == quantity]
    return (rows[rows.site.isna()] if "site" in rows else rows).value.dropna(), ""


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_cloning_gives_the_start_back(name):
    rows = cloning(made(name), [0.0, 0.3], [1.0, 7.0], clones=400, populations=2, seed=1)
    assert (rows[rows.quantity == "ln_Z"].value == 0).all()


@pytest.mark.parametrize("method", ["auto", "dense", "sparse", "krylov", "lanczos"])
def test_a_single_state_has_no_gap_and_says_so(method):
    row = solve(made("all pinned"), 0.3, 1.0, ["gap"], method=method).iloc[0]
    assert np.isnan(row.value)
    assert "single state" in row.note


def test_runs_of_two_seeds_draw_from_the_start_apart():
    runs = [track(made("one site"), [0.0, 0.3], [1.0], quantities=["density"], seed=seed).records for seed in (1, 2)]
    values = [value for run in runs for value in run[run.quantity == "density"].value]
    assert len(set(values)) == 4
    assert np.ptp(values) < 10 * runs[0].sampling_stderr.max()


def test_what_waits_weighs():
    """A field on a time-integrated potential needs no move: ``Z = mean of exp(-s t b(x))``, independent sites."""
    weights = [0.5, 2.0]
    terms = [Term((i,), np.zeros((2, 2)), potentials={"load": np.array([0.0, b])}) for i, b in enumerate(weights)]
    system = System("waiting", (2,), 2, tuple(terms), np.array([[0.3, 0.7], [0.6, 0.4]]))
    s, t = 0.4, 3.0
    run = track(system, [s], [1.0, t], observable="load", quantities=["ln_Z", "density"], tracker="kl")
    factors = [p[0] + p[1] * np.exp(-s * t * b) for p, b in zip(system.initial, weights)]
    last = run.records[run.records.t == t].set_index("quantity")
    assert last.value["ln_Z"] == pytest.approx(np.log(factors).sum(), abs=1e-12)
    up = [p[1] * np.exp(-s * t * b) / f for p, b, f in zip(system.initial, weights, factors)]
    assert abs(last.value["density"] - np.mean(up)) < 5 * last.sampling_stderr["density"]


def test_a_start_off_the_support_is_refused():
    with pytest.raises(InputError, match="no weight"):
        track(build("ssep", (4,), boundary="periodic", initial="down"), [0.0], [1.0])
