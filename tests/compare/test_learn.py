"""Learning a Hamiltonian from configurations: likelihood, couplings, other temperatures, files, commands."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vanbench.compare.learn.cycles import plots as cycles_plots
from vanbench.compare.learn.ising import data as ising_data
from vanbench.compare.learn.ising import predict as ising_predict
from vanbench.compare.learn.ising.learning import Spec
from vanbench.compare.studies.wang2020.causes import _by_energy, causes
from vanbench.exact import ising
from vanbench.exact.errors import InputError
from vanbench.exact.ising import enumeration, montecarlo
from vanbench.neural import build
from vanbench.neural.learning import hamiltonian, mixture, reweight
from vanbench.neural.learning import likelihood as learn

EVERY = enumeration.configurations(16)


def exact_network(shape, T, *couplings):
    """A table network that is the Boltzmann distribution itself: what is wrong afterwards is the method, not a fit."""
    log_p = enumeration.log_distribution(shape, T, *couplings)
    n = int(np.prod(shape))
    net = build("bernoulli", shape).double()
    net.log_prob = lambda x: torch.as_tensor(log_p)[_index(x, n)]  # type: ignore[method-assign]
    net.conditionals = lambda x: _conditionals(log_p, x, n)  # type: ignore[method-assign]
    net.step = lambda k, x, cache: (_conditionals(log_p, x, n)[:, k], cache)  # type: ignore[method-assign]
    return net


def _index(x, n):
    return (x.long() * 2 ** torch.arange(n - 1, -1, -1)).sum(-1)


def _conditionals(log_p, x, n):
    """ln p(x_i = v | x_<i) from sums of the full distribution."""
    p = torch.as_tensor(np.exp(log_p))
    index = _index(x, n)
    parts = []
    for k in range(n):
        totals = p.reshape(2 ** (k + 1), -1).sum(1)
        prefix = index >> (n - k)
        pair = torch.stack([totals[2 * prefix], totals[2 * prefix + 1]], -1)
        parts.append((pair / pair.sum(-1, keepdim=True)).log())
    return torch.stack(parts, 1)


@pytest.fixture(scope="module")
def trained():
    """MADE on 4x4 at T0 = 2.5, 20000 configurations."""
    x = ising_data.generate(20000, (4, 4), 2.5, seed=3)
    torch.manual_seed(1)
    net = build("made", (4, 4), hidden=(32,))
    fit = learn.fit(net, x, learn.Training(batches=64, epochs=12, learning_rate=5e-3))
    return net, fit, x


def test_maximum_likelihood_reaches_the_exact_distribution(trained):
    net, fit, _ = trained
    exact = enumeration.log_distribution((4, 4), 2.5)
    ln_p = learn.log_prob(net, EVERY)
    assert np.exp(ln_p).sum() == pytest.approx(1, abs=1e-5)  # float32 network
    kl = np.exp(exact) @ (exact - ln_p)
    # about 1000 parameters on 18000 configurations cost 1000 / (2 * 18000) = 0.03 nats by overfitting alone
    assert 0 < kl < 0.06
    # the held-out likelihood estimates entropy + KL
    entropy = -np.exp(exact) @ exact
    assert abs(fit.nll - entropy - kl) < 4 * fit.nll_error


def test_learned_energy_is_the_true_one_up_to_its_free_energy(trained):
    net, _, _ = trained
    fresh = ising_data.generate(4000, (4, 4), 2.5, seed=77)
    found = hamiltonian.agreement(hamiltonian.learned_energy(net, fresh, 2.5), ising.energy(fresh, (4, 4)))
    assert found.r2 > 0.98
    assert found.slope == pytest.approx(1, abs=0.05)  # overfitting tilts it by a few per cent
    free_energy, error = 16 * enumeration.averages((4, 4), 2.5)["free_energy"], found.free_energy_error
    # <H + T ln p> = F - T KL, and KL < 0.06
    assert free_energy - 2.5 * 0.06 - 4 * error < found.free_energy < free_energy + 4 * error


@pytest.mark.parametrize(("J", "h", "plaquette"), [(1.0, 0.0, 0.0), (0.6, 0.1, 0.4), (0.0, 0.0, 1.0)])
def test_couplings_of_the_exact_distribution_are_recovered(J, h, plaquette):
    net = exact_network((4, 4), 2.5, J, h, plaquette)
    x = np.random.default_rng(1).integers(0, 2, (400, 16)).astype(np.int8)
    found = hamiltonian.couplings(net, x, (4, 4), 2.5)
    expected = dict(zip(hamiltonian.TERMS, [J, 0, plaquette, h]))
    # exact up to rounding: 16 sites' energies of order 10 in double precision
    assert dict(zip(found.names, found.values)) == pytest.approx({k: expected[k] for k in found.names}, abs=1e-9)
    assert found.r2 == pytest.approx(1, abs=1e-9)
    assert found.constant == pytest.approx(
        -16 * enumeration.averages((4, 4), 2.5, J, h, plaquette)["free_energy"], abs=1e-8
    )


def test_coupling_errors_cover_noise():
    """Least squares on y = 2 z + noise whose spread depends on z: the errors match the scatter over repetitions."""
    rng = np.random.default_rng(2)
    slopes, errors = [], []
    for _ in range(300):
        true = rng.normal(size=200)
        learned = 2 * true + rng.normal(size=200) * np.abs(true)
        found = hamiltonian.agreement(learned, true)
        slopes.append(found.slope)
        errors.append(found.slope_error)
    # 300 repetitions give the spread to 4 %; the sandwich is biased low by about 5 % at 200 points
    assert np.mean(errors) == pytest.approx(np.std(slopes), rel=0.15)


@pytest.mark.parametrize("moves", [("independence",), ("metropolis",), ("independence", "metropolis", "exchange")])
def test_sampling_at_other_temperatures_matches_enumeration(moves):
    shape, temperatures = (3, 3), [1.5, 2.5, 4.0]
    net = exact_network(shape, 2.5)
    observables = {"energy": lambda x: ising.energy(x, shape) / 9, "m": ising.abs_magnetization}
    found = reweight.sample(
        net, 2.5, temperatures, chains=48, length=60, thermalise=20, moves=moves, observables=observables, seed=4
    )
    for k, T in enumerate(temperatures):
        expected = enumeration.averages(shape, T)
        for name, value in (("energy", expected["energy"]), ("m", expected["abs_magnetization"])):
            chains = found.series[name][k].mean(axis=1)
            error = chains.std(ddof=1) / np.sqrt(len(chains))
            assert abs(chains.mean() - value) < 4 * error  # fixed seed
            assert error < 0.02
        learned = -2.5 * found.series["ln_p"][k] + 9 * enumeration.averages(shape, 2.5)["free_energy"]
        assert learned / 9 == pytest.approx(found.series["energy"][k], abs=1e-9)
    if "independence" in moves:
        assert found.acceptance["independence"][1] == pytest.approx(1, abs=1e-12)  # at T0 nothing is refused
        assert found.acceptance["independence"].min() > 0.3


def test_trained_network_predicts_other_temperatures(trained):
    """The fitted network at 4x4, both samplers, against the exact sum of its own p^b: no Ising reference needed."""
    net, _, _ = trained
    ln_p = learn.log_prob(net, EVERY)
    energies = ising.energy(EVERY, (4, 4)) / 16
    for moves in (("independence", "exchange"), ("metropolis", "exchange")):
        found = reweight.sample(
            net,
            2.5,
            [1.0, 1.7, 2.5, 4.0],
            chains=32,
            length=60,
            moves=moves,
            observables={"energy": lambda x: ising.energy(x, (4, 4)) / 16},
            seed=5,
        )
        for k, T in enumerate(found.temperatures):
            weight = np.exp(2.5 / T * ln_p)
            expected = weight @ energies / weight.sum()
            chains = found.series["energy"][k].mean(axis=1)
            assert abs(chains.mean() - expected) < 4 * chains.std(ddof=1) / np.sqrt(32) + 1e-5  # float32 network


def test_causes_find_a_bias_planted_in_the_hamiltonian():
    """A learned J of 1.05 shifts the energy at T to 1.05 e at T / 1.05, and all of it depends on the energy alone."""
    temperatures = [1.8, 3.0]
    found = causes({"stronger": exact_network((4, 4), 2.5, 1.05)}, (4, 4), 2.5, temperatures)
    for row, T in zip(found.itertuples(), temperatures):
        here, there = (enumeration.averages((4, 4), t)["energy"] for t in (T, T / 1.05))
        assert abs(row.learned - (there - here)) < 4 * row.stderr
        assert row.images == pytest.approx(row.learned, abs=1e-12)  # the planted Hamiltonian is symmetric
        assert row.by_energy == pytest.approx(row.learned, abs=0.05 * abs(row.learned))  # rare levels share a bin
        assert abs(row.rest) < 0.05 * abs(row.learned)
        assert abs(row.learned) > 5 * row.stderr
    assert np.abs(found.true_H).max() < 0.03  # 3000 configurations: half a per cent of an energy near -1.5


def test_mixture_of_draws_matches_enumeration_and_its_errors_are_honest():
    shape, temperatures = (3, 3), [1.5, 2.5, 4.0]
    net = exact_network(shape, 2.5)
    observables = {"energy": lambda x: ising.energy(x, shape) / 9, "m": ising.abs_magnetization}
    scores = []
    for seed in range(12):
        found = mixture.draw(net, 2.5, temperatures, draws=300, observables=observables, seed=seed)
        for k, T in enumerate(temperatures):
            expected = enumeration.averages(shape, T)
            heat, heat_error = (9 / T**2 * part for part in found.variance("energy", k))
            for (value, error), truth in (
                (found.mean("energy", k), expected["energy"]),
                (found.mean("m", k), expected["abs_magnetization"]),
                ((heat, heat_error), expected["specific_heat"]),
            ):
                scores.append((value - truth) / error)
        assert found.effective().min() > 300  # every draw serves every temperature
    # 108 scores, three to one run correlated: their spread is 1 within about 0.15
    assert 0.75 < np.std(scores) < 1.3
    assert np.abs(scores).max() < 4.5


def test_a_network_over_several_orders_is_sampled_by_single_flips():
    torch.manual_seed(0)
    net = build("mixture", (2, 3), network="made", hidden=8).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
    every = enumeration.configurations(6)
    ln_p, up = learn.log_prob(net, every), every.mean(axis=1)
    temperatures = [1.5, 4.0]
    observables = {"up": lambda x: x.mean(axis=1)}
    with pytest.raises(InputError, match="metropolis,exchange"):
        mixture.draw(net, 2.5, temperatures)
    with pytest.raises(InputError, match="metropolis,exchange"):
        reweight.sample(net, 2.5, temperatures)
    moves = ("metropolis", "exchange")
    found = reweight.sample(net, 2.5, temperatures, length=300, moves=moves, observables=observables)
    for k, T in enumerate(temperatures):
        weight = np.exp(2.5 / T * (ln_p - ln_p.max()))
        chains = found.series["up"][k].mean(axis=1)
        error = chains.std(ddof=1) / np.sqrt(len(chains))
        assert abs(chains.mean() - weight @ up / weight.sum()) < 4 * error  # fixed seed
        assert error < 0.02


def test_both_ways_of_predicting_agree(trained):
    net, _, _ = trained
    spec = Spec((4, 4), 2.5)
    frames = [
        ising_predict.predict(spec, net, {}, [1.6, 3.0], sampling).set_index(["quantity", "T"])
        for sampling in (ising_predict.Sampling(draws=600), ising_predict.Sampling("chains", chains=24, length=60))
    ]
    gap = (frames[0].value - frames[1].value).abs()
    assert (gap < 4 * np.hypot(frames[0].stderr, frames[1].stderr)).all()  # fixed seeds


@pytest.mark.parametrize("options", [{"hidden": (7, 5)}, {"hidden": (6, 6, 6)}, {"hidden": (9,), "skip": False}])
@pytest.mark.parametrize("local_dim", [2, 5])
def test_cached_steps_equal_full_passes(options, local_dim):
    torch.manual_seed(0)
    net = build("made", (2, 3), local_dim=local_dim, **options).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_()
        x = torch.randint(local_dim, (20, 6), dtype=torch.int8)
        cache = net.start(20)
        for k in range(6):
            logits, cache = net.step(k, x, cache)
            torch.testing.assert_close(logits, net.logits(x)[:, k], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("linear", [True, False])
def test_circulant_kernels_go_around_the_torus(linear):
    """Against the formula, site by site: the same kernel everywhere, displacements taken around both axes."""
    torch.manual_seed(0)
    net = build("circulant", (3, 4), units=2, linear=linear).double()
    with torch.no_grad():
        for parameter in (net.output, net.own, *([net.linear] if linear else [])):
            parameter.normal_()
        x = torch.randint(2, (1, 12), dtype=torch.int8)
        spins = 2 * x[0].double() - 1
        logits = net.logits(x)[0]
        for i in range(12):
            fields = net.shift.clone()
            for j in range(i):
                rows, columns = (j // 4 - i // 4) % 3, (j % 4 - i % 4) % 4
                fields += net.kernel[:, 4 * rows + columns, 0] * spins[j]
            expected = (net.output[0, :, 0] + net.own[0, :, i]) @ torch.tanh(fields)
            if linear:
                expected = expected + net.linear[0, i, :i] @ spins[:i]
            torch.testing.assert_close(logits[i], torch.stack([torch.zeros_like(expected), expected]))


@pytest.mark.parametrize("architecture", ["made", "gru"])
@pytest.mark.parametrize("local_dim", [2, 5])
def test_sharpened_proposals_know_their_probability(architecture, local_dim):
    torch.manual_seed(0)
    net = build(architecture, (2, 2), local_dim=local_dim).double()
    b = torch.linspace(0.4, 2.5, 30, dtype=torch.float64)
    x, ln_p, ln_q = reweight.tempered(net, b, torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ln_p, net.log_prob(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(ln_q, reweight.log_proposal(net, x, b), rtol=0, atol=1e-12)
        every = torch.as_tensor(enumeration.configurations(4, local_dim))
        for power in (0.5, 2.0):
            total = reweight.log_proposal(net, every, torch.full((len(every),), power, dtype=torch.float64)).exp().sum()
            assert float(total) == pytest.approx(1, abs=1e-12)


def test_training_resumes_with_the_same_numbers():
    x = ising_data.generate(600, (3, 3), 2.5)
    training = learn.Training(batches=4, epochs=4, symmetries=("translations", "flip"))

    def network():
        torch.manual_seed(0)
        return build("made", (3, 3), hidden=(8,))

    whole = learn.fit(network(), x, training)
    states = []
    learn.fit(network(), x, training, on_epoch=lambda fit, state: states.append(json_like(state())))
    resumed = learn.fit(network(), x, training, state=states[1])
    assert [row["validation_nll"] for row in resumed.history] == [row["validation_nll"] for row in whole.history]


def json_like(state):
    """A copy that later steps cannot change, as a file would be."""
    import copy

    return copy.deepcopy(state)


@given(shift=st.integers(0, 3), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_symmetry_moves_keep_the_energy(shift, seed):
    rng = torch.Generator().manual_seed(seed)
    x = torch.as_tensor(np.random.default_rng(shift).integers(0, 2, (5, 12)).astype(np.int8))
    moved = learn.moved(x, (3, 4), 2, ("translations", "flip"), rng)
    assert ising.energy(moved.numpy(), (3, 4)) == pytest.approx(ising.energy(x.numpy(), (3, 4)))


def test_early_stopping_keeps_the_best_epoch():
    x = ising_data.generate(200, (3, 3), 2.5)
    net = build("made", (3, 3), hidden=(64, 64))
    fit = learn.fit(net, x, learn.Training(batches=10, epochs=200, learning_rate=2e-2, patience=3))
    assert len(fit.history) == fit.best_epoch + 3 < 200
    held = x[learn.split(len(x), learn.Training())[1]]
    assert -learn.log_prob(net, held).mean() == pytest.approx(fit.nll, abs=1e-5)


def test_variance_and_jackknife_of_prediction():
    series = np.random.default_rng(0).normal(scale=3, size=(400, 25))
    value, error = ising_predict._variance(series)
    assert value == pytest.approx(series.var())
    # standard error of a variance: sigma^2 sqrt(2/n) with 10000 independent numbers; 400 blocks give it to 4 %
    assert error == pytest.approx(9 * np.sqrt(2 / 10000), rel=0.15)


def test_sampler_refuses_bad_arguments():
    net = build("bernoulli", (2, 2))
    for arguments in (
        {"chains": 1},
        {"length": 0},
        {"moves": ("exchange",)},
        {"moves": ("gibbs",)},
        {"temperatures": [-1.0]},
    ):
        given = {"temperatures": [1.0, 2.0], **arguments}
        with pytest.raises(InputError):
            reweight.sample(net, 2.5, **given)  # type: ignore[arg-type]
    for bad in ({"batches": 0}, {"validation": 1.0}, {"learning_rate": 0.0}, {"symmetries": ("rotation",)}):
        with pytest.raises(InputError):
            learn.Training(**bad)


def test_generated_configurations_are_nearly_independent():
    run_ = montecarlo.simulate((8, 8), 2.5, 20000, sweeps=ising_data.SWEEPS, seed=1)
    assert montecarlo.autocorrelation_time(run_.energy) < 1.0  # 0.5 is independent


def test_a_level_rarer_than_a_bin_shares_the_one_below():
    """300 of mean deviation 1 at energy 0, 300 of 3 at 1, one of 7 at 2: the last two are one bin, of mean energy
    302/301 and mean deviation 907/301, and the line from the first bin's mean to it goes through 1 + 606/302 at 1."""
    energy = np.repeat([0.0, 1.0, 2.0], [300, 300, 1])
    found = _by_energy(np.repeat([1.0, 3.0, 7.0], [300, 300, 1]), energy)
    for level, want in ((0.0, 1.0), (1.0, 1 + 606 / 302), (2.0, 907 / 301)):
        assert found[energy == level] == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("infinite", [0, 2])
def test_a_scatter_fills_its_frame(infinite):
    """Marks of classes without a unit stand above the axes; without any, nothing may narrow these."""
    rng = np.random.default_rng(1)
    runs = pd.DataFrame(
        rng.uniform(1, 80, (8, 4)),
        columns=["entropy_production", "entropy_production_stderr", "log_likelihood", "class_kl"],
    )
    runs.loc[: infinite - 1, "class_kl"] = np.inf
    figure = cycles_plots.scatter(SimpleNamespace(runs=runs, rbm=runs))
    figure.canvas.draw()
    assert all(axis.get_position().width > 0.3 for axis in figure.axes)
