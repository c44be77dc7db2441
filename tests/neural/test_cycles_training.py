"""Sampling, training, the equilibrium baseline, the statistics and the command of the latent-cycles family."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from random_cycles import random_params
from typer.testing import CliRunner

from vanbench.compare.commands.cycles import register
from vanbench.compare.learn.cycles import stats as cycles_stats
from vanbench.compare.learn.cycles.study import Config, _trace_row, study
from vanbench.compare.learn.cycles.suites import options
from vanbench.compare.learn.datasets import bars_and_stripes, digits
from vanbench.exact.cycles.chain import READINGS, CycleParams, log_hidden, log_visible, logsumexp
from vanbench.exact.cycles.enumeration import configurations, enumerate_chain
from vanbench.exact.cycles.estimates import rao_blackwell
from vanbench.exact.cycles.gradient import two_step_gradient
from vanbench.exact.errors import InputError
from vanbench.neural.cycles import rbm
from vanbench.neural.cycles.chain import PersistentChains
from vanbench.neural.cycles.training import Decks, Schedule, initial_params, one_model, train

QUICK = Schedule(epochs=3, updates=10, double_steps=6, batch_first=16, batch_last=40, average="ensemble")


def batch_of(reading: str, runs: int = 3, d: int = 5) -> CycleParams:
    models = [random_params(reading, d=d, seed=s) for s in range(runs)]
    named = {k: torch.tensor(np.stack([getattr(m, k) for m in models])) for k in ("w", "b", "wbar", "abar")}
    return CycleParams(**named, centre=torch.tensor(models[0].centre), reading=reading)


@pytest.mark.slow
@pytest.mark.parametrize("reading", READINGS)
def test_batched_chains_follow_each_models_kernels(reading):
    params, n = batch_of(reading), 20_000
    chains = PersistentChains(params, n, seed=1)
    exact = [enumerate_chain(one_model(params, run)) for run in range(3)]
    for s in range(len(exact[0].pi)):
        chains.z[:] = s
        x = chains.advance(params, n, 1).numpy()
        for run, chain in enumerate(exact):
            seen_x = np.bincount((x[run] @ 2.0 ** np.arange(4, -1, -1)).astype(int), minlength=32) / n
            seen_z = np.bincount(chains.z[run], minlength=len(chain.pi)) / n
            # five standard deviations of a binomial frequency of 20 000 draws are at most 0.018
            np.testing.assert_allclose(seen_x, np.exp(chain.log_a[:, s]), atol=0.018)
            np.testing.assert_allclose(seen_z, chain.m[:, s], atol=0.018)


def test_persistent_chains_reach_the_stationary_state_of_every_model():
    params = batch_of("softmax")
    chains = PersistentChains(params, 4000, seed=3)
    x = chains.advance(params, 4000, 30)
    for run in range(3):
        exact = enumerate_chain(one_model(params, run))
        seen = np.bincount(chains.z[run], minlength=3) / 4000
        np.testing.assert_allclose(seen, exact.pi, atol=0.04)  # five standard deviations at 4000 draws
        mean = x[run].mean(dim=0).numpy()
        np.testing.assert_allclose(mean, np.exp(exact.log_p) @ exact.x, atol=0.04)


def test_successive_draws_are_independent():
    # fair pixels, one double step at a time: words of one step, of successive steps and of two models do not correlate
    params = replace(batch_of("softmax", runs=2), w=torch.zeros(2, 5, 3, dtype=torch.float64))
    chains, n = PersistentChains(params, 400, seed=2), 100
    x = np.stack([chains.advance(params, 400, 1).numpy() for _ in range(n)]) - 0.5
    drawn = x.transpose(0, 2, 1, 3).reshape(n * 400, 10) * 2  # (step and chain, model and pixel)
    both = np.concatenate([drawn[400:], drawn[:-400]], axis=1)  # beside the previous step of the same chain
    correlation = both.T @ both / len(both) - np.eye(20)
    # five standard deviations of 190 means of 39 600 signs
    assert np.max(np.abs(correlation)) < 5 / np.sqrt(len(both))


def test_a_kept_path_is_that_of_single_steps():
    params = batch_of("softmax")
    whole, single = (PersistentChains(params, 1, seed=7) for _ in range(2))
    path = whole.advance(params, 1, 9, kept=5)
    steps = [single.advance(params, 1, 1) for _ in range(9)]
    assert torch.equal(path, torch.cat(steps[4:], dim=1))
    np.testing.assert_array_equal(whole.z, single.z)


def test_both_averages_of_the_gradient_climb():
    """Eq. 18's path of one chain, and the last steps of many."""
    data = bars_and_stripes(3).x
    start = initial_params(data, 4, 6, "softmax", 1)
    before = np.mean([enumerate_chain(one_model(start, run)).log_likelihood(data).mean() for run in range(6)])
    for average in ("path", "ensemble"):
        *_, (_, params) = train(data, start, Schedule(epochs=10, average=average), seed=1)
        after = [enumerate_chain(one_model(params, run)).log_likelihood(data).mean() for run in range(6)]
        assert np.mean(after) > before + 0.3


