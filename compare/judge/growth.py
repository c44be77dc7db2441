"""How an error grows with the number of sites: a fitted law, with its confidence interval.

Two laws are considered, both straight lines in ``ln error``: the power law ``error = A N^b`` and the exponential
``error = A exp(b N)``. The slope is an ordinary least-squares fit over sizes, one point a size (the mean over seeds),
and its interval is Student's with ``n - 2`` degrees of freedom: what the points scatter about the law, from noise or
because the law is not exact, widens it. Points of single seeds would be more, but those of one size share its misfit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from vanbench.compare.judge.collect import last_times, scalars
from vanbench.exact.statistics import fitted_line

MIN_SIZES = 3  # two points lie on every law
CONFIDENCE = 0.95
PREFERENCE = 2.0  # by this difference of Akaike's criterion the exponential must be better to be quoted
NOTHING = 1e-12  # smaller errors are rounding, which no law describes
EXACT = 1e-10  # a scatter of ln error below it is the rounding of logarithms
CASE = ["task", "task_hash", "tracker", "architecture", "quantity", "s"]


@dataclass(frozen=True)
class Growth:
    """``error = prefactor * N^rate`` (``power``) or ``prefactor * exp(rate * N)`` (``exponential``).

    ``low`` and ``high`` bound ``rate`` at 95 %; ``scatter`` is the residual standard deviation of ``ln error``;
    ``sizes`` the number of points.
    """

    law: str
    rate: float
    low: float
    high: float
    prefactor: float
    scatter: float
    sizes: int

    def at(self, n_sites: Any) -> np.ndarray:
        """The fitted error at ``n_sites``."""
        n = np.asarray(n_sites, float)
        return self.prefactor * (n**self.rate if self.law == "power" else np.exp(self.rate * n))

    @property
    def grows(self) -> bool | None:
        """Whether the error grows (True) or shrinks (False) with N; None where the interval allows both."""
        return True if self.low > 0 else False if self.high < 0 else None

    @property
    def form(self) -> str:
        return f"N^{self.rate:.2f}" if self.law == "power" else f"exp({self.rate:.2g} N)"

    def __str__(self) -> str:
        interval = f"95 %: {self.low:.2g} to {self.high:.2g}"
        return f"no law can be told, {interval}" if self.grows is None else f"error ∝ {self.form}, {interval}"


def fit(n_sites: Any, error: Any, law: str = "power") -> Growth | None:
    """One law through ``error`` over ``n_sites`` (1-D, equal lengths); None below 3 sizes of positive error."""
    n, y = _usable(n_sites, error)
    if len(n) < MIN_SIZES:
        return None
    x, z = (np.log(n) if law == "power" else n), np.log(y)
    rate, intercept = fitted_line(x, z)
    misfit, away = z - intercept - rate * x, x - x.mean()
    scatter = math.sqrt(float(misfit @ misfit) / (len(n) - 2))
    width = float(stdtrit(len(n) - 2, 0.5 + CONFIDENCE / 2)) * scatter / math.sqrt(float(away @ away))
    return Growth(law, rate, rate - width, rate + width, math.exp(intercept), scatter, len(n))


def growth(n_sites: Any, error: Any) -> Growth | None:
    """The power law, or the exponential where Akaike's criterion prefers it clearly (``n ln RSS`` lower by 2)."""
    power, exponential = fit(n_sites, error, "power"), fit(n_sites, error, "exponential")
    if power is None or exponential is None or power.scatter < EXACT:
        return power
    better = 2 * power.sizes * math.log(power.scatter / max(exponential.scatter, EXACT))
    # With three sizes one residual decides, which chance makes small for either law.
    return exponential if power.sizes > MIN_SIZES and better > PREFERENCE else power


def laws(summary: pd.DataFrame, column: str = "error") -> pd.DataFrame:
    """The growth of ``column`` at the last time of each case of ``collect.summarise``, of those that have a law.

    Columns: ``task, task_hash, tracker, architecture, quantity, s, t`` and the fields of ``Growth``; ``growth`` is the
    object.
    """
    last = last_times(scalars(summary))
    fitted = []
    case = [name for name in CASE if name in last]  # tables read back from a file may know of no tracker
    for key, rows in last.groupby(case, sort=True):
        sizes = rows.groupby("n_sites")[column].mean()  # shapes with equally many sites are one point
        law = growth(sizes.index.to_numpy(), sizes.to_numpy())
        if law is not None:
            fitted.append({**dict(zip(case, key)), "t": rows.t.iloc[0], **vars(law), "growth": law})
    names = [*case, "t", *Growth.__dataclass_fields__, "growth"]
    return pd.DataFrame(fitted, columns=names)


def _usable(n_sites: Any, error: Any) -> tuple[np.ndarray, np.ndarray]:
    n, y = np.asarray(n_sites, float), np.asarray(error, float)
    used = np.isfinite(y) & (y > NOTHING)
    return n[used], y[used]
