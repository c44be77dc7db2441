"""How an error grows with the number of sites, or falls with parameters, samples or cost: a law with its interval.

Two laws are considered, both straight lines in ``ln error``: the power law ``error = A N^b`` and, over the number of
sites, the exponential ``error = A exp(b N)``. The slope is an ordinary least-squares fit, one point a size (or width,
number of samples, cost; the mean over seeds),
and its interval is Student's with ``n - 2`` degrees of freedom: what the points scatter about the law, from noise or
because the law is not exact, widens it. Points of single seeds would be more, but those of one size share its misfit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
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
SYMBOLS = {"n_sites": "N", "parameters": "P", "samples": "n", "cpu_s": "C"}  # what an error is fitted over
SCALINGS = {"parameters": "parameters", "samples": "samples", "cost": "cpu_s"}  # for one question at one size
FAMILY = ["question", "shape", "tracker", "family", "quantity", "s"]


@dataclass(frozen=True)
class Growth:
    """``error = prefactor * N^rate`` (``power``) or ``prefactor * exp(rate * N)`` (``exponential``).

    ``low`` and ``high`` bound ``rate`` at 95 %; ``scatter`` is the residual standard deviation of ``ln error``;
    ``sizes`` the number of points; ``symbol`` what stands for N.
    """

    law: str
    rate: float
    low: float
    high: float
    prefactor: float
    scatter: float
    sizes: int
    symbol: str = "N"

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
        return f"{self.symbol}^{self.rate:.2f}" if self.law == "power" else f"exp({self.rate:.2g} {self.symbol})"

    def __str__(self) -> str:
        interval = f"95 %: {self.low:.2g} to {self.high:.2g}"
        return f"no law can be inferred, {interval}" if self.grows is None else f"error ∝ {self.form}, {interval}"


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


def scalings(summary: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Power laws of the error over ``axis`` of ``SCALINGS``, for each question, size, tracker and family of networks.

    A family is an architecture with any options: ``gru(width=8)`` and ``gru(width=32)`` are two of its points. Columns
    as of ``laws``.
    """
    column = SCALINGS[axis]
    last = last_times(scalars(summary)).dropna(subset=[column])
    fitted = []
    for key, rows in last.groupby(FAMILY, sort=True):
        points = rows.groupby(column)["error"].mean()
        law = fit(points.index.to_numpy(), points.to_numpy())
        if law is not None:
            law = replace(law, symbol=SYMBOLS[column])
            told = {"task": rows.system.iloc[0], "architecture": rows.family.iloc[0], "t": rows.t.max()}
            fitted.append({**dict(zip(FAMILY, key)), **told, **vars(law), "growth": law})
    return pd.DataFrame(fitted, columns=[*FAMILY, "task", "architecture", "t", *Growth.__dataclass_fields__, "growth"])


def sentences(fitted: pd.DataFrame) -> list[str]:
    """The laws in words; where two families of networks answer one question, which falls faster."""
    lines = [
        f"{law.task}{f' {law.shape}' if 'shape' in fitted else ''}, {law.architecture}, s = {law.s:g}, t = {law.t:g}: "
        f"{law.growth}."
        for law in fitted.itertuples()
    ]
    if "family" not in fitted:
        return lines
    for _, rows in fitted.groupby([name for name in FAMILY if name != "family"], sort=True):
        lines += [_contrast(*pair) for pair in combinations(list(rows.itertuples()), 2)]
    return lines


def _contrast(law: Any, other: Any) -> str:
    """Two exponents, whose difference has the root of the summed squares of their intervals' half widths."""
    apart = law.rate - other.rate
    width = math.hypot(law.high - law.low, other.high - other.low) / 2
    where = f"{law.task} {law.shape}, s = {law.s:g}"
    if not abs(apart) > width:
        return f"{where}: the exponents of {law.family} and {other.family} do not differ by more than they scatter."
    names = (law.family, other.family) if apart < 0 else (other.family, law.family)
    return f"{where}: {names[0]} falls faster than {names[1]}, by {abs(apart):.2f} ± {width:.2g} in the exponent."


def _usable(n_sites: Any, error: Any) -> tuple[np.ndarray, np.ndarray]:
    n, y = np.asarray(n_sites, float), np.asarray(error, float)
    used = np.isfinite(y) & (y > NOTHING)
    return n[used], y[used]
