"""Standard errors against the scatter that they claim: closed forms where there are any, many draws elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neural.estimators import covariance_of_means, effective_samples, from_growth, from_loss, from_weights
from neural.learning.mixture import Draws
from neural.trackers.proposal import Batch
from neural.trackers.regression import regress

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


def test_effective_samples_are_those_of_kong():
    """``(sum w)^2 / sum w^2``: of weights 4, 1, 1 it is 36 / 18 = 2, of equal ones their number."""
    weights = np.array([[4.0, 1.0, 1.0], [5.0, 5.0, 5.0]])
    assert (3 * effective_samples(torch.as_tensor(weights).log())).numpy() == pytest.approx([2, 3])
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
