"""(b), (c) The critical field ``s_c(N, t)``, the maximum of ``-chi_t(s)``, and its collapse.

The collapse, as published: ``s_c(N, t) / s_c(N)`` over ``N^alpha t^-beta``, with the `exponents` of the fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.run.exact_tables import CASES, FOLDER, PUBLISHED_LAST
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import label as safe
from vanbench.compare.studies.exact_tables import published
from vanbench.compare.studies.exact_tables.critical import WINDOW, critical, known
from vanbench.compare.studies.tang2024 import transition
from vanbench.compare.studies.tang2024.exponents import DRAWN, FAMILIES, dimension, of_model
from vanbench.compare.studies.tang2024.values import Curves, exact_curves
from vanbench.exact import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_T = 5.0  # before it there is no peak of its own, only that at s = 0
STANDS, LATE = 1.5, 200.0
ENOUGH = 8  # fields at which the largest eigenvalue is known, for its transition
CLEAR = 0.99  # of the draws of clones that have a peak: fewer, and it is noise
DRAWS = 200  # of the clones' ln Z within its standard errors
SIZES = {("east", 2): (3, 4, 5), ("fa", 2): (3, 4, 5), ("east", 3): (2, 3)}  # with an exact table
SIZES |= {(name, 1): (16, 20, 24) for name in ("east", "fa")}


def peaks(curve: Curves) -> pd.DataFrame:
    """``t, s_c, height`` wherever ``-chi`` has a maximum inside the grid of ``s`` that stands ``STANDS`` times above
    its value at the smallest field: a lower one is lost in the noise of second derivatives, and early on is not yet
    that of the transition. In exact tables a lower one counts from ``LATE`` on, unless it is next to an end. Between
    the fields it is where `transition.place` puts it. Of clones with the spread over draws of ``ln Z`` within its
    standard errors, and the share of the draws that have a peak at all."""
    rows = []
    drawn = _drawn(curve) if curve.source == "clones" else None
    for j, t in enumerate(curve.t):
        known = np.isfinite(curve.chi[:, j])
        if t < MIN_T or np.isclose(t, PUBLISHED_LAST) or known.sum() < 5:
            continue
        s = curve.s[known]
        scale = curve.n * t
        peak = _peak(s, curve.ln_z[known, j], scale * curve.chi[known, j], curve.source == "exact" and t >= LATE)
        if peak is None:
            continue
        row = {"t": t, "s_c": peak[0], "height": peak[1] / scale}
        if drawn is not None:
            both = [(y, transition.derivatives(s, y)[1]) for y in drawn[:, known, j]]
            others = [peak_drawn[0] for y, bend in both if (peak_drawn := _peak(s, y, bend)) is not None]
            row |= {"s_c_stderr": np.std(others, ddof=1), "share": len(others) / DRAWS}
        rows.append(row)
    return pd.DataFrame(rows, columns=["t", "s_c", "height", "s_c_stderr", "share"])


def _drawn(curve: Curves) -> np.ndarray:
    """``DRAWS`` copies of ``ln Z`` with its noise once more, ``(DRAWS, n_s, n_t)``; independent fields."""
    return curve.ln_z + np.random.default_rng(1).standard_normal((DRAWS, *curve.ln_z.shape)) * curve.stderr


def _peak(s: np.ndarray, y: np.ndarray, bend: np.ndarray, low: bool = False) -> tuple[float, float] | None:
    """Place and height of the maximum of ``bend``, the second derivative of ``y``; None where it is at an end or, as
    `peaks` says, too low to be told."""
    best = int(np.argmax(bend))
    told = bend[best] > STANDS * bend[0] or (low and 1 < best < len(s) - 2)
    return transition.place(s, y, bend) if 0 < best < len(s) - 1 and told else None


def with_exact(curves: Sequence[Curves]) -> list[Curves]:
    """Every run of a family, and the exact tables of the same families."""
    exact = [exact_curves(name, (n,) * dimension) for (name, dimension), lengths in SIZES.items() for n in lengths]
    every = [*curves, *(curve for curve in exact if curve is not None)]
    return [curve for curve in every if (curve.system, len(curve.shape)) in FAMILIES]


def table(every: Sequence[Curves]) -> pd.DataFrame:
    """``system, shape, n_sites, source`` and the columns of `peaks`. Raises ``InputError`` where none has one."""
    parts = [
        peaks(curve).assign(system=curve.system, shape=shape_text(curve.shape), n_sites=curve.n, source=curve.source)
        for curve in every
    ]
    told = [part for part in parts if len(part)]
    if not told:
        raise InputError("no run here bends most between its fields: give folders of runs with more of them.")
    return pd.concat(told, ignore_index=True)[
        ["system", "shape", "n_sites", "source", "t", "s_c", "height", "s_c_stderr", "share"]
    ]


def steady(every: Sequence[Curves], folder: Path = FOLDER) -> pd.DataFrame:
    """The long-time ``s_c(N)``, where the largest eigenvalue bends most: exactly, elsewhere of the largest Ritz value
    of a network; and the published value of 2D South-East, L = 6."""
    rows: list[tuple[str, tuple[int, ...], float, str]] = [("east", (6, 6), published.CRITICAL[6], "published")]
    exact = {(CASES[name].system, CASES[name].shape): name for name in WINDOW if known(name, folder)}
    rows += [(*key, critical(name, folder).s_c, "exact") for key, name in exact.items()]
    for curve in every:
        told = np.isfinite(curve.scgf)
        if (curve.system, curve.shape) not in exact and told.sum() >= ENOUGH:
            s, y = curve.s[told], curve.scgf[told]
            if peak := _peak(s, y, transition.derivatives(s, y)[1]):
                rows.append((curve.system, curve.shape, peak[0], "network"))
    fields = pd.DataFrame(rows, columns=["system", "shape", "s_c", "source"])
    fields.insert(2, "n_sites", [int(np.prod(shape)) for shape in fields["shape"]])
    return fields.assign(shape=fields["shape"].map(shape_text))


def distance(rows: pd.DataFrame) -> str:
    """How far the critical fields of networks are from those of the exact tables, a sentence."""
    by_source = rows.pivot_table(index=["system", "shape", "t"], columns="source", values="s_c")
    if not {"network", "exact"} <= set(by_source):
        return "no critical field of a network has an exact one beside it."
    off = (by_source.network / by_source.exact - 1).dropna()
    rms, most = np.sqrt((off**2).mean()), np.abs(off).max()
    return f"{len(off)} critical fields of networks are {rms:.2g} (rms) off the exact ones, {most:.2g} at most."


def clear(rows: pd.DataFrame) -> pd.Series:
    """All but the peaks of clones that too few draws have."""
    return (rows.source != "clones") | (rows.share >= CLEAR)


def figure(rows: pd.DataFrame, long: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Left: ``s_c(N, t)``; middle: ``s_c(N)``; right: the collapse.

    The collapse of 2D South-East uses the published exponents, that of the others ``fits``. A model with fewer than two
    long-time fields has the left panel alone.
    """
    models = [key for key in FAMILIES if ((rows.system == key[0]) & (dimension(rows) == key[1]) & clear(rows)).any()]
    drawn, axes = canvas.new(3, len(models), 4.2, 3.2)
    for row, key in zip(axes, models):
        mine = rows[(rows.system == key[0]) & (dimension(rows) == key[1]) & clear(rows)]
        fields = long[(long.system == key[0]) & (dimension(long) == key[1])]
        alpha, beta = of_model(fits, FAMILIES[key])
        _over_time(row[0], mine, fields, FAMILIES[key], beta)
        if len(fields) >= 2:
            _over_size(row[1], fields, alpha)
            _collapse(row[2], mine, fields, alpha, beta)
        else:
            row[1].set_axis_off()
            row[2].set_axis_off()
    return drawn


FIELDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # ticks
MARKS = {"exact": "-", "clones": "x", "network": "o"}


def _over_time(axis, rows: pd.DataFrame, long: pd.DataFrame, name: str, beta: float) -> None:
    for colour, (_, group) in zip(canvas.COLOURS, rows.groupby("n_sites")):
        shape = group["shape"].iloc[0]
        for source, line in group.groupby("source"):
            line = line.sort_values("t")
            axis.plot(line.t, line.s_c, MARKS[source], color=colour, ms=4, mfc="none", label=safe(f"{shape}, {source}"))
            axis.errorbar(line.t, line.s_c, line.s_c_stderr, fmt="none", color=colour, elinewidth=0.8, capsize=2)
        for field in long[long["shape"] == shape].s_c:
            axis.axhline(field, color=colour, ls=":", lw=1)
    fields = dict(zip(long["shape"], long.s_c))
    largest = rows[rows["shape"].isin(fields)]
    largest = largest[largest.n_sites == largest.n_sites.max()]
    if len(largest):
        rest = fields[largest["shape"].iloc[0]]
        early = largest[largest.s_c > (1 + DRAWN) * rest]
        factor = np.exp(np.log((early.s_c - rest) * early.t**beta).mean())
        t = np.geomspace(early.t.min(), rows.t.max(), 50)
        axis.plot(t, rest + factor * t**-beta, "k--", lw=1, label=rf"$s_c(N) + a\,t^{{-{beta:.2f}}}$")
    axis.set(xscale="log", yscale="log", xlabel=r"$t$", ylabel=r"$s_c(N, t)$", title=name)
    canvas.plain_ticks(axis.yaxis, FIELDS)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=6)