@pytest.mark.parametrize("name", ["epochs", "updates", "double_steps", "batch_first"])
def test_a_schedule_of_nothing_is_refused(name):
    data = bars_and_stripes(3).x
    with pytest.raises(InputError, match="schedule must be at least 1"):
        next(train(data, initial_params(data, 2, 1, "softmax", 1), replace(QUICK, **{name: 0}), seed=1))


def test_the_gradient_over_a_path_is_that_of_its_mean_likelihood():
    """Against differences of the mean over the data of ln mean_t sum_z A(x|z) B(z|x_t)."""
    params, rng = batch_of("softmax", runs=1), np.random.default_rng(2)
    model = one_model(params, 0)
    path = PersistentChains(params, 1, seed=8).advance(params, 1, 48, kept=48)[0].double().numpy()
    x = (rng.random((7, 5)) < 0.5).astype(float)

    def likelihood(changed: CycleParams, occupancy: np.ndarray) -> float:
        return float(np.log(np.exp(log_visible(changed, x)) @ occupancy).mean())

    def occupancy(changed: CycleParams) -> np.ndarray:
        return np.exp(log_hidden(changed, path)).mean(axis=0)

    gradient = two_step_gradient(model, x, path)[0]
    for name in ("w", "wbar", "abar"):
        value = getattr(model, name)
        for index in [tuple(rng.integers(n) for n in value.shape) for _ in range(4)]:
            step = np.zeros_like(value)
            step[index] = 1e-5
            up, down = (replace(model, **{name: value + sign * step}) for sign in (1, -1))
            difference = (likelihood(up, occupancy(up)) - likelihood(down, occupancy(down))) / 2e-5
            assert gradient[name][index] == pytest.approx(difference, rel=1e-6, abs=1e-9)


def test_units_take_the_class_of_the_nearest_mean_image():
    """Two pixels, classes lit left and right: states of both, and of one alone, so that the other has none."""
    x, labels = np.array([[1.0, 0], [1, 0], [0, 1], [1, 1]]), np.array([0, 0, 1, 1])  # means (1, 0) and (1/2, 1)
    left, right = np.array([3.0, -3.0]), np.array([0.5, 3.0])
    for columns, classes in (((left, right, left), [0, 1, 0]), ((left, left, left), [0, 0, 0])):
        model = replace(random_params("softmax", d=2), w=np.stack(columns, axis=1))
        assert cycles_stats.unit_classes(model, x, labels, 2).tolist() == classes
    pi, half = np.array([0.2, 0.7, 0.1]), np.array([0.5, 0.5])
    wanted = 0.5 * np.log(0.5 / 0.3) + 0.5 * np.log(0.5 / 0.7)
    assert cycles_stats.unit_divergence(half, np.array([0, 1, 0]), pi) == pytest.approx(wanted)
    assert cycles_stats.unit_divergence(half, np.array([0, 0, 0]), pi) == np.inf
    assert cycles_stats.unit_divergence(np.array([1.0, 0]), np.array([0, 0, 0]), pi) == pytest.approx(0)


