"""The kl tracker and the run around it, against exact vectors that step the same way."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from vanbench.exact import Excluding, InputError, StateSpace, build, solve
from vanbench.exact.sparse.propagate import evolve
from vanbench.neural import architectures, track
from vanbench.neural.autoregressive import Autoregressive, Collapsed
from vanbench.neural.backend.checkpoint import holding
from vanbench.neural.run.fields import Fields
from vanbench.neural.trackers import Diverged, Problem, saved

torch.set_num_threads(1)
EULER = {"dt": 0.1, "order": 1}
FAST = {
    **EULER, "samples": 300, "full_summation": False, "epochs": 20, "first_epochs": 60, "learning_rate": 3e-3,
    "decay": 0.1,
}  # fmt: skip
SUMMED = {**EULER, "epochs": 250, "first_epochs": 500, "learning_rate": 1e-2, "decay": 1e-3, "full_summation": True}


def value(records, quantity):
    return records[records.quantity == quantity].iloc[-1]


def euler(system, s, t, dt):
    return solve(system, s, t, ["ln_Z"], scheme="euler", dt=dt).value.iloc[0]


@pytest.mark.parametrize(
    ("system", "s"),
    [
        (build("fa", (5,), c=0.3), 0.2),
        (build("fa", (2, 3)), 0.5),  # all-down left out
        (build("east", (2, 3), c=0.2), -0.3),  # pinned corner
        (build("asep", (5,), p=1.0, q=0.3), 0.2),  # not symmetric
        (build("ssep", (6,), boundary="periodic"), 0.3),  # conserved particles
        (build("voter", (5,)), 0.4),
    ],
    ids=lambda v: getattr(v, "name", v),
)
def test_table_with_full_summation_steps_as_the_exact_vector(system, s):
    # the voter model relaxes at rate 1 a site, the others slower: its fits have further to go
    options = {**SUMMED, "epochs": 700} if system.name == "voter" else SUMMED
    found = track(system, [s], [0.3], architecture="table", tracker_options=options)
    exact = euler(system, s, 0.3, 0.1)
    # 1e-6 is what the optimiser must reach with three fits; it leaves about 1e-8
    assert value(found.records, "ln_Z").value == pytest.approx(exact, rel=1e-6)
    last = list(evolve(system, s, np.array([0.3]), dt=0.1))[-1]
    assert found.distribution() == pytest.approx(last.distribution, abs=1e-5)


def test_estimators_agree_with_the_scheme_within_their_errors():
    system = build("east", (6,), c=0.4)
    found = track(system, [0.3], [0.5], tracker_options=FAST, seed=3)
    exact = euler(system, 0.3, 0.5, 0.1)
    for name in ("loss", "log_mean_exp", "integrated"):
        row = value(found.records, f"ln_Z:{name}")
        # four standard errors, and 2e-3 |ln Z| for the fit of a few epochs (measured 5e-4)
        assert abs(row.value - exact) < 4 * row.sampling_stderr + 2e-3 * abs(exact)
        assert row.sampling_stderr > 0
    assert value(found.records, "ln_Z_summed").value == pytest.approx(exact, rel=2e-3)


def test_standard_error_of_the_growth_estimator_is_the_spread_over_seeds():
    system = build("fa", (6,), c=0.4)
    runs = [
        value(track(system, [0.5], [0.2], tracker_options=FAST, seed=seed, project=False).records, "ln_Z:integrated")
        for seed in range(12)
    ]
    spread, told = np.std([r.value for r in runs], ddof=1), np.mean([r.sampling_stderr for r in runs])
    # the spread of 12 runs is known to a factor exp(+-0.64) at three sigma
    assert 0.5 < spread / told < 2.0


def test_activity_from_differences_over_s_with_common_random_numbers():
    system, s, t = build("fa", (6,), c=0.4), 0.3, 1.0
    found = track(system, [s], [t], quantities=("ln_Z", "activity"), tracker_options=FAST)
    fields = Fields.of([s], ["activity"], system.n_sites * t, noiseless=False)
    ((_, weights),) = fields.derivative(1)
    exact = -weights @ [euler(system, f, t, 0.1) for f in fields.trained] / (system.n_sites * t)
    row = value(found.records, "activity")
    assert row.value == pytest.approx(exact, rel=1e-2)  # a fit of few epochs; common numbers keep the noise below it
    continuous = solve(system, s, t, ["activity"]).value.iloc[0]
    assert exact == pytest.approx(continuous, rel=0.1)  # dt (7 %) and h together, not a new quantity


def test_fields_that_meet_their_neighbours_are_told_apart():
    fields = Fields.of([0.3, 0.33], ["susceptibility"], 6.0, noiseless=False)
    assert fields.trained == pytest.approx([0.27, 0.3, 0.33, 0.297, 0.33, 0.363])
    assert (fields.reported, fields.owners) == ([(1, 0.3), (4, 0.33)], 3 * [0.3] + 3 * [0.33])
    for s, weights in fields.derivative("susceptibility"):  # of s^2: exactly 2
        assert weights @ np.square(fields.trained) == pytest.approx(2.0, rel=1e-9), s
    run = track(build("east", (3,)), fields.asked, [0.2], quantities=("ln_Z", "activity"), tracker_options=FAST)
    assert run.log.s.tolist() == [0.3, 0.33] * 2  # two steps; the neighbours' rows are left out
    values = run.records[run.records.quantity == "ln_Z"].value.to_numpy()
    assert run.log.tail(2)[f"ln_Z:{run.estimator}"].tolist() == values.tolist()
    x = run.problem.all_states()
    assert run.problem.log_prob(x)[4].tolist() == pytest.approx(run.network(1).log_prob(x[4]).tolist(), abs=1e-14)


def test_several_fields_side_by_side_equal_the_exact_scheme_for_each():
    system, s = build("east", (5,), c=0.4), [-0.2, 0.0, 0.4]
    found = track(system, s, [0.3], architecture="table", tracker_options=SUMMED).records
    got = found[found.quantity == "ln_Z"].value.to_numpy()
    assert got == pytest.approx([euler(system, v, 0.3, 0.1) for v in s], abs=1e-7)
    assert got[1] == pytest.approx(0.0, abs=1e-12)  # probability is conserved at s = 0


def test_density_and_instantaneous_activity_of_the_tracked_distribution():
    system = build("east", (2, 3), c=0.3)
    names = ("density", "density_profile", "instantaneous_activity")
    found = track(system, [0.4], [0.4], quantities=names, architecture="table", tracker_options=SUMMED).records
    exact = solve(system, 0.4, 0.4, names, scheme="euler", dt=0.1)
    for name in names:
        assert found[found.quantity == name].value.to_numpy() == pytest.approx(
            exact[exact.quantity == name].value.to_numpy(), abs=1e-5
        )


def test_negative_targets_are_counted_clamped_and_warned_about_once():
    system = build("free", (6,), c=0.5)
    big = {**FAST, "dt": 0.5}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = track(system, [2.0], [2.0], tracker_options=big)
    told = [w for w in caught if "negative targets" in str(w.message)]
    assert len(told) == 1
    assert found.diagnostics["negative_targets"] > 0
    assert 0 < found.diagnostics["dt_hint"] < 0.5
    with pytest.raises(InputError, match="avoids them"):
        track(system, [2.0], [2.0], tracker_options={**big, "strict": True})


@pytest.mark.parametrize(("tracker", "options"), [("kl", FAST), ("tdvp", {"samples": 100, "dt": 0.1})])
def test_a_step_that_is_not_finite_stops_the_run_and_leaves_the_last_good_state(
    tmp_path, tracker, options, monkeypatch
):
    system, steps, seen = build("fa", (4,), c=0.4), [], {}
    spoiled = {"kl": "log_prob", "tdvp": "local_ratio"}[tracker]
    plain = getattr(Problem, spoiled)

    def spoil(problem, *arguments):
        seen["problem"] = problem
        return plain(problem, *arguments) * (torch.nan if len(steps) == 3 else 1.0)

    def watch(moment):
        steps.append(seen["problem"].ensemble.frozen())

    arguments = {"architecture": "made", "tracker": tracker, "tracker_options": options, "project": False}
    monkeypatch.setattr(Problem, spoiled, spoil)
    with pytest.raises(Diverged, match="last good"):
        track(system, [0.2], [1.0], out=tmp_path, callbacks=[watch], **arguments)
    monkeypatch.setattr(Problem, spoiled, plain)
    assert len(pd.read_json(tmp_path / "metrics.jsonl", lines=True)) == len(steps) == 3
    with holding(saved()):
        kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["parameters"]
    for name, value in steps[-1].items():
        assert torch.equal(kept[name], value)
    resumed = track(system, [0.2], [1.0], out=tmp_path, resume=True, **arguments)
    assert np.isfinite(resumed.records.value).all()


def test_a_network_that_collapses_on_what_is_excluded_leaves_the_last_good_state(tmp_path, monkeypatch):
    steps, plain = [], Autoregressive.rejected
    options = {
        "architecture": "made",
        "tracker": "tdvp",
        "tracker_options": {"samples": 100, "dt": 0.1, "full_summation": False},
    }

    def rejected(net, x):
        return torch.ones_like(x[..., 0], dtype=torch.bool) if len(steps) == 3 else plain(net, x)

    monkeypatch.setattr(Autoregressive, "rejected", rejected)
    with pytest.raises(Diverged, match=r"excluded.*last good.*smaller steps") as caught:
        track(build("fa", (4,), c=0.4), [0.2], [0.02, 1.0], out=tmp_path, callbacks=[steps.append], **options)
    assert set(caught.value.so_far.records.t) == {0.02}
    assert len(pd.read_json(tmp_path / "metrics.jsonl", lines=True)) == 3


def test_what_ends_a_run_while_it_measures_leaves_what_there_is(tmp_path, monkeypatch):
    plain = Problem.sample
    choices = {"samples": 50, "measure": 60, "full_summation": False}
    options = {"architecture": "made", "tracker": "tdvp", "tracker_options": choices}

    def sample(problem, n):
        if n == 60 and (tmp_path / "seen").exists():
            raise Collapsed
        return plain(problem, n)

    def watch(moment):
        if moment.log.t > 0.1:
            (tmp_path / "seen").touch()

    monkeypatch.setattr(Problem, "sample", sample)
    with pytest.raises(Diverged) as caught:
        track(build("fa", (4,), c=0.4), [0.2], [0.05, 0.2], out=tmp_path, callbacks=[watch], **options)
    assert set(caught.value.so_far.records.t) == {0.05}
    assert (tmp_path / "checkpoint.pt").exists()
    assert str(pickle.loads(pickle.dumps(Collapsed()))) == str(Collapsed())


def test_a_gpu_that_is_too_small_is_told_in_a_sentence(tmp_path, monkeypatch):
    def step(tracker, problem, state, limit):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("vanbench.neural.trackers.tangent.tdvp.TDVP.step", step)
    with pytest.raises(InputError, match="fewer samples or counting fields"):
        track(build("fa", (4,)), [0.2], [0.1], architecture="made", tracker="tdvp", out=tmp_path)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    system = build("fa", (4,), c=0.4)
    track(system, [0.2], [0.1], tracker_options=FAST, out=tmp_path)
    with pytest.raises(InputError, match="different seed"):
        track(system, [0.2], [0.1], tracker_options=FAST, out=tmp_path, resume=True, seed=2)
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        track(system, [0.2], [0.1], tracker_options=FAST, out=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tracker": "lk"}, "Known: clones"),
        ({"tracker": "gates-ritz"}, "now called 'ritz' with the option states=matrix-products"),
        ({"target": "steady"}, "no target 'steady'"),
        ({"tracker_options": {"dt": 1e-300}}, "more than 1e.08 steps"),
        ({"architecture": "mixture", "architecture_options": {"strings": 1.5}}, "a whole number"),
        ({"architecture": "made2"}, "did you mean 'made'"),
        ({"architecture_options": {"hiden": 3}}, "did you mean 'hidden'"),
        ({"tracker_options": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"tracker_options": {"dt": -1.0}}, "must be positive"),
        ({"times": [0.15]}, "no multiple"),
        ({"times": [-1.0]}, "not negative"),
        ({"s": [float("nan")]}, "finite"),
        ({"quantities": ("lnZ",)}, "did you mean 'ln_Z'"),
        ({"observable": "actvity"}, "did you mean 'activity'"),
        ({"device": "gpu0"}, "unknown device"),
        ({"dtype": "float16"}, "Known: float32, float64"),
    ],
)
def test_bad_input_is_refused_before_training(change, message):
    arguments = {"s": [0.1], "times": [0.1], "tracker_options": FAST, **change}
    arguments["tracker_options"] = {**FAST, **change.get("tracker_options", {})}
    with pytest.raises(InputError, match=message):
        track(build("fa", (4,)), **arguments)


def test_network_at_the_end_is_a_normalised_network_of_its_own():
    system = build("fa", (2, 2))
    found = track(system, [0.1, 0.5], [0.1], tracker_options=FAST)
    x = torch.as_tensor(StateSpace(system).configurations())
    for r in range(2):
        p = found.network(r).log_prob(x).exp().detach().numpy()
        assert p == pytest.approx(found.distribution(r), abs=1e-14)
        assert p.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["made", "gru"])
@pytest.mark.parametrize(
    ("name", "shape", "dt"),
    [("fa", (4,), 0.1), ("fa", (10,), 0.1), ("east", (4,), 0.1), ("east", (10,), 0.1), ("east", (3, 3), 0.05)],
)
def test_published_algorithm_meets_its_own_scheme_to_a_permille(architecture, name, shape, dt):
    system = build(name, shape)
    options = {"dt": dt, "samples": 1000, "epochs": 50, "first_epochs": 500, "decay": 0.1, "learning_rate": 2e-3}
    found = track(system, [0.1], [1.0, 2.0], architecture=architecture, tracker_options=options).records
    got = found[found.quantity == "ln_Z"].value.to_numpy()
    exact = solve(system, 0.1, [1.0, 2.0], ["ln_Z"], scheme="euler", dt=dt).value.to_numpy()
    assert np.abs(got / exact - 1).max() < 1e-3


def test_differences_without_noise_are_as_narrow_as_the_transition():
    """A side field 0.02 away, as sampled trackers have it, is 12 % off here, and the susceptibility by a factor."""
    system, t = build("east", (8,)), 400.0
    for s in (0.02, 0.05):
        exact = solve(system, s, t, ["activity", "susceptibility"]).set_index("quantity").value
        found = track(
            system, [s], [t], quantities=["activity", "susceptibility"], architecture="matrix-product",
            architecture_options={"bond": 16}, tracker="tebd",
            tracker_options={"picture": "symmetrised", "dt": 1.6, "measure": 2},
        ).records.set_index("quantity").value  # fmt: skip
        assert found["activity"] == pytest.approx(exact["activity"], rel=0.01)
        assert found["susceptibility"] == pytest.approx(exact["susceptibility"], rel=0.05)


def test_numbers_of_numpy_are_numbers(tmp_path):
    options = {"architecture": "bernoulli", "tracker": "tdvp", "tracker_options": {"samples": 20}, "out": tmp_path}
    whole = track(build("east", (3,)), np.array([0.1, 0.2]), np.array([0.2]), seed=np.int64(3), **options)
    again = track(build("east", (3,)), [0.1, 0.2], [0.2], seed=3, resume=True, **options)
    assert again.records.equals(whole.records)
    assert len(track(build("east", (3,)), 0.1, [0.1], **{**options, "out": None}).records)


def test_what_goes_on_is_the_same_question(tmp_path):
    def go(rate, times, quantities=("ln_Z",), resume=True):
        named = replace(build("east", (3,), c=rate), params={})  # as of somebody's own that tells none
        return track(
            named, [0.1], times, quantities=quantities, architecture="bernoulli", tracker="tdvp",
            tracker_options={"samples": 20}, out=tmp_path, resume=resume,
        )  # fmt: skip

    go(0.3, [0.4], resume=False)
    with pytest.raises(InputError, match="terms"):
        go(0.4, [0.4])
    with pytest.raises(InputError, match="quantities"):
        go(0.3, [0.4], ["ln_Z", "density"])
    with pytest.raises(InputError, match=r"no values at t = 0.2"):
        go(0.3, [0.2, 0.4])
    assert set(go(0.3, [0.4, 0.6]).records.t) == {0.4, 0.6}
    assert set(go(0.3, [0.4]).records.t) == {0.4}  # not what an earlier call added


@pytest.mark.parametrize("device", ["meta", "xpu"])
def test_devices_that_nothing_runs_on_are_refused(device):
    with pytest.raises(InputError, match="device"):
        track(build("east", (3,)), device=device)


def test_an_excluded_configuration_that_the_pins_exclude_already_counts_once():
    down = np.zeros((1, 3), dtype=np.int8)
    net = architectures.build("made", (3,)).double().restrict({0: 1}, Excluding(down))
    states = torch.as_tensor(np.indices((2, 2, 2)).reshape(3, -1).T.astype(np.int8))
    assert net.log_prob(states).exp().sum().item() == pytest.approx(1.0)


def test_at_the_start_ln_z_is_known_and_nothing_has_moved():
    names = ["ln_Z", "activity"]
    run = track(build("east", (3,)), [0.2], [0.0, 0.1], quantities=names, architecture="made", tracker="tdvp")
    rows = run.records
    start = rows[(rows.t == 0) & (rows.quantity == "ln_Z")].iloc[0]
    assert (start.value, start.sampling_stderr, start.error_estimate) == (0.0, 0.0, 0.0)
    assert list(rows[rows.quantity == "activity"].t) == [0.1]
