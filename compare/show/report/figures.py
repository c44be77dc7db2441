"""The figures of a report: small panels of one idea each, drawn from ``collect.summarise``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.judge.collect import scalars
from vanbench.compare.judge.growth import NOTHING, growth
from vanbench.compare.show.canvas import PART_MARKERS
from vanbench.compare.show.escape import label
from vanbench.compare.show.report.marks import bar_words, bars, draw_points, log_bars, sites, spread
from vanbench.compare.show.report.profiles import profiles
from vanbench.compare.show.report.svg import INK, PART_COLOURS, Panel, axes, decades, inline, series, style
from vanbench.exact.definitions.quantities import in_order, row_of

MOST_SHAPES = 3  # with their own curves: the smallest, the middle, the largest
MOST_FIELDS = 4  # values of s in one panel
LOG_SPAN = 30.0  # of the times, above which their axis is logarithmic
MIN_GRID = 2  # values of s and of t that make a map


def task_panels(rows: pd.DataFrame, networks: Sequence[str], key: str) -> Iterator[Panel]:
    """Every figure that the records of one task allow. ``networks`` fixes their colours; ``key`` the ids."""
    scalar = scalars(rows)
    number = 0
    with style():
        for draw in (_curves, _sizes, _maps):
            for title, figure, caption in draw(scalar, networks):
                yield Panel(title, inline(figure, f"{key}-{number}"), caption)
                number += 1
        for title, figure, caption in profiles(rows[rows.site.notna()], networks):
            yield Panel(title, inline(figure, f"{key}-{number}"), caption)
            number += 1


def size_panel(rows: pd.DataFrame, networks: Sequence[str], quantity: str, title: str, key: str) -> Panel:
    """The error of ``quantity`` over size, of every network, at the last time and one s."""
    with style():
        where = f"t = {rows.t.max():g}, s = {rows.s.iloc[0]:g}"
        _, figure, caption = over_size(rows.sort_values("n_sites"), networks, quantity, where)
        return Panel(title, inline(figure, key), caption)


def _curves(rows: pd.DataFrame, networks: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """ln Z of a few shapes, absolutely and against continuous time; every other quantity of the largest shape."""
    for quantity in in_order(rows.quantity):
        here = rows[rows.quantity == quantity]
        shapes = spread(_shapes(here), MOST_SHAPES)
        for shape in shapes if quantity == "ln_Z" else shapes[-1:]:
            at = here[here["shape"] == shape]
            yield curve(at, networks, quantity, shape)
            if quantity == "ln_Z" and at.exact.notna().any():
                yield residual(at, networks, quantity, shape)


def curve(rows: pd.DataFrame, networks: Sequence[str], quantity: str, shape: str) -> tuple[str, Any, str]:
    """``quantity`` over time: exact vectors as lines, networks as points; ``ln_Z`` is divided by N."""
    per = rows.n_sites.iloc[0] if row_of(quantity).extensive else 1
    figure, axis = axes()
    fields = spread(sorted(rows.s.unique()), MOST_FIELDS)
    for s in fields:
        here = rows[rows.s == s].sort_values("t")
        line = here.drop_duplicates("t")
        _line(axis, line.t, line.exact / per)
        _line(axis, line.t, line.scheme / per, dashed=True)
        present = list(here.architecture.unique())
        for index, network in enumerate(present):
            points = here[here.architecture == network]
            draw_points(
                axis, networks, network, _aside(points.t, index, present), points.value / per, bars(points) / per
            )
        end = here.iloc[-1]
        if len(fields) > 1:
            axis.annotate(
                f"s = {s:g}", (end.t, end.value / per), xytext=(9, -3), textcoords="offset points", fontsize=8
            )
    _time_axis(axis, rows.t)
    if len(fields) > 1:
        axis.margins(x=0.16)
    axis.set_ylabel(label(row_of(quantity).label))
    where = f"s = {fields[0]:g}" if len(fields) == 1 else f"{len(fields)} of {rows.s.nunique()} values of s"
    return (
        f"{row_of(quantity).heading}, {sites(shape, rows)}",
        figure,
        f"Points: networks; lines: exact vectors. {where}; {bar_words(rows)}.",
    )


def _line(axis: Any, t: pd.Series, y: pd.Series, dashed: bool = False) -> None:
    """Exact values over time; at one time a level, since a line of one point cannot be seen."""
    look: dict[str, Any] = {"color": INK, "lw": 1, "ls": (0, (4, 3)) if dashed else "-"}
    if len(t) > 1:
        axis.plot(t, y, **look)
    elif len(t) and np.isfinite(y.iloc[0]):
        axis.axhline(y.iloc[0], **look)


def residual(rows: pd.DataFrame, networks: Sequence[str], quantity: str, shape: str) -> tuple[str, Any, str]:
    """The networks and the exact vector under the same time steps, both minus continuous time, per site."""
    s = worst_field(rows)
    rows = rows[rows.s == s].sort_values("t")
    n = rows.n_sites.iloc[0]
    figure, axis = axes()
    line = rows.drop_duplicates("t")
    axis.axhline(0, color=INK, lw=1)
    _line(axis, line.t, (line.scheme - line.exact) / n, dashed=True)
    present = list(rows.architecture.unique())
    for index, network in enumerate(present):
        points = rows[rows.architecture == network]
        aside = _aside(points.t, index, present)
        draw_points(axis, networks, network, aside, (points.value - points.exact) / n, bars(points) / n)
    _time_axis(axis, rows.t)
    axis.ticklabel_format(axis="y", scilimits=(-3, 3), useMathText=True)
    axis.set_ylabel("(ln Z − exact) / N")
    return (
        f"Error of {row_of(quantity).heading}, {sites(shape, rows)}",
        figure,
        f"Signed, per site, at s = {s:g} (the largest error). Zero: continuous time; dashed: the time steps' own.",
    )


def _sizes(rows: pd.DataFrame, networks: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """The error at the last time over size: all networks with their laws, then each network's parts."""
    for quantity in in_order(rows.quantity):
        here = rows[(rows.quantity == quantity) & (rows.t == rows.t.max())]
        if here.n_sites.nunique() < 2 or here.error.notna().sum() < 2:
            continue
        s = worst_field(here)
        here = here[here.s == s].sort_values("n_sites")
        where = f"t = {here.t.max():g}, s = {s:g}"
        yield over_size(here, networks, quantity, where)
        if quantity == "ln_Z":
            for network in [name for name in networks if name in set(here.architecture)]:
                yield split(here[here.architecture == network], network, where)


