"""Standard errors against the scatter that they claim: closed forms where there are any, many draws elsewhere."""

from __future__ import annotations

from operator import attrgetter

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.signal import lfilter

from vanbench.compare.learn.ising.predict import _variance
from vanbench.exact import build
from vanbench.exact.cycles import estimates
from vanbench.exact.cycles.chain import CycleParams
from vanbench.exact.cycles.enumeration import enumerate_chain
from vanbench.exact.ising import montecarlo
from vanbench.exact.matrixfree.quadrature import Tridiagonal, continuous, euler
from vanbench.exact.quantum import trajectories
from vanbench.exact.trajectories import cloning
from vanbench.neural import build as network
from vanbench.neural.learning import hamiltonian, likelihood
from vanbench.neural.learning.mixture import Draws
from vanbench.neural.quantum import Outcomes
from vanbench.neural.run.estimators import (
    Increment,
    covariance_of_means,
    from_growth,
    from_loss,
    from_weights,
)
from vanbench.neural.run.log import RunLog
from vanbench.neural.run.report import _mean
from vanbench.neural.trackers import Step
from vanbench.neural.trackers.proposal import Batch
from vanbench.neural.trackers.tangent.limit import Recent, extrapolated
from vanbench.neural.trackers.tangent.regression import regress

torch.set_num_threads(1)
REPEATS, SAMPLES = 2000, 50
SPREAD = 6 / np.sqrt(2 * REPEATS)  # six standard errors of a standard deviation over the repetitions
NOISE = torch.tensor([[0.5, 0.0], [0.3, 0.4]], dtype=torch.float64)  # of two fields: deviations 0.5, covariance 0.15


def batch_of(e: torch.Tensor, weights: torch.Tensor) -> Batch:
    uniform = torch.full_like(e, 1 / e.shape[1])
    return Batch(torch.zeros(*e.shape, 1), torch.zeros_like(e), uniform, weights, e.shape[1])


@pytest.mark.parametrize("parameters", [3, 80])  # fewer and more than samples: the two routes of the solver
def test_the_noise_of_a_regressed_rate_is_that_of_what_the_scores_leave(parameters):
    """``E = 1 + O v + noise``, two fields on the same samples. Three parameters are fitted: the variance of the rate is
    that of the noise over n, less the degrees of freedom of the fit. 80 are damped to nothing: it is that of E over n.
    """
    rng = torch.Generator().manual_seed(1)
    fitted, repeats = parameters < SAMPLES, 600
    truth = torch.full((2, parameters), 2 / parameters**0.5, dtype=torch.float64)
    found = []
    for _ in range(repeats):
        o = torch.randn(1, SAMPLES, parameters, generator=rng, dtype=torch.float64).repeat(2, 1, 1)
        noise = NOISE @ torch.randn(2, SAMPLES, generator=rng, dtype=torch.float64)
        e = 1 + torch.einsum("rnp,rp->rn", o, truth) + noise
        damping = 1e-12 if fitted else 1e12
        found.append(regress([o], e, batch_of(e, torch.full_like(e, 1 / SAMPLES)), damping, truth))
    means = torch.stack([one.mean.value for one in found]).numpy()
    told = torch.stack([one.mean.covariance for one in found]).mean(0).numpy()
    residual, unseen = (np.mean([getattr(one, name).numpy() for one in found], 0) for name in ("residual", "unseen"))
    alone = 0.5 / np.hypot(0.5, 2)  # what the scores leave of the deviation of E
    covariance = (NOISE @ NOISE.T).numpy()
    want = covariance * (SAMPLES - 1 - parameters) / (SAMPLES - 1) if fitted else covariance + 4
    assert told == pytest.approx(want / SAMPLES, rel=0.05)
    assert residual == pytest.approx(alone if fitted else 1.0, rel=0.05)
    assert unseen == pytest.approx(alone, rel=0.05)  # of the true v
    # what the fit costs, a factor of about n / (n - p) of the variance, is not in the standard error: 6 % at p = 3
    assert means.std(0) == pytest.approx(np.sqrt(told.diagonal()), rel=6 / np.sqrt(2 * repeats) + 0.06)
    assert means.mean(0) == pytest.approx(1.0, abs=6 * means.std() / np.sqrt(repeats))


