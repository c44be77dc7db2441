"""Each statistic against a closed form, or against the scatter of what it is the error of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from vanbench.exact import statistics


@pytest.mark.parametrize("array", [np.asarray, torch.as_tensor])
def test_the_effective_part_is_that_of_kong(array):
    """``(sum w)^2 / sum w^2``: of weights 4, 1, 1 it is 36 / 18 = 2 of 3; all of equal ones. A mass: copies."""
    weights = statistics.relative_weights(array(np.log([[4.0, 1.0, 1.0], [5.0, 5.0, 5.0]]) + 1000))
    assert weights.tolist() == [pytest.approx([1, 0.25, 0.25]), [1, 1, 1]]
    assert statistics.effective_fraction(weights).tolist() == pytest.approx([2 / 3, 1])
    twice = statistics.effective_fraction(array(np.array([4.0, 1.0])), array(np.array([0.1, 0.2])))
    assert float(twice) == pytest.approx(2 / 3)


@pytest.mark.parametrize("array", [np.asarray, torch.as_tensor])
def test_the_jackknife_of_a_mean_is_its_standard_error(array):
    values = np.random.default_rng(1).normal(size=(2, 7))
    without = statistics.all_but_one(array(values)) / 6
    told = (statistics.jackknife_deviations(without) ** 2).sum(-1)
    assert np.sqrt(told.tolist()) == pytest.approx([statistics.standard_error(row) for row in values])
    assert statistics.jackknife_error(without).tolist() == pytest.approx(np.sqrt(told.tolist()))


def test_systematic_samples_take_each_index_as_often_as_its_weight_within_one():
    rng = np.random.default_rng(2)
    weights = rng.random(9) ** 4
    drawn = [statistics.systematic_sample(weights, 20, rng.random()) for _ in range(4000)]
    counts = np.stack([np.bincount(one, minlength=9) for one in drawn])
    expected = 20 * weights / weights.sum()
    assert (np.abs(counts - expected) < 1).all()
    assert counts.mean(0) == pytest.approx(expected, abs=5 * 0.5 / np.sqrt(4000))  # a count scatters by 1/2 at most
    assert statistics.systematic_sample(np.ones(4), 4, 0.5).tolist() == [0, 1, 2, 3]


def test_bootstrap_intervals_cover_the_mean():
    rng = np.random.default_rng(3)
    intervals = [statistics.bootstrap(np.mean, rng.normal(size=30), seed=k) for k in range(200)]
    covered = np.mean([interval.low < 0 < interval.high for interval in intervals])
    assert 0.87 < covered < 0.99  # 93 % for 30 values, known to 1.8 %
    alone = statistics.bootstrap(np.mean, np.array([2.0]), seed=1)
    assert alone.value == 2
    assert np.isnan(alone[1:]).all()


def test_rank_correlation_is_spearmans_and_survives_constants():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=40), rng.integers(4, size=40).astype(float)
    assert statistics.rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    assert statistics.rank_correlation(a, np.ones(40)) == 0
    both = statistics.rank_correlation(np.stack([a, -a]), np.stack([b, b]))
    assert both.tolist() == pytest.approx([1, -1] * np.abs(both))


def test_a_line_is_met_where_it_is_one():
    assert statistics.fitted_line([1, 2, 4], [5, 8, 14]) == pytest.approx((3, 2))


@pytest.mark.parametrize("uniform", [0.0, 1 - 2.0**-53, 1.0])
def test_the_ends_of_the_unit_interval_draw_nothing_of_weight_zero(uniform):
    rng = np.random.default_rng(0)
    for _ in range(50):
        weights = rng.random(9) * (rng.random(9) < 0.5)
        weights[[0, -1, rng.integers(1, 8)]] = 0, 0, 1 / 3
        assert weights[statistics.inverted(weights[None], np.array([uniform]))].all()
        assert weights[statistics.systematic_sample(weights, 5, uniform)].all()


def test_inverted_draws_each_index_as_often_as_it_weighs():
    weights, uniform = np.array([0.0, 3.0, 0.0, 1.0, 4.0, 0.0]), (np.arange(800) + 0.5) / 800
    drawn = statistics.inverted(np.tile(weights, (800, 1)), uniform)
    assert np.array_equal(np.bincount(drawn, minlength=6), 100 * weights)
