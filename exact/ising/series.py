"""Means of correlated series and their standard errors, from one chain or several.

The error is the larger of two. (1) sqrt(2 tau var / n) with the integrated autocorrelation time in Sokal's
self-consistent window (A. Sokal, in Functional Integration (1997)), deviations counted from the mean over all chains.
(2) The scatter of the chains' means, which sees the slow part of a series that is hidden below its fast part. Added in
quadrature: one more of the n / 2 tau independent samples as far away as the farthest, which matters where the mean
hangs on a few rare samples. Where the chains disagree (split R-hat; A. Gelman et al., Bayesian Data Analysis (2013),
11.4) their weights in the mean are those of their starts, and the error is the distance to the farthest of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 6.0  # Sokal's window in units of the autocorrelation time: bias e^-6, below 1 % of the error
DISAGREE = 1.1  # split R-hat, the customary limit
SAME = 1e-12  # of the largest value: a spread that rounding makes


class Estimate(NamedTuple):
    """A mean, its standard error (NaN where the samples tell none) and what the error does not say by itself, or ""."""

    value: float
    stderr: float
    note: str


def autocorrelation_time(series: ArrayLike, chains: int = 1) -> float:
    """Integrated autocorrelation time tau = 1/2 + sum_t rho(t), at least 1/2, of a series (n,) of `chains` chains.

    The sum stops at the first window W >= 6 tau(W). A constant series has 1/2.
    """
    x = np.asarray(series, dtype=float)
    x = x - x.mean()
    variance = x @ x
    longest = -(-len(x) // chains)
    if variance == 0 or longest < 3:
        return 0.5
    correlation = np.zeros(longest)
    for part in np.array_split(x, chains):
        spectrum = np.fft.rfft(part, 2 * longest)
        correlation += np.fft.irfft(spectrum * spectrum.conj())[:longest]
    tau = 0.5 + np.cumsum(correlation[1:] / variance)
    inside = np.arange(1, longest) >= WINDOW * tau
    window = int(np.argmax(inside)) if inside.any() else longest - 2
    return float(max(0.5, tau[window]))


def estimate(series: ArrayLike, chains: int = 1, variance_of: NDArray | None = None) -> Estimate:
    """Mean of a series (n,) of `chains` chains, each about n / chains long (`numpy.array_split`).

    `variance_of`: the series (n,) whose squared deviations from its mean `series` is. Its chains are then compared too,
    and each with the variance of its own, since deviations from a common mean look alike in all of them.
    """
    x = np.asarray(series, dtype=float)
    value = float(x.mean())
    if np.ptp(x) <= SAME * np.abs(x).max():
        return Estimate(value, float("nan"), "all samples are equal: they give no error estimate")
    correlated = 2 * autocorrelation_time(x, chains)
    error = np.sqrt(correlated * x.var() / len(x))
    means = np.array([part.mean() for part in np.array_split(x, chains)])
    if chains > 1:
        error = max(error, means.std(ddof=1) / np.sqrt(chains))
    error = np.hypot(error, correlated * np.abs(x - value).max() / len(x))
    r_hat, own = split_r_hat(x, chains), means
    if variance_of is not None:
        r_hat = max(r_hat, split_r_hat(variance_of, chains))
        own = np.array([part.var() for part in np.array_split(variance_of, chains)])
    if r_hat <= DISAGREE:
        return Estimate(value, float(error), "")
    note = f"the chains disagree (split R-hat {r_hat:.3g}): the error is the distance to the farthest of them"
    return Estimate(value, float(max(error, np.abs(own - value).max())), note)


def mean_error(series: ArrayLike, chains: int = 1) -> tuple[float, float]:
    """Value and standard error of `estimate`."""
    return estimate(series, chains)[:2]


def split_r_hat(series: ArrayLike, chains: int) -> float:
    """Split R-hat of `chains` chains (n,): 1 where their halves agree, inf for halves that stand still apart.

    1 for chains of fewer than four samples, which have no halves to compare.
    """
    x = np.asarray(series, dtype=float)
    if len(x) < 4 * chains:
        return 1.0
    halves = [half for part in np.array_split(x, chains) for half in np.array_split(part, 2)]
    within = np.mean([half.var(ddof=1) for half in halves])
    between = np.var([half.mean() for half in halves], ddof=1)
    length = min(map(len, halves))
    if between == 0:
        return 1.0
    return float(np.sqrt((length - 1) / length + between / within)) if within > 0 else float("inf")