def test_the_noise_of_a_rate_over_weighted_samples_is_that_of_the_weighted_mean():
    """Weights of 1 and 3 for half the samples each: the variance of a mean is ``sum w^2`` that of a sample, 5/4 over n,
    the ratio of mean square and squared mean."""
    rng = torch.Generator().manual_seed(2)
    weights = torch.tensor([1.0, 3.0], dtype=torch.float64).repeat(SAMPLES)[None] / (4 * SAMPLES)
    found = []
    for _ in range(500):
        o = torch.zeros(1, 2 * SAMPLES, 1, dtype=torch.float64)
        e = 2 * torch.randn(1, 2 * SAMPLES, generator=rng, dtype=torch.float64)
        found.append(float(regress([o], e, batch_of(e, weights), 1.0).mean.covariance[0, 0]))
    assert np.mean(found) == pytest.approx(4 * 1.25 / (2 * SAMPLES), rel=0.03)


def test_a_sum_over_all_configurations_has_no_noise():
    e = torch.randn(1, SAMPLES, dtype=torch.float64)
    batch = batch_of(e, torch.full_like(e, 1 / SAMPLES))
    batch.exact = True
    found = regress([torch.randn(1, SAMPLES, 2, dtype=torch.float64)], e, batch, 1e-5)
    assert float(found.mean.covariance.abs().max()) == 0
    assert float(found.mean.value[0]) == pytest.approx(float(e.mean()), rel=1e-12)


def test_covariances_of_means_are_those_of_correlated_columns():
    """``cov(mean) = C / n``, of two fields that share part of their noise; one sample tells no noise, and no nan."""
    rng = torch.Generator().manual_seed(3)
    draws = torch.einsum("rs,sbn->brn", NOISE, torch.randn(2, REPEATS, SAMPLES, generator=rng, dtype=torch.float64))
    told = torch.stack([covariance_of_means(7 + one) for one in draws]).mean(0)
    want = (NOISE @ NOISE.T / SAMPLES).numpy()
    assert told.numpy() == pytest.approx(want, rel=0.03)
    assert np.cov(draws.mean(2).T.numpy()) == pytest.approx(want, rel=2 * SPREAD)
    assert float(covariance_of_means(torch.ones(1, 1))[0, 0]) == 0
    assert float(covariance_of_means(torch.tensor([[0.0, 2.0]]))[0, 0]) == pytest.approx(1.0)  # 2 / (2 * 1)
    assert float(covariance_of_means(torch.tensor([[0.0, 1.0, 2.0]]))[0, 0]) == pytest.approx(1 / 3)  # 2 / (3 * 2)


@pytest.mark.parametrize("estimator", ["loss", "weights", "growth"])
def test_estimators_of_an_increment_scatter_as_they_say(estimator):
    """Log-normal weights, ``<ln w> = 0.1`` and ``ln <w> = 0.1 + 0.3^2 / 2``; a growth of mean -2 with dt = 0.1."""
    rng = torch.Generator().manual_seed(4)
    log_weights = 0.1 + 0.3 * torch.randn(REPEATS, 1, SAMPLES, generator=rng, dtype=torch.float64)
    if estimator == "loss":
        found, want = [from_loss(w) for w in log_weights], 0.1
    elif estimator == "weights":
        found, want = [from_weights(w) for w in log_weights], 0.1 + 0.045
    else:
        found, want = [from_growth(-2 + (w - 0.1) / 0.3, 0.1) for w in log_weights], np.log(0.8)
    values = np.array([float(one.value) for one in found])
    told = np.array([float(one.covariance) for one in found])
    assert np.sqrt(told.mean()) == pytest.approx(values.std(), rel=SPREAD)
    assert values.mean() == pytest.approx(want, abs=6 * values.std() / np.sqrt(REPEATS) + 0.09 / (2 * SAMPLES))


