"""The statistics of the gate: when a difference is more than chance, and how many seeds reveal one.

A case has a mean error ``m`` over ``n`` seeds with the standard error ``sigma``; the seeds are independent runs. Two
such means are compared by Welch's test, one-sided (Welch, Biometrika 34, 28 (1947))::

    m1 - m0 > t(1 - a / cases, nu) * sqrt(sigma0^2 + sigma1^2)
    nu = (sigma0^2 + sigma1^2)^2 / (sigma0^4 / (n0 - 1) + sigma1^4 / (n1 - 1))

with ``a`` the chance of any false alarm in a whole comparison of ``cases`` cases (Bonferroni, so it holds however the
cases depend on each other). Errors are absolute values of noise: skewed, with a spread about as large as their mean.
For equal numbers of seeds the difference of two such means is symmetric, and the test keeps its level; a limit taken
from the baseline's spread alone does not (five to fifteen times too many alarms in simulations).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from vanbench.compare.judge.tolerances import FALSE_ALARMS, POWER

FACTOR = 2.0
MOST_SEEDS = 10_000
QUANTILES = (np.arange(200) + 0.5) / 200  # of the estimated variance, in ``power``


def margin(sigma0: float, seeds0: int, sigma1: float, seeds1: int, cases: int, false_alarms: float) -> float:
    """What ``m1 - m0`` exceeds by luck with probability ``false_alarms / cases``; 0 where nothing is known to scatter.

    ``sigma``: standard errors of the means. A mean of fewer than two seeds brings an error of its own (of sampling),
    taken as known: no degrees of freedom are lost to it.
    """
    variance = sigma0**2 + sigma1**2
    if variance == 0:
        return 0.0
    return _critical(_freedom(sigma0**2, seeds0, sigma1**2, seeds1), cases, false_alarms) * math.sqrt(variance)


def power(
    mean: float,
    spread: float,
    seeds0: int,
    seeds1: int,
    cases: int,
    floor: float = 0.0,
    factor: float = FACTOR,
    false_alarms: float = FALSE_ALARMS,
) -> float:
    """The probability that an error grown by ``factor`` is called worse, for Gaussian means.

    ``spread``: standard deviation over seeds; the grown error is taken to scatter ``factor`` times as much. ``floor``:
    what is allowed in any case. The estimated variance is averaged over its chi-square distribution.
    """
    shift = mean * (factor - 1)
    v0, v1 = spread**2 / seeds0, (factor * spread) ** 2 / seeds1
    sigma = math.sqrt(v0 + v1)
    if sigma == 0:
        return float(shift > floor)
    freedom = _freedom(v0, seeds0, v1, seeds1)
    known = math.isinf(freedom)
    estimated = sigma * (1.0 if known else np.sqrt(special.chdtri(freedom, 1 - QUANTILES) / freedom))
    allowed = np.maximum(floor, _critical(freedom, cases, false_alarms) * estimated)
    return float(special.ndtr((shift - allowed) / sigma).mean())


def seeds_needed(
    mean: float,
    spread: float,
    cases: int,
    floor: float = 0.0,
    wanted: float = POWER,
    factor: float = FACTOR,
    false_alarms: float = FALSE_ALARMS,
) -> int | None:
    """The smallest number of seeds, in the baseline and in the run alike, with ``power`` of at least ``wanted``.

    None where no number up to ``MOST_SEEDS`` has it (an error too close to ``floor``).
    """

    def enough(n: int) -> bool:
        return power(mean, spread, n, n, cases, floor, factor, false_alarms) >= wanted

    few, many = 2, 3
    if not enough(MOST_SEEDS):
        return None
    while not enough(many):
        few, many = many, min(2 * many, MOST_SEEDS)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def _critical(freedom: float, cases: int, false_alarms: float) -> float:
    chance = min(false_alarms / max(cases, 1), 1.0)
    below = special.ndtri(chance) if math.isinf(freedom) else special.stdtrit(freedom, chance)
    return max(0.0, -float(below))


def _freedom(v0: float, seeds0: int, v1: float, seeds1: int) -> float:
    """Welch and Satterthwaite's degrees of freedom; infinite where both variances are known."""
    lost = sum(v**2 / (n - 1) for v, n in ((v0, seeds0), (v1, seeds1)) if n > 1)
    return (v0 + v1) ** 2 / lost if lost > 0 else math.inf
