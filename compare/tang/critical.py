"""(b), (c) The critical field ``s_c(N, t)``, the maximum of ``-chi_t(s)``; its exponents and their collapse.

``s_c(N) ~ N^-alpha`` in the long-time limit, ``s_c(N, t) ~ t^-beta`` before it; the collapse is ``s_c(N, t) / s_c(N)``
over ``N^-alpha t^beta``. Published for 2D South-East: alpha = 1.39, beta = 0.99.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from exact import published
from exact.library import FOLDER

from ..parse import shape_text
from . import draw
from .values import Curves, derivatives, exact_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALPHA, BETA = 1.39, 0.99  # published, 2D South-East
STILL = 1.5  # a peak within this factor of the long-time one is no longer moving with t
MIN_T = 5.0  # before it there is no peak of its own, only that at s = 0
STANDS, LATE = 1.5, 200.0
SETTLED = 0.1  # a field that moved by less between the last two times of a run is taken for the long-time one
CLEAR = 0.99  # of the draws of clones that have a peak: fewer, and it is noise
DRAWS = 200  # of the clones' ln Z within its standard errors
FAMILIES = {
    ("east", 2): "2D South-East",
    ("fa", 2): "2D FA",
    ("east", 3): "3D South-East-Front",
    ("east", 1): "1D East",
    ("fa", 1): "1D FA",
}
SIZES = {("east", 2): (3, 4, 5), ("fa", 2): (3, 4, 5), ("east", 3): (2, 3)}  # with an exact table
SIZES |= {(name, 1): (16, 20, 24) for name in ("east", "fa")}


def peaks(found: Curves) -> pd.DataFrame:
    """``t, s_c, height`` wherever ``-chi`` has a maximum inside the grid of ``s`` that stands ``STANDS`` times above
    its value at the smallest field: a lower one is lost in the noise of second derivatives, and early on is not yet
    that of the transition. In exact tables a lower one counts from ``LATE`` on, unless it is next to an end. Between
    the fields it is a parabola in ``ln s`` through the highest three. Of clones with the spread over draws of ``ln Z``
    within its standard errors, and the share of the draws that have a peak at all."""
    rows = []
    drawn = _drawn(found) if found.source == "clones" else None
    for j, t in enumerate(found.t):
        known = np.isfinite(found.chi[:, j])
        if t < MIN_T or np.isclose(t, 999.05) or known.sum() < 5:
            continue
        s = found.s[known]
        peak = _peak(s, found.chi[known, j], found.source == "exact" and t >= LATE)
        if peak is None:
            continue
        row = {"t": t, "s_c": peak[0], "height": peak[1]}
        if drawn is not None:
            others = [one[0] for chi in drawn[:, known, j] if (one := _peak(s, chi)) is not None]
            row |= {"s_c_stderr": np.std(others, ddof=1), "share": len(others) / DRAWS}
        rows.append(row)
    return pd.DataFrame(rows, columns=["t", "s_c", "height", "s_c_stderr", "share"])


def _drawn(found: Curves) -> np.ndarray:
    """``-chi`` of ``DRAWS`` copies of ``ln Z`` with its noise once more, ``(DRAWS, n_s, n_t)``; independent fields."""
    noise = np.random.default_rng(1).standard_normal((DRAWS, *found.ln_z.shape)) * found.stderr
    return np.stack([derivatives(found.s, found.t, found.ln_z + one, found.n)[1] for one in noise])


def _peak(s: np.ndarray, value: np.ndarray, low: bool = False) -> tuple[float, float] | None:
    """Place and height of the maximum, None where it is at an end or, as `peaks` says, too low to be told."""
    best = int(np.argmax(value))
    told = value[best] > STANDS * value[0] or (low and 1 < best < len(s) - 2)
    if not (0 < best < len(s) - 1 and told):
        return None
    place, height = _top(np.log(s[best - 1 : best + 2]), value[best - 1 : best + 2])
    return float(np.exp(place)), height


def _top(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The maximum of the parabola through three points."""
    a, b, c = np.polyfit(x - x[1], y, 2)
    return float(x[1] - b / (2 * a)), float(c - b * b / (4 * a))


def table(found: Sequence[Curves]) -> pd.DataFrame:
    """``system, shape, n_sites, source`` and the columns of `peaks`: of every run, and of the exact tables of the same
    families."""
    every = list(found)
    for (system, dimension), lengths in SIZES.items():
        exact = [exact_curves(system, (length,) * dimension) for length in lengths]
        every += [one for one in exact if one is not None]
    parts = [
        peaks(one).assign(system=one.system, shape=shape_text(one.shape), n_sites=one.n, source=one.source)
        for one in every
        if (one.system, len(one.shape)) in FAMILIES
    ]
    both = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return both[["system", "shape", "n_sites", "source", "t", "s_c", "height", "s_c_stderr", "share"]]