def test_effective_draws_are_those_of_kong():
    """``(sum w)^2 / sum w^2``: of weights 4, 1, 1 it is 36 / 18 = 2, of equal ones their number."""
    weights = np.array([[4.0, 1.0, 1.0], [5.0, 5.0, 5.0]])
    draws = Draws(np.array([1.0, 2.0]), {}, np.log(weights)[:, :, None])  # three groups of one
    assert draws.effective() == pytest.approx([2, 3])


def test_jackknife_errors_of_a_mixture_scatter_as_they_say():
    """Equal weights: the mean of n normal draws has the error ``1 / sqrt(n)``, their variance ``sqrt(2 / n)``."""
    rng = np.random.default_rng(5)
    groups, each, repeats = 20, 40, 400
    means, variances = [], []
    for _ in range(repeats):
        draws = Draws(np.ones(1), {"x": 3 + rng.normal(size=(groups, each))}, np.zeros((1, groups, each)))
        means.append(draws.mean("x", 0))
        variances.append(draws.variance("x", 0))
    n = groups * each
    for rows, value, error in ((means, 3, 1 / np.sqrt(n)), (variances, 1, np.sqrt(2 / n))):
        found, told = np.array(rows).T
        assert np.sqrt(np.mean(told**2)) == pytest.approx(error, rel=0.04)
        assert found.std() == pytest.approx(error, rel=6 / np.sqrt(2 * repeats))
        assert found.mean() == pytest.approx(value, abs=6 * error / np.sqrt(repeats))


def test_two_values_are_as_uncertain_as_half_their_distance():
    """0 and 2: mean 1, deviation sqrt 2, standard error 1, wherever a plain mean of configurations is taken."""
    two = np.array([0.0, 2.0])
    system = build("tfim", (1,))
    outcomes = Outcomes(system, network("bernoulli", (1,), local_dim=4), torch.zeros(2, 1, dtype=torch.int8))
    assert outcomes.mean(two) == {"value": 1.0, "sampling_stderr": pytest.approx(1.0)}
    assert _mean(torch.as_tensor(two), None) == {"value": 1.0, "sampling_stderr": pytest.approx(1.0)}
    assert _mean(torch.as_tensor(two), torch.tensor([0.25, 0.75]).double()) == {"value": 1.5, "sampling_stderr": 0.0}
    rows = [{f"sigma_{a}": v for a in "xyz"} for v in ("0", "2")]
    assert trajectories.summary(rows) == {f"sigma_{a}": (1.0, pytest.approx(1.0)) for a in "xyz"}


def test_steps_add_up_in_value_and_in_variance():
    """Two steps of (1, 2) with variances 4 and 9, covariance 3: ln Z is (2, 4) +- (sqrt 8, sqrt 18), their difference
    2 +- sqrt(2 (4 + 9 - 6))."""
    log = RunLog([0.1, 0.2])
    increment = Increment(torch.tensor([1.0, 2.0]), torch.tensor([[4.0, 3.0], [3.0, 9.0]]))
    for _ in range(2):
        log.add(Step(0.5, {"one": increment}, "one", {"ess": torch.tensor([0.25, 0.75])}, negative=3), 1.0)
    last = log.frame().set_index(["step", "s"]).loc[2]
    assert last["ln_Z:one"].tolist() == [2.0, 4.0]
    assert last["stderr:one"].to_numpy() == pytest.approx([8**0.5, 18**0.5])
    assert last["ess"].tolist() == [0.25, 0.75]
    assert log.stderr("one", np.array([-1.0, 1.0])) == pytest.approx(14**0.5)
    assert (log.t, log.steps, log.negative) == (1.0, 2, 6)


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_the_error_of_a_correlated_mean_is_its_spread(memory):
    """``x_t = a x_t-1 + noise``: the variance of the mean is ``(1 + a) / (1 - a)`` times that of independent values."""
    rng, length, repeats = np.random.default_rng(6), 4000, 150
    values = lfilter([1], [1, -memory], rng.normal(size=(repeats, length + 200)))[:, 200:]
    means, errors = np.array([montecarlo.mean_error(row) for row in values]).T
    want = np.sqrt((1 + memory) / (1 - memory) / (1 - memory**2) / length)
    assert errors.mean() == pytest.approx(want, rel=0.05)
    assert means.std() == pytest.approx(want, rel=6 / np.sqrt(2 * repeats))


