"""The statistics of weighted, grouped and repeated samples, on NumPy arrays; the first four on torch tensors too."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

RESAMPLES = 4000  # of a bootstrap: its 95 % limits then scatter by a few percent of the interval


def relative_weights(log_weights: Any) -> Any:
    """``exp`` of the logarithms, 1 for the largest along the last axis."""
    xp = array_namespace(log_weights)
    return xp.exp(log_weights - xp.max(log_weights, axis=-1, keepdims=True))


def effective_fraction(weights: Any, mass: Any = 1.0) -> Any:
    """``(sum m w)^2 / (sum m * sum m w^2)`` along the last axis, from 0 to 1: the part of the samples that counts.

    ``weights``: ``w``, up to a factor; ``mass``: ``m``, the probabilities of the configurations where these are not
    samples. A. Kong, technical report 348, University of Chicago (1992).
    """
    mass = mass + 0 * weights
    return (mass * weights).sum(-1) ** 2 / (mass.sum(-1) * (mass * weights**2).sum(-1))


def all_but_one(parts: Any) -> Any:
    """Sums along the last axis over all entries but each in turn."""
    return parts.sum(-1)[..., None] - parts


def jackknife_deviations(without: Any) -> Any:
    """From ``K`` values without one group each, along the last axis: terms whose squares sum to the variance."""
    groups = without.shape[-1]
    return (without - without.mean(-1)[..., None]) * ((groups - 1) / groups) ** 0.5


def jackknife_error(without: Any) -> Any:
    """The standard error, from the same values. B. Efron, Ann. Stat. 7, 1 (1979)."""
    return np.sqrt((jackknife_deviations(np.asarray(without, float)) ** 2).sum(-1))


def standard_error(values: Any) -> float:
    """Of the mean of independent ``values``; NaN for fewer than two."""
    values = np.asarray(values, float)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def systematic_sample(weights: np.ndarray, number: int, offset: float) -> np.ndarray:
    """``number`` indices in proportion to ``weights``, at equal distances; ``offset`` from 0 to 1 places the first.

    Of all resampling schemes with one random number that of least variance. J. Carpenter, P. Clifford and P. Fearnhead,
    IEE Proc. Radar Sonar Navig. 146, 2 (1999).
    """
    places = (offset + np.arange(number)) / number
    taken = np.searchsorted(np.cumsum(weights) / weights.sum(), places, side="right")
    return np.minimum(taken, np.flatnonzero(weights)[-1])  # an offset of 0 or 1 too takes none of weight zero


def inverted(weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The index whose share of ``weights`` ``(n, k)`` holds ``uniform`` ``(n,)``, 0 to 1; never one of weight zero."""
    cumulative = np.cumsum(weights, axis=1)
    taken = (cumulative <= uniform[:, None] * cumulative[:, -1:]).sum(1)
    return np.minimum(taken, weights.shape[1] - 1 - (weights > 0)[:, ::-1].argmax(1))


class Interval(NamedTuple):
    """A value with its 95 % confidence limits, which are NaN where a single sample has none."""

    value: float
    low: float
    high: float


def bootstrap(statistic: Callable[..., Any], *columns: np.ndarray, seed: int) -> Interval:
    """``statistic(*columns)``, which takes the keyword ``axis``, with its percentile interval.

    Rows are resampled with replacement, the columns together.
    """
    from scipy import stats

    value = float(statistic(*columns, axis=-1))
    if len(columns[0]) < 2:
        return Interval(value, np.nan, np.nan)
    drawn = stats.bootstrap(
        columns, statistic, paired=True, n_resamples=RESAMPLES, method="percentile", vectorized=True, rng=seed
    )
    return Interval(value, *map(float, drawn.confidence_interval))


def rank_correlation(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Spearman's rho (average ranks); 0 where one of the two is constant, or a single value."""
    from scipy import stats

    if a.shape[axis] < 2:
        return np.zeros_like(np.sum(a, axis=axis))
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        ranked = (stats.rankdata(values, axis=axis) for values in (a, b))
        return np.nan_to_num(stats.pearsonr(*ranked, axis=axis).statistic)


def fitted_line(x: Any, y: Any) -> tuple[float, float]:
    """Slope and intercept of the least-squares line through two and more points."""
    from scipy import stats

    fit = stats.linregress(np.asarray(x, float), np.asarray(y, float))
    return float(fit.slope), float(fit.intercept)


def slope(x: Any, y: Any) -> Interval:
    """Of the least-squares line, with the 95 % limits that the scatter of ``y`` about it gives; NaN for two points."""
    from scipy import stats

    fit = stats.linregress(np.asarray(x, float), np.asarray(y, float))
    reach = float(fit.stderr * stats.t.ppf(0.975, len(x) - 2)) if len(x) > 2 else np.nan
    return Interval(float(fit.slope), float(fit.slope) - reach, float(fit.slope) + reach)