def steady(rows: pd.DataFrame, folder: Path = FOLDER) -> pd.DataFrame:
    """The long-time ``s_c(N)``: of the largest eigenvalue where that is stored, else of the exact table at t = 1000 or
    of a network at its last time, where it no longer moves; and the published value of 2D South-East, L = 6."""
    out = []
    exact = rows[(rows.source == "exact") & np.isclose(rows.t, 1000)]
    for one in exact.itertuples():
        out.append(_steady(one.system, one.shape, one.n_sites, one.s_c, "exact, t = 1000"))
    certain = set(zip(exact.system, exact["shape"]))
    for (system, shape), group in rows[rows.source == "network"].groupby(["system", "shape"]):
        last = group.sort_values("t").tail(2)
        if (system, shape) not in certain and len(last) == 2 and np.ptp(last.s_c) < SETTLED * last.s_c.iloc[1]:
            end = last.iloc[1]
            out.append(_steady(system, shape, end.n_sites, end.s_c, f"network, t = {end.t:g}"))
    for length, value in published.CRITICAL.items():
        shape = f"{length}x{length}"
        if length in published.WINDOW:
            out = [row for row in out if (row["system"], row["shape"]) != ("east", shape)]
            s_c = published.critical_field(length, folder)[1]
            out.append(_steady("east", shape, length**2, s_c, "exact, largest eigenvalue"))
        else:
            out.append(_steady("east", shape, length**2, value, "published"))
    return pd.DataFrame(out)


def _steady(system: str, shape: str, n: int, s_c: float, source: str) -> dict[str, object]:
    return {"system": system, "shape": shape, "n_sites": n, "s_c": s_c, "source": source}


def exponents(rows: pd.DataFrame, long: pd.DataFrame) -> pd.DataFrame:
    """``alpha`` from the long-time fields measured here (one fit of all sizes, one of the largest two), ``beta`` from
    the moving part of ``s_c(N, t)`` of each source and size."""
    out = []
    for (system, dimension), name in FAMILIES.items():
        mine = long[(long.system == system) & (_dimension(long) == dimension)]
        measured = mine[mine.source != "published"].sort_values("n_sites")
        choices = {len(measured): measured, 2: measured.tail(2)} if len(measured) >= 2 else {}
        for points in choices.values():
            slope = _slope(points.n_sites, points.s_c)
            sizes = ", ".join(
                f"{shape} ({source.split(',')[0]})" for shape, source in zip(points["shape"], points.source)
            )
            out.append({"model": name, "exponent": "alpha", "value": -slope, "points": len(points), "from": sizes})
        fields = dict(zip(mine["shape"], mine.s_c))
        local = rows[(rows.system == system) & (_dimension(rows) == dimension) & _clear(rows)]
        for (_, shape, source), group in local.groupby(["n_sites", "shape", "source"]):
            group = group.sort_values("t")
            moving = group[group.s_c > STILL * fields.get(shape, group.s_c.min())]
            if shape not in fields and len(moving) < 2:
                moving = group
            moving = moving[moving.t >= moving.t[moving.s_c.idxmax()]] if len(moving) else moving
            if len(moving) >= 2:
                spread = f"{shape}, {source}, t = {moving.t.min():g} to {moving.t.max():g}"
                value = -_slope(moving.t, moving.s_c)
                out.append({"model": name, "exponent": "beta", "value": value, "points": len(moving), "from": spread})
    return pd.DataFrame(out)


def _clear(rows: pd.DataFrame) -> pd.Series:
    """All but the peaks of clones that too few draws have."""
    return (rows.source != "clones") | (rows.share >= CLEAR)


def _slope(x: pd.Series, y: pd.Series) -> float:
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def figure(rows: pd.DataFrame, long: pd.DataFrame, found: pd.DataFrame) -> Figure:
    """Left: ``s_c(N, t)``; middle: ``s_c(N)``; right: the collapse, of 2D South-East with the published exponents, of
    the others with those ``found``: of all sizes, and of the largest. Where fewer than two sizes have a long-time field
    the left alone."""
    models = [key for key in FAMILIES if ((rows.system == key[0]) & (_dimension(rows) == key[1]) & _clear(rows)).any()]
    drawn, axes = draw.new(3, len(models), 4.2, 3.2)
    for row, key in zip(axes, models):
        mine = rows[(rows.system == key[0]) & (_dimension(rows) == key[1]) & _clear(rows)]
        fields = long[(long.system == key[0]) & (_dimension(long) == key[1])]
        alpha, beta = _of(found, FAMILIES[key])
        _over_time(row[0], mine, fields, FAMILIES[key], beta)
        if len(fields) >= 2:
            _over_size(row[1], fields, alpha)
            _collapse(row[2], mine, fields, alpha, beta)
        else:
            row[1].set_axis_off()
            row[2].set_axis_off()
    return drawn