def over_size(rows: pd.DataFrame, networks: Sequence[str], quantity: str, where: str) -> tuple[str, Any, str]:
    """The total error of every network with its fitted growth law."""
    figure, axis = axes()
    laws = []
    for network in rows.architecture.unique():
        used = rows[(rows.architecture == network) & (rows.error > 0)]
        draw_points(axis, networks, network, used.n_sites, used.error, log_bars(used, "error"))
        law = growth(used.n_sites, used.error)
        if law is not None:
            n = np.linspace(used.n_sites.min(), used.n_sites.max(), 40)
            axis.plot(n, law.at(n), color=series(networks.index(network))["color"], lw=1, ls=":")
            laws.append(f"{network}: {law}")
    _size_axis(axis, rows)
    axis.set_ylabel(f"error of {label(row_of(quantity).heading)}")
    told = f" Dotted: {'; '.join(laws)}." if laws else " A growth law needs three sizes."
    return f"Error of {row_of(quantity).heading} over size", figure, f"{where}; {bar_words(rows)}.{told}"


def split(rows: pd.DataFrame, network: str, where: str) -> tuple[str, Any, str]:
    """The parts of one network's error over size."""
    figure, axis = axes()
    for name, colour in PART_COLOURS.items():
        used = rows[rows[name] > 0]
        if used.empty or (name == "network" and rows.projection.notna().all()):
            continue
        total = {"ms": 8, "mfc": "none"} if name == "error" else {}  # around the part that dominates it, not over it
        look = {"color": colour, "marker": PART_MARKERS[name], "capsize": 2, "lw": 1.1, **total}
        axis.errorbar(used.n_sites, used[name], log_bars(used, name), **look)
    _size_axis(axis, rows)
    axis.set_ylabel("part of the relative error")
    return f"Where the error comes from: {network}", figure, f"ln Z, {where}. A part that is zero is not drawn."


