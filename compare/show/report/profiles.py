"""Spatial profiles beside the exact ones: lines for chains, maps for planes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from vanbench.compare.show.escape import label as shown
from vanbench.compare.show.report.marks import bar_words, bars, draw_points, sites, spread
from vanbench.compare.show.report.svg import INK, axes
from vanbench.exact.definitions.quantities import row_of

FIXED = 1e-9  # of a density or a spin from a whole number, below which its site does not fluctuate
ROUNDING = 1e-15  # half the width of a colour scale over differences that are all zero


def profiles(rows: pd.DataFrame, networks: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    """Quantities by site at the last time and the largest shape, beside the exact ones."""
    for quantity in sorted(rows.quantity.unique()):
        here = rows[rows.quantity == quantity]
        here = here[(here.n_sites == here.n_sites.max()) & (here.t == here.t.max())]
        shape = tuple(int(length) for length in str(here["shape"].iloc[0]).split("x"))
        for s in spread(sorted(here.s.unique()), 2):
            at = here[here.s == s].sort_values("site")
            where = f"t = {at.t.iloc[0]:g}, s = {s:g}, {sites(at['shape'].iloc[0], at)}"
            counts = at.groupby("architecture").site.count()
            if len(shape) == 2 and min(shape) > 1 and (counts == shape[0] * shape[1]).all():
                yield from _plane(at, networks, quantity, shape, where)
            else:
                yield _chain(at, networks, quantity, where)


def _chain(rows: pd.DataFrame, networks: Sequence[str], quantity: str, where: str) -> tuple[str, Any, str]:
    figure, axis = axes()
    exact = rows.drop_duplicates("site")
    axis.plot(exact.site + 1, exact.exact, color=INK, lw=1)
    present = list(rows.architecture.unique())
    for index, network in enumerate(present):
        points = rows[rows.architecture == network]
        aside = 0.12 * (index - (len(present) - 1) / 2)
        draw_points(axis, networks, network, points.site + 1 + aside, points.value, bars(points))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("site (row-major, from 1)")
    axis.set_ylabel(shown(row_of(quantity).heading))
    return (
        f"{row_of(quantity).heading}, s = {rows.s.iloc[0]:g}",
        figure,
        f"Line: exact; points: networks. {where}; {bar_words(rows)}.",
    )


def _plane(
    rows: pd.DataFrame, networks: Sequence[str], quantity: str, shape: tuple[int, ...], where: str
) -> Iterator[tuple[str, Any, str]]:
    """The exact map, then each network minus it on one scale."""
    exact = rows.drop_duplicates("site")
    name = row_of(quantity).heading
    if exact.exact.notna().all():
        aside = " Sites fixed at 0 or 1 are off the scale." if len(_free(exact.exact)) < len(exact) else ""
        yield f"{name}: exact", _image(exact.exact, shape, "viridis", None), f"Exact vector. {where}.{aside}"
    off = rows.assign(off=rows.value - rows.exact)
    limit = max(float(off.off.abs().max()), ROUNDING)
    for network in [label for label in networks if label in set(rows.architecture)]:
        here = off[off.architecture == network]
        if here.off.notna().all():
            image = _image(here.off, shape, "RdBu_r", limit)
            yield f"{name}: {network} − exact", image, f"Network minus exact; one scale for all networks. {where}."
        else:
            yield f"{name}: {network}", _image(here.value, shape, "viridis", None), f"No exact values. {where}."


def _free(values: pd.Series) -> pd.Series:
    """The values that are not whole numbers, or all if there are none: a pinned site would take the colour scale."""
    free = values[(values - values.round()).abs() > FIXED]
    return free if len(free) else values


def _image(values: pd.Series, shape: tuple[int, ...], colours: str, limit: float | None) -> Any:
    figure, axis = axes()
    axis.grid(False)
    free = _free(values)
    span = {"vmin": free.min(), "vmax": free.max()} if limit is None else {"vmin": -limit, "vmax": limit}
    mesh = axis.pcolormesh(values.to_numpy().reshape(shape), cmap=colours, **span)
    axis.invert_yaxis()
    axis.set_aspect("equal")
    for name, length in zip("yx", shape):
        keep = spread(list(range(length)), 8)
        getattr(axis, f"set_{name}ticks")([k + 0.5 for k in keep], [str(k + 1) for k in keep])
    axis.set_xlabel("column")
    axis.set_ylabel("row")
    bar = figure.colorbar(mesh, ax=axis)
    bar.outline.set_visible(False)
    bar.ax.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
    return figure
