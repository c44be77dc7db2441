"""Means of correlated series and their standard errors, from one chain or several.

The error is the larger of two. (1) sqrt(2 tau var / n) with the integrated autocorrelation time in Sokal's
self-consistent window (A. Sokal, in Functional Integration (1997)), deviations counted from the mean over all chains.
(2) The scatter of the chains' means, which sees the slow part of a series that is hidden below its fast part. Where the
chains disagree (split R-hat; A. Gelman et al., Bayesian Data Analysis (2013), 11.4) their weights in the mean are those
of their starts: the error is then half the range of their means.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .lattice import FloatArray

WINDOW = 6.0  # Sokal's window in units of the autocorrelation time: bias e^-6, below 1 % of the error
DISAGREE = 1.1  # split R-hat, the customary limit
SAME = 1e-12  # of the largest value: a spread that rounding makes


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


def mean_error(series: ArrayLike, chains: int = 1) -> tuple[float, float]:
    """Mean of a series (n,) of `chains` chains and its standard error; NaN where all samples are equal."""
    x = np.asarray(series, dtype=float)
    if _constant(x):
        return float(x.mean()), float("nan")
    error = np.sqrt(2 * autocorrelation_time(x, chains) * x.var() / len(x))
    if chains > 1:
        means = np.array([part.mean() for part in np.array_split(x, chains)])
        error = max(error, means.std(ddof=1) / np.sqrt(chains))
        if split_r_hat(x, chains) > DISAGREE:
            error = max(error, np.ptp(means) / 2)
    return float(x.mean()), float(error)


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


def note(series: ArrayLike, chains: int) -> str:
    """What the error of `mean_error` does not say by itself; "" where there is nothing."""
    x = np.asarray(series, dtype=float)
    if _constant(x):
        return "all samples are equal: they tell no error"
    r_hat = split_r_hat(x, chains)
    if r_hat > DISAGREE:
        return f"the chains disagree (split R-hat {r_hat:.2f}): the error is half the range of their means"
    return ""


def _constant(x: FloatArray) -> bool:
    return bool(np.ptp(x) <= SAME * np.abs(x).max())
