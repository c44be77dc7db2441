"""The exponents of the critical field, fitted as published: Tang et al., Nat. Commun. 15, 1117 (2024).

``s_c(N) ~ N^-alpha`` at long times: a line through ``ln s_c(N)`` over ``-ln N``. ``s_c(N, t) - s_c(N) ~ t^-beta`` at
short ones: a line through ``ln[s_c(N, t) - s_c(N)]`` over ``-ln t``. Where the short times end is not published, so
``beta`` is given for each of ``CUTS``: the times at which the difference exceeds that share of ``s_c(N)``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from vanbench.exact.statistics import slope

ALPHA, BETA = 1.39, 0.99  # published, 2D South-East
CUTS = (0.02, 0.05, 0.1, 0.15, 0.3, 0.5)
DRAWN = 0.1  # the cut of the exponents in the figure
FAMILIES = {
    ("east", 2): "2D South-East",
    ("fa", 2): "2D FA",
    ("east", 3): "3D South-East-Front",
    ("east", 1): "1D East",
    ("fa", 1): "1D FA",
}


def dimension(rows: pd.DataFrame) -> pd.Series:
    return rows["shape"].str.count("x") + 1


def exponents(rows: pd.DataFrame, long: pd.DataFrame) -> pd.DataFrame:
    """``model, exponent, value, low, high, points, cut, from``, a row each fit.

    ``rows``: ``system, shape, n_sites, source, t, s_c``, the fields over time; ``long``: those of long times without
    ``t``. ``low`` and ``high`` are the 95 % limits that the scatter about the line gives, NaN for two points. ``alpha``
    is fitted to all sizes and to the largest two, ``beta`` to each size and source; cuts that keep the same times
    share a row.
    """
    fits = []
    for (system, d), name in FAMILIES.items():
        mine = long[(long.system == system) & (dimension(long) == d) & (long.source != "published")]
        fits += [{"model": name, "exponent": "alpha", **fit} for fit in _alphas(mine.sort_values("n_sites"))]
        fields = dict(zip(mine["shape"], mine.s_c))
        local = rows[(rows.system == system) & (dimension(rows) == d) & rows["shape"].isin(fields)]
        for (_, shape, source), group in local.groupby(["n_sites", "shape", "source"]):
            for fit in _betas(group.sort_values("t"), fields[shape]):
                fits.append({"model": name, "exponent": "beta", **fit, "from": f"{shape}, {source}, {fit['from']}"})
    return pd.DataFrame(fits, columns=["model", "exponent", "value", "low", "high", "points", "cut", "from"])


def of_model(fits: pd.DataFrame, name: str) -> tuple[float, float]:
    """``alpha, beta`` of the figure: those published of 2D South-East, elsewhere of all sizes and of the largest."""
    if name == FAMILIES["east", 2]:
        return ALPHA, BETA
    mine = fits[fits.model == name]
    alpha = mine[mine.exponent == "alpha"].value
    beta = mine[(mine.exponent == "beta") & mine.cut.str.split(", ").map(lambda cuts: f"{DRAWN:g}" in cuts)].value
    return float(alpha.iloc[0]) if len(alpha) else ALPHA, float(beta.iloc[-1]) if len(beta) else BETA


def _alphas(fields: pd.DataFrame) -> Iterator[dict]:
    for points in {len(fields): fields, 2: fields.tail(2)}.values() if len(fields) >= 2 else ():
        sizes = ", ".join(f"{shape} ({source})" for shape, source in zip(points["shape"], points.source))
        yield {**_fit(points.n_sites, points.s_c), "cut": "", "from": sizes}


def _betas(group: pd.DataFrame, long: float) -> Iterator[dict]:
    """Of the times from the largest field on: before it there is no transition yet, only the response to ``s``."""
    group = group[group.t >= group.t[group.s_c.idxmax()]]
    kept: dict[int, list[float]] = {}
    for cut in CUTS:
        below = ~(group.s_c - long > cut * long).to_numpy()
        kept.setdefault(int(below.argmax()) if below.any() else len(group), []).append(cut)
    for count, cuts in kept.items():
        if count >= 2:
            early = group.head(count)
            times = f"t = {early.t.min():g} to {early.t.max():g}"
            yield {**_fit(early.t, early.s_c - long), "cut": ", ".join(f"{cut:g}" for cut in cuts), "from": times}


def _fit(x: pd.Series, y: pd.Series) -> dict:
    """``-d ln y / d ln x``."""
    line = slope(-np.log(x), np.log(y))
    return {**line._asdict(), "points": len(x)}