def test_a_model_does_not_depend_on_its_neighbours():
    three = batch_of("sigmoid")
    alone = replace(three, **{k: getattr(three, k)[1:2] for k in ("w", "b", "wbar", "abar")})
    together, single = PersistentChains(three, 50, seed=4), PersistentChains(alone, 50, seed=5)
    single.z[:], single._counters[:] = together.z[1:2], together._counters[1:2]
    x = together.advance(three, 50, 7)
    assert torch.equal(single.advance(alone, 50, 7)[0], x[1])
    np.testing.assert_array_equal(single.z[0], together.z[1])


def test_sigmoids_that_all_underflow_still_give_a_state():
    params = batch_of("sigmoid", runs=1)
    low = replace(params, wbar=torch.zeros_like(params.wbar), abar=torch.tensor([[-300.0, -301.0, -340.0]]).double())
    chains = PersistentChains(low, 20_000, seed=6)
    chains.advance(low, 20_000, 1)
    seen = np.bincount(chains.z[0], minlength=3) / 20_000
    # e^-300 : e^-301 : e^-340, to five standard deviations
    np.testing.assert_allclose(seen, [1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0], atol=0.018)


@pytest.mark.parametrize("reading", READINGS)
def test_training_raises_the_likelihood_reproducibly_and_breaks_detailed_balance(reading):
    data = bars_and_stripes().x
    start = initial_params(data, 3, 2, reading, seed=1)
    first = enumerate_chain(one_model(start, 0))
    assert first.thermo.entropy_production == pytest.approx(0, abs=1e-12)  # wbar = 0: z' forgets x
    states = list(train(data, start, QUICK, seed=2))
    assert [e for e, _ in states] == [0, 1, 2, 3]
    again = list(train(data, start, QUICK, seed=2))
    assert torch.equal(states[-1][1].wbar, again[-1][1].wbar)
    last = enumerate_chain(one_model(states[-1][1], 0))
    assert last.log_likelihood(data).mean() > first.log_likelihood(data).mean() + 0.3
    assert last.thermo.entropy_production > 1e-3
    assert torch.equal(start.wbar, torch.zeros_like(start.wbar))  # the caller's parameters are left alone


def test_initial_logits_are_clipped_where_pixels_are_constant():
    data = digits().x
    assert (data.mean(axis=0) == 0).any()
    start = initial_params(data, 6, 2, "softmax", 0)
    assert start.w.abs().max() == pytest.approx(np.log(99))
    assert not start.wbar.any()


def test_decks_deal_every_card_once():
    data = np.arange(20.0)[:, None]
    decks = Decks(data, 2, 0)
    dealt = torch.cat([decks.draw(5) for _ in range(4)], dim=1)
    for run in range(2):
        assert sorted(dealt[run, :, 0].tolist()) == list(range(20))
    assert decks.draw(50).shape == (2, 20, 1)


def test_rbm_is_the_tied_chain_in_equilibrium():
    data = bars_and_stripes().x
    *_, (_, params) = rbm.train_rbm(data, 3, 2, QUICK, seed=1)
    model = one_model(params, 1)
    chain = enumerate_chain(model)
    assert chain.thermo.entropy_production == pytest.approx(0, abs=1e-9)
    assert chain.full_entropy_production() == pytest.approx(0, abs=1e-9)
    # the partition function and the stationary vector of the chain are two routes to one likelihood
    np.testing.assert_allclose(rbm.log_likelihood(model, data), chain.log_likelihood(data), atol=1e-9)
    flat = -16 * np.log(2)
    assert chain.log_likelihood(data).mean() > flat