def _maps(rows: pd.DataFrame, networks: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """The error of ln Z per site over (s, t) at the largest shape, one panel a network, one scale for all."""
    rows = rows[(rows.quantity == "ln_Z") & (rows.n_sites == rows.n_sites.max()) & rows.error_per_site.notna()]
    shown = rows.error_per_site[rows.error_per_site > NOTHING]
    if rows.s.nunique() < MIN_GRID or rows.t.nunique() < MIN_GRID or shown.empty:
        return
    limits = shown.min(), shown.max()
    for network in [name for name in networks if name in set(rows.architecture)]:
        here = rows[rows.architecture == network]
        yield error_map(here, network, limits)


def error_map(rows: pd.DataFrame, network: str, limits: tuple[float, float]) -> tuple[str, Any, str]:
    from matplotlib.colors import LogNorm

    grid = rows.pivot_table(index="s", columns="t", values="error_per_site")
    figure, axis = axes()
    axis.grid(False)
    low, high = limits
    norm = LogNorm(low, max(high, low * 1.01))
    mesh = axis.pcolormesh(np.ma.masked_less_equal(grid.to_numpy(), NOTHING), norm=norm, cmap="viridis")
    for name, labels in (("x", grid.columns), ("y", grid.index)):
        keep = spread(list(range(len(labels))), 8)
        getattr(axis, f"set_{name}ticks")([k + 0.5 for k in keep], [f"{labels[k]:g}" for k in keep])
    axis.set_xlabel("time t (inverse rates)")
    axis.set_ylabel("counting field s")
    bar = figure.colorbar(mesh, ax=axis)
    bar.outline.set_visible(False)
    decades(bar.ax.yaxis)
    shape = rows["shape"].iloc[0]
    return (
        f"Error map: {network}",
        figure,
        f"|ln Z − exact| / N at {sites(shape, rows)}: at s = 0 there is no relative error. Blank: exact to rounding.",
    )


def worst_field(rows: pd.DataFrame) -> float:
    """The ``s`` of the largest error (relative, or per site where none is relative)."""
    for name in ("error", "error_per_site"):
        if rows[name].notna().any():
            return float(rows.loc[rows[name].idxmax(), "s"])
    return float(rows.s.iloc[0])


def _shapes(rows: pd.DataFrame) -> list[str]:
    return list(rows[["shape", "n_sites"]].drop_duplicates().sort_values("n_sites")["shape"])


def _aside(times: pd.Series, index: int, present: Sequence[str]) -> pd.Series:
    """Times moved a little, so that no network's bar hides another's."""
    return times * (1 + 0.012 * (index - (len(present) - 1) / 2))


def _time_axis(axis: Any, times: pd.Series) -> None:
    axis.set_xlabel("time t (inverse rates)")
    if times.nunique() == 1:  # ticks beside it would suggest a scale
        axis.set_xticks([times.iloc[0]])
    if times.min() > 0 and times.max() / times.min() > LOG_SPAN:
        axis.set_xscale("log")


def _size_axis(axis: Any, rows: pd.DataFrame) -> None:
    axis.set_yscale("log")
    decades(axis.yaxis)
    axis.set_xticks(spread(sorted(rows.n_sites.unique()), 8))
    axis.margins(x=0.1)
    axis.set_xlabel("sites N")