def test_populations_of_clones_scatter_as_the_table_says():
    """Normal numbers in place of the populations' results: errors of means of ten, the bias against the half size."""
    rng, size = np.random.default_rng(7), (10, 3, 1)
    scale = np.array([0.3, 0.6, 0.1])[:, None]  # ln Z, the count, ln Z half way
    rows = [
        cloning._summary(
            0.1, np.array([2.0]), 1 + scale * rng.normal(size=size), 0.5 + scale * rng.normal(size=size), 3, True
        )
        for _ in range(400)
    ]
    ln_z, activity, growth = (pd.DataFrame([row[k] for row in rows]) for k in range(3))
    for found, spread in ((ln_z, 0.3), (activity, 0.6 / 6), (growth, np.hypot(0.3, 0.1))):
        error = spread / np.sqrt(10)
        assert np.sqrt((found.stderr**2).mean()) == pytest.approx(error, rel=0.06)
        assert found.value.std() == pytest.approx(error, rel=6 / np.sqrt(800))
    assert ln_z.bias.mean() == pytest.approx(0.5, abs=0.05)
    assert activity.bias.mean() == pytest.approx(0.5 / 6, abs=0.02)
    assert growth.t.isna().all()


def test_errors_of_the_sampled_chain_are_its_scatter():
    """Forty estimates of one model of three hidden states: the matrix, its entropy production, the full one, and what
    is counted along simulated chains."""
    rng = np.random.default_rng(8)
    params = CycleParams(rng.normal(size=(5, 3)), np.zeros(5), 2 * rng.normal(size=(3, 5)), rng.normal(size=3),
                         rng.random(5), "softmax")  # fmt: skip
    exact, repeats = enumerate_chain(params), 40
    found = [estimates.rao_blackwell(params, 400, seed) for seed in range(repeats)]
    paths = [estimates.simulate(params, 400, 32, seed) for seed in range(repeats)]
    ep = attrgetter("entropy_production")
    quantities = {
        "m": ([one.m[0, 1] for one in found], [one.m_stderr[0, 1] for one in found], exact.m[0, 1]),
        "ep": ([ep(one.thermo) for one in found], [one.stderr(ep) for one in found], ep(exact.thermo)),
        "full": ([one.full_entropy_production for one in found],
                 [one.full_entropy_production_stderr for one in found], exact.full_entropy_production()),
        "counted": ([estimates.counted_entropy_production(estimates.transition_counts(p, 3)) for p in paths],
                    [estimates.counted_stderr(p, 3) for p in paths], None),
    }  # fmt: skip
    for name, (values, errors, truth) in quantities.items():
        told = np.sqrt(np.mean(np.square(errors)))
        assert np.std(values, ddof=1) == pytest.approx(told, rel=0.45), name  # 40 know a spread to 11 %: four of it
        if truth is not None:  # the bias, of order the variance, is far below one error
            assert np.mean(values) == pytest.approx(truth, abs=5 * told / np.sqrt(repeats) + 0.3 * told), name


def test_the_errors_of_a_learned_free_energy_and_likelihood_are_those_of_means():
    rng, free, errors = np.random.default_rng(9), [], []
    for _ in range(300):
        true = rng.normal(size=50)
        found = hamiltonian.agreement(true + 2 * rng.normal(size=50), true)
        free.append(found.free_energy)
        errors.append(found.free_energy_error)
    assert np.mean(errors) == pytest.approx(2 / np.sqrt(50), rel=0.05)
    assert np.std(free) == pytest.approx(2 / np.sqrt(50), rel=6 / np.sqrt(600))
    x = (rng.random((300, 4)) < 0.3).astype(np.int8)
    training = likelihood.Training(batches=2, epochs=1)
    net = network("bernoulli", (4,)).double()
    fit = likelihood.fit(net, x, training)
    each = -likelihood.log_prob(net, x[likelihood.split(len(x), training)[1]])
    assert fit.nll == pytest.approx(each.mean())
    assert fit.nll_error**2 * len(each) == pytest.approx(each.var(ddof=1))