def test_rbm_gradient_equals_autograd_of_the_exact_likelihood():
    d, n_hidden = 4, 3
    x = torch.tensor(np.array(configurations(d)))
    start = random_params("binary", d=d, n_hidden=n_hidden, seed=4)
    leaf = {k: torch.tensor(getattr(start, k), requires_grad=True) for k in ("w", "b", "abar")}
    centre = torch.tensor(start.centre)
    score = x @ leaf["b"] + torch.nn.functional.softplus((x - centre) @ leaf["w"] + leaf["abar"]).sum(dim=1)
    data = x[[1, 2, 2, 9, 12]]
    picked = score[[1, 2, 2, 9, 12]]
    (picked.mean() - torch.logsumexp(score, dim=0)).backward()
    p = torch.softmax(score, dim=0).detach()
    counts = torch.round(p * 1e5).long()
    tied = CycleParams(
        **{k: v.detach()[None] for k, v in leaf.items()},
        wbar=leaf["w"].detach().T[None],
        centre=centre,
        reading="binary",
    )
    found = rbm.moment_gradient(tied, data[None], x.repeat_interleave(counts, dim=0)[None])
    for name, tensor in leaf.items():
        # frequencies rounded to 1e-5 over 16 configurations
        np.testing.assert_allclose(found[name][0], tensor.grad, atol=2e-4)


def test_unit_classes_and_divergence():
    data = bars_and_stripes()
    # two sharp units: first column on, first row on
    w = np.full((16, 2), -2.0)
    w[[0, 4, 8, 12], 0] = w[:4, 1] = 2.0
    params = CycleParams(w, np.zeros(16), np.zeros((2, 16)), np.zeros(2), np.zeros(16), "softmax")
    image = data.x.reshape(-1, 4, 4)
    keep = (data.labels < 2) & (image.sum(axis=(1, 2)) == 4) & (image[:, 0, 0] == 1)  # one column, or one row
    x, labels = data.x[keep], data.labels[keep]
    share = cycles_stats.class_posterior(params, np.array([0.5, 0.5]), x, labels, 2)
    assert share.argmax(axis=0).tolist() == [0, 1]
    np.testing.assert_allclose(share.sum(axis=0), 1)
    # identical units stand for the classes as the data have them: the histogram is right, whichever unit is used
    flat = replace(params, w=np.zeros((16, 2)))
    mixed = cycles_stats.class_posterior(flat, np.array([0.7, 0.3]), data.x, data.labels, 3) @ np.array([0.7, 0.3])
    np.testing.assert_allclose(mixed, data.class_frequency)
    never = cycles_stats.class_divergence(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    assert never == pytest.approx(0.5 * np.log(0.5) + 0.5 * np.log(0.5 * 10001 / 0.5), rel=1e-3)
    # equal histograms: smoothing alone remains, of second order in 1e-4
    assert cycles_stats.class_divergence(np.array([0.2, 0.8]), np.array([0.2, 0.8])) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize(
    ("sign", "noise", "verdict", "bound"),
    [(1, 0.0, "holds", "holds"), (1, 100.0, "undecided", "does not hold"), (-1, 0.0, "does not hold", "holds")],
)
def test_verdicts_follow_the_data(sign, noise, verdict, bound):
    rng = np.random.default_rng(3)
    ep = np.linspace(0.1, 2, 36)
    runs = pd.DataFrame(
        {
            "entropy_production": ep,
            "log_likelihood": sign * ep + noise * rng.normal(size=36),
            "class_kl": -sign * ep + noise * rng.normal(size=36),
            "decorrelation_time": sign * ep + noise * rng.normal(size=36),
            "self_transition": 0.1 + noise * ep,
            "self_transition_stderr": 0.001,
            "max_self_transition": 0.167,
            "max_self_transition_stderr": 0.001,
        }
    )
    found = cycles_stats.claims(runs, 6, seed=1)
    # a largest self-transition above 1/6 by a third of its error decides nothing
    assert found.verdict.tolist() == [verdict, verdict, verdict, bound, "undecided"]
    alone = cycles_stats.claims(runs[:1], 6, seed=1)
    assert alone.verdict[0] == "undecided"
    assert np.isnan(alone.low[0])


def test_entropy_production_along_training_is_not_biased_beyond_its_error():
    data = digits()
    # sharp kernels, as after training: with 256 samples a state the estimate is off by more than its error
    model = random_params("softmax", d=64, n_hidden=4, seed=2, scale=0.5)
    row = _trace_row(3, 0, model, data.x, Config())
    right = rao_blackwell(model, 32_768, seed=9)
    error = np.hypot(row["entropy_production_stderr"], right.stderr(lambda t: t.entropy_production))
    assert row["entropy_production_stderr"] > 0
    assert abs(row["entropy_production"] - right.thermo.entropy_production) < 3 * error


def test_an_output_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "o"):
        done = CliRunner().invoke(app(), ["cycles", "--data", "bars-and-stripes", "--out", str(out)])
        assert isinstance(done.exception, InputError)
        assert "--out" in str(done.exception)


