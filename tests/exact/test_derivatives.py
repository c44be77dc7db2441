"""Derivatives by differences of functions with known ones: kinks that noise hides, fields at which there is no value."""

from __future__ import annotations

import numpy as np
import pytest

from vanbench.exact.matrixfree.derivatives import central


def two_phases(late: float, weight: float, noise: float, seed: int):
    """``ln Z`` of two phases apart that fill a site to 0.2 and 0.9, with errors up to ``noise``; its slope at zero."""
    rng, slopes = np.random.default_rng(seed), np.array([0.2, 0.9])
    weights = np.array([1 - weight, weight])

    def f(h: float):
        terms = np.log(weights) + late * slopes * h
        value = terms.max() + np.log(np.exp(terms - terms.max()).sum())
        return np.array([value + noise * rng.uniform(-1, 1)]), np.array([noise])

    return f, late * float(weights @ slopes)


@pytest.mark.parametrize("late", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("weight", [0.5, 0.1, 1e-3])
@pytest.mark.parametrize("noise", [1e-12, 1e-8, 1e-4, 1e-2])
def test_phases_that_a_small_field_exchanges(late, weight, noise):
    """Beyond the field that exchanges them the function is straight on both sides, whatever the order."""
    for seed in range(5):
        f, slope = two_phases(late, weight, noise, seed)
        answer = central(f, (np.zeros(1), np.full(1, noise)))
        assert abs(answer.first[0] - slope) <= answer.first_error[0]


def test_fields_without_a_value():
    """Euler steps are unstable at a field of 2^-8: shorter differences are taken, of each entry by itself."""

    def f(h: float):
        bad = np.array([np.nan if abs(h) > 1e-3 else np.expm1(h), np.expm1(h)])
        return bad, np.full(2, 1e-15)

    answer = central(f, f(0.0))
    np.testing.assert_allclose(answer.first, 1.0, atol=1e-10)
    assert (np.abs(answer.first - 1) <= answer.first_error).all()
    assert (np.abs(answer.second - 1) <= answer.second_error).all()