def _of(found: pd.DataFrame, name: str) -> tuple[float, float]:
    mine = found[found.model == name]
    alpha, beta = (mine[mine.exponent == which].value for which in ("alpha", "beta"))
    if name == "2D South-East":
        return ALPHA, BETA
    return float(alpha.iloc[0]) if len(alpha) else ALPHA, float(beta.iloc[-1]) if len(beta) else BETA


def _dimension(rows: pd.DataFrame) -> pd.Series:
    return rows["shape"].str.count("x") + 1


FIELDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # ticks
MARKS = {"exact": "-", "clones": "x", "network": "o"}


def _over_time(axis, rows: pd.DataFrame, long: pd.DataFrame, name: str, beta: float) -> None:
    for colour, (_, group) in zip(draw.COLOURS, rows.groupby("n_sites")):
        shape = group["shape"].iloc[0]
        for source, line in group.groupby("source"):
            line = line.sort_values("t")
            axis.plot(line.t, line.s_c, MARKS[source], color=colour, ms=4, mfc="none", label=f"{shape}, {source}")
            axis.errorbar(line.t, line.s_c, line.s_c_stderr, fmt="none", color=colour, elinewidth=0.8, capsize=2)
        for field in long[long["shape"] == shape].s_c:
            axis.axhline(field, color=colour, ls=":", lw=1)
    largest = rows[rows.n_sites == rows.n_sites.max()]
    start = largest.loc[largest.s_c.idxmax()]
    t = start.t * np.array([1.0, 10.0])
    axis.plot(t, start.s_c * np.array([1.0, 10.0]) ** -beta, "k--", lw=1, label=f"t^-{beta:.2f}")
    axis.set(xscale="log", yscale="log", xlabel="t", ylabel="s_c(N, t)", title=name)
    draw.plain_ticks(axis.yaxis, FIELDS)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=6)


def _over_size(axis, long: pd.DataFrame, alpha: float) -> None:
    for source, group in long.groupby("source"):
        axis.plot(group.n_sites, group.s_c, "s" if source == "published" else "o", mfc="none", label=source)
    n = np.array([long.n_sites.min(), long.n_sites.max()], float)
    middle = np.exp(np.log(long.n_sites).mean()), np.exp(np.log(long.s_c).mean())
    axis.plot(n, middle[1] * (n / middle[0]) ** -alpha, "k--", lw=1, label=f"N^-{alpha:.2f}")
    axis.set(xscale="log", yscale="log", xlabel="N", ylabel="s_c(N), long times")
    draw.plain_ticks(axis.xaxis, sorted(set(long.n_sites)))
    draw.plain_ticks(axis.yaxis, FIELDS)
    axis.set_ylim(long.s_c.min() / 1.3, long.s_c.max() * 1.3)
    axis.legend()


def _collapse(axis, rows: pd.DataFrame, long: pd.DataFrame, alpha: float, beta: float) -> None:
    fields = dict(zip(long["shape"], long.s_c))
    for colour, (_, group) in zip(draw.COLOURS, rows.groupby("n_sites")):
        shape = group["shape"].iloc[0]
        if shape not in fields:
            continue
        for source, line in group.groupby("source"):
            line = line.sort_values("t")
            x = line.n_sites.astype(float) ** -alpha * line.t**beta
            y, bar = line.s_c / fields[shape], line.s_c_stderr / fields[shape]
            axis.plot(x, y, MARKS[source], color=colour, ms=4, mfc="none")
            axis.errorbar(x, y, bar, fmt="none", color=colour, elinewidth=0.8, capsize=2)
    axis.axhline(1.0, color="k", lw=0.8)
    axis.set(xscale="log", yscale="log", xlabel="N^-α t^β", ylabel="s_c(N, t) / s_c(N)")
    draw.plain_ticks(axis.yaxis, (1, 2, 3, 5, 10))
    draw.plain_ticks(axis.xaxis, 10.0 ** np.arange(-4, 4))
    axis.set_title(f"α = {alpha:.2f}, β = {beta:.2f}")