def test_named_studies_are_options():
    assert options("baiesi2025-bars-binary", {"runs": 2}, False) == {
        "data": "bars-and-stripes",
        "reading": "binary",
        "hidden": 3,
        "runs": 2,
        "epochs": 60,
    }
    with pytest.raises(InputError, match="--mnist"):
        options("baiesi2025-mnist", {}, False)
    with pytest.raises(InputError, match="unknown study"):
        options("baiesi2025", {}, False)


def app() -> typer.Typer:
    made = typer.Typer()
    made.callback()(lambda: None)
    register(made)
    return made


@pytest.mark.usefixtures("undrawn")
def test_command_writes_everything_and_one_json_object(tmp_path):
    base = ["cycles", "--data", "bars-and-stripes", "--hidden", "3", "--runs", "2", "--epochs", "1", "--quiet"]
    done = CliRunner().invoke(app(), [*base, "--out", str(tmp_path / "o"), "--format", "json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout)
    record = json.loads((tmp_path / "o" / "record.json").read_text())
    assert shown["models"] == record["models"]
    assert record["config"]["hidden"] == 3
    assert {"commit", "dirty", "versions"} <= set(record["provenance"])
    names = {p.name for p in (tmp_path / "o").iterdir()}
    assert {"models.csv", "claims.md", "training.png", "scatter.png", "exact.png", "portrait_high.png"} <= names
    assert not [n for n in names if n.endswith(".tmp")]
    frame = pd.DataFrame(record["models"])
    for row in frame.itertuples():  # infinite where a class has no unit, and said so
        assert (row.class_kl is None or np.isnan(row.class_kl)) == (row.classes_without_unit > 0)
    assert np.isfinite(frame.drop(columns=["class_kl", "note"], errors="ignore").to_numpy(dtype=float)).all()
    assert (frame.entropy_production <= frame.full_entropy_production).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hidden", "1"], "at least 2"),
        (["--runs", "0"], "--runs"),
        (["--reading", "tanh"], "Unknown reading"),
        (["--data", "nothing.npy"], "No such data set"),
        (["--format", "xml"], "unknown format"),
        (["--reading", "binary", "--hidden", "12"], "too many"),
        (["--hidden", "9"], "at most 8"),
    ],
)
def test_command_refuses_bad_options_before_training(tmp_path, options, message):
    done = CliRunner().invoke(app(), ["cycles", "--out", str(tmp_path / "o"), *options])
    assert isinstance(done.exception, InputError)
    assert message in str(done.exception)
    assert not (tmp_path / "o").exists()


def test_study_without_labels_has_no_class_columns():
    data = replace(bars_and_stripes(), labels=None, classes=())
    found = study(data, Config(hidden=2, runs=2, epochs=1, samples=64, chain_steps=20, chains=16))
    assert "class_kl" not in found.runs
    assert len(found.claims) == 4  # no classes: one claim fewer of the five


@pytest.mark.slow
def test_beyond_enumeration_the_full_chain_bounds_the_coarse_one():
    data = digits().x
    *_, (_, params) = train(data, initial_params(data, 4, 2, "sigmoid", 1), QUICK, seed=1)
    model = one_model(params, 0)
    found = rao_blackwell(model, 2048, seed=1)
    assert found.thermo.entropy_production < found.full_entropy_production
    log_p = logsumexp(log_visible(model, data) + np.log(found.pi), axis=-1)
    assert np.isfinite(log_p).all()