def test_the_error_of_chains_is_their_scatter():
    """Of a variance over (chains, length): the jackknife, against the scatter of many such arrays."""
    rng = np.random.default_rng(10)
    found = np.array([_variance(5 + rng.normal(size=(24, 40))) for _ in range(300)])
    want = np.sqrt(2 / (24 * 40))
    assert np.sqrt((found[:, 1] ** 2).mean()) == pytest.approx(want, rel=0.06)
    assert found[:, 0].std() == pytest.approx(want, rel=6 / np.sqrt(600))


def test_an_extrapolated_ln_z_is_as_uncertain_as_its_rate_times_the_time():
    """Steps of 1/4, rates 1 to 8 of variance 4: the last window of 1 has rate 6.5, variance 4 / 4. Its error then adds
    up linearly with time, not as a root: 5 after steps of 2 and 3."""
    rates = [Increment(torch.tensor([1.0 + k]), torch.tensor([[4.0]])) for k in range(8)]
    recent, first = extrapolated(Recent([0.25] * 8, rates, reached=True), 1.0, 2.0)
    steps = [first, extrapolated(recent, 1.0, 3.0)[1]]
    found = [step.increments["regression"] for step in steps]
    assert [float(one.value) for one in found] == [2 * 6.5, 3 * 6.5]
    assert float(sum(one.covariance for one in found)) == pytest.approx(5.0**2)
    assert float(steps[0].diagnostics["scgf"]) == 6.5
    assert float(steps[0].diagnostics["scgf_stderr"]) == pytest.approx(1.0)


def test_a_rate_stands_still_where_two_windows_agree_within_their_noise():
    """Windows of variance 1 each, so 2 sqrt 2 = 2.83 apart at most; without noise 2 % of the rate."""

    def stands(old, new, variance, steps=8):
        rates = [Increment(torch.tensor([r]), torch.tensor([[variance]])) for r in [old] * 4 + [new] * 4]
        return Recent([0.25] * steps, rates[:steps]).stands_still(window=1.0, still=0.02)

    assert stands(10.0, 13.0, 4.0)  # 2.83 and 2 % of 13
    assert not stands(10.0, 13.2, 4.0)
    assert stands(10.0, 10.2, 0.0)
    assert not stands(10.0, 10.3, 0.0)
    assert not stands(10.0, 10.0, 0.0, steps=7)  # the window before the last is not whole


def test_the_two_point_rules_of_one_lanczos_step_are_those_by_hand():
    """Mean ``a``, variance ``b^2`` within [l, u]: the rules that match the moments, and the bounds that they leave.

    With a node at ``u`` the other is ``a - b^2 / (u - a)``; with nodes at both ends ``u`` weighs ``(a - l) / (u - l)``.
    """
    a, b, low, up = -0.7, 0.3, -2.0, 0.1
    tri, dt, times = Tridiagonal(np.array([a]), np.array([b])), 0.2, np.array([0.0, 0.5, 3.0])

    def radau(node, f):
        weight = b**2 / (b**2 + (node - a) ** 2)
        return weight * f(node) + (1 - weight) * f(a - b**2 / (node - a))

    value, bound = continuous(tri, times, up)
    assert value == pytest.approx(a * times, abs=1e-15)
    want = [np.log(radau(up, lambda x, t=t: np.exp(t * x))) - a * t for t in times]
    assert bound == pytest.approx(want, rel=1e-9, abs=1e-14)
    value, bound = euler(tri, dt, np.array([3, 4]), low, up)
    for k, steps in enumerate((3, 4)):

        def f(x, j=steps):
            return (1 + dt * x) ** j

        inner = steps * np.log(1 + dt * a)
        assert value[k] == pytest.approx(inner, rel=1e-14)
        if steps % 2:
            apart = [np.log(radau(node, f)) - inner for node in (low, up)]
        else:
            weight = (a - low) / (up - low)
            apart = [np.log(weight * f(up) + (1 - weight) * f(low)) - inner]
        assert bound[k] == pytest.approx(np.abs(apart).max(), rel=1e-9)