def _over_size(axis, long: pd.DataFrame, alpha: float) -> None:
    for source, group in long.groupby("source"):
        axis.plot(group.n_sites, group.s_c, "s" if source == "published" else "o", mfc="none", label=safe(source))
    n = np.array([long.n_sites.min(), long.n_sites.max()], float)
    middle = np.exp(np.log(long.n_sites).mean()), np.exp(np.log(long.s_c).mean())
    axis.plot(n, middle[1] * (n / middle[0]) ** -alpha, "k--", lw=1, label=rf"$N^{{-{alpha:.2f}}}$")
    axis.set(xscale="log", yscale="log", xlabel=r"$N$", ylabel=r"$s_c(N)$, long times")
    canvas.plain_ticks(axis.xaxis, sorted(set(long.n_sites)))
    canvas.plain_ticks(axis.yaxis, FIELDS)
    axis.set_ylim(long.s_c.min() / 1.3, long.s_c.max() * 1.3)
    axis.legend()


def _collapse(axis, rows: pd.DataFrame, long: pd.DataFrame, alpha: float, beta: float) -> None:
    fields = dict(zip(long["shape"], long.s_c))
    for colour, (_, group) in zip(canvas.COLOURS, rows.groupby("n_sites")):
        shape = group["shape"].iloc[0]
        if shape not in fields:
            continue
        for source, line in group.groupby("source"):
            line = line.sort_values("t")
            x = line.n_sites.astype(float) ** alpha * line.t**-beta
            y, bar = line.s_c / fields[shape], line.s_c_stderr / fields[shape]
            axis.plot(x, y, MARKS[source], color=colour, ms=4, mfc="none")
            axis.errorbar(x, y, bar, fmt="none", color=colour, elinewidth=0.8, capsize=2)
    axis.axhline(1.0, color="k", lw=0.8)
    axis.set(xscale="log", yscale="log", xlabel=r"$N^\alpha t^{-\beta}$", ylabel=r"$s_c(N, t)\,/\,s_c(N)$")
    canvas.plain_ticks(axis.yaxis, (1, 2, 3, 5, 10))
    canvas.plain_ticks(axis.xaxis, 10.0 ** np.arange(-4, 5))
    axis.set_title(f"α = {alpha:.2f}, β = {beta:.2f}")
