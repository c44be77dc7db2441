"""(a) k_t(s) over (s, t), networks beside exact values or, where none are, clones; (e) the same of the 1D chains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.run.exact_tables import PUBLISHED_LAST
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import label as safe
from vanbench.compare.studies.tang2024.values import DRAWN, Curves, convex, derivatives, exact_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_TIMES = 6  # lines of a panel of curves
MISSING = "lightgrey"


def grouped(curves: Sequence[Curves]) -> list[dict[str, Curves]]:
    """The sources of each system and shape: ``network``, ``clones``, and ``exact`` from the stored tables."""
    groups: dict[tuple[str, tuple[int, ...]], dict[str, Curves]] = {}
    for curve in curves:
        groups.setdefault((curve.system, curve.shape), {})[curve.source] = curve
    for (system, shape), sources in groups.items():
        exact = exact_curves(system, shape)
        if exact is not None:
            sources["exact"] = exact
    return [groups[key] for key in sorted(groups, key=lambda key: (len(key[1]), key[0], key[1])) if groups[key]]


def reference(sources: dict[str, Curves]) -> Curves:
    """What has ``k`` for certain: the exact table, else the clones, else the network itself."""
    exact = sources.get("exact")
    if exact is not None and np.isfinite(exact.k).all():
        return exact
    return sources.get("clones") or sources["network"]


def heat_maps(groups: Sequence[dict[str, Curves]]) -> Figure:
    """A row a system and size: the reference, the network, and curves of both over ``s`` at several times."""
    figure, axes = canvas.new(3, len(groups), 4.2, 3.1)
    for row, sources in zip(axes, groups):
        known, network = reference(sources), sources.get("network")
        top = float(np.nanmax(known.k))
        shown = [known] if network in (None, known) else [known, network]
        used = row[1:2] if known is network else row[: len(shown)]  # networks stand in the middle
        images = [_map(axis, curve, top) for axis, curve in zip(used, shown)]
        left, right, low, high = np.array([(*axis.get_xlim(), *axis.get_ylim()) for axis in used]).T
        for axis in row[:2]:
            if axis in used:  # the same axes, so that the maps can be laid over each other
                axis.set(xlim=(left.min(), right.max()), ylim=(low.min(), high.max()))
            else:
                axis.set_axis_off()
        bar = figure.colorbar(images[-1], ax=used[-1], pad=0.02)
        bar.set_label("activity k, events per site and time")
        _lines(row[2], known, network)
    clones = any(reference(sources).source == "clones" for sources in groups)
    label = "grey: not run" + (", or too noisy" if clones else "")
    figure.legend(handles=[Patch(facecolor=MISSING, hatch="//", edgecolor="w", label=label)], loc="outside lower left")
    return figure


def _map(axis: Any, curve: Curves, top: float) -> Any:
    inside = (curve.t >= DRAWN[0]) & (curve.t <= DRAWN[1]) & ~np.isclose(curve.t, PUBLISHED_LAST)
    colours = matplotlib.colormaps["viridis"].with_extremes(bad="none")
    axis.patch.set(facecolor=MISSING, hatch="//", edgecolor="w")
    s, t = _edges(curve.s), _edges(curve.t[inside])
    image = axis.pcolormesh(
        s, t, np.ma.masked_invalid(curve.k[:, inside].T), vmin=0, vmax=top, cmap=colours, rasterized=True
    )
    axis.set(xscale="log", yscale="log", xlabel="s", ylabel="t", xlim=(s[0], s[-1]), ylim=(t[0], t[-1]))
    axis.set_title(safe(f"{curve.title}: {curve.source}"))
    axis.grid(False)
    return image


def _edges(values: np.ndarray) -> np.ndarray:
    """Of cells around ``values`` that meet half-way on a logarithmic axis."""
    x = np.log(values)
    if len(x) == 1:
        return np.exp([x[0] - 0.1, x[0] + 0.1])
    middle = (x[1:] + x[:-1]) / 2
    return np.exp(np.concatenate([[2 * x[0] - middle[0]], middle, [2 * x[-1] - middle[-1]]]))


def _lines(axis: Any, known: Curves, network: Curves | None) -> None:
    """``k`` over ``s`` at some of the times, the first and the last among them; where only the network has one, its
    points are joined by a thin line."""
    shown = known if network is None else network
    every = [t for t in shown.t if np.isfinite(shown.k[:, shown.at(t)]).any()]
    times = [every[i] for i in sorted({*np.linspace(0, len(every) - 1, SHOWN_TIMES).round().astype(int)})]
    for colour, t in zip(canvas.shades(len(times)), times):
        there = known.at(t) >= 0 and bool(np.isfinite(known.k[:, known.at(t)]).any())
        if there:
            axis.plot(known.s, known.k[:, known.at(t)], "-", color=colour)
        if network is not None and network is not known:
            run = np.isfinite(network.k[:, network.at(t)])
            axis.plot(
                network.s[run], network.k[run, network.at(t)], "o" if there else "o-", color=colour, ms=3.5, lw=0.5
            )
        axis.plot([], [], "-", color=colour, label=f"t = {t:g}")
    axis.set(xscale="log", xlabel="s", ylabel="k", xlim=(shown.s[0] / 1.1, shown.s[-1] * 1.1))
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_title(f"lines: {known.source}" + ("" if network in (None, known) else ", points: network"))


def errors(groups: Sequence[dict[str, Curves]]) -> pd.DataFrame:
    """One row for each group with a network: its largest errors against the exact table and the clones."""
    rows = []
    for sources in groups:
        network = sources.get("network")
        for name in ("exact", "clones"):
            known = sources.get(name)
            if network is None or known is None:
                continue
            i, j, t = _common(network, known)
            if not (i and t[0]):
                continue
            of, truth = network.ln_z[np.ix_(i, t[0])], known.ln_z[np.ix_(j, t[1])]
            k = np.abs(network.k[np.ix_(i, t[0])] - known.k[np.ix_(j, t[1])])
            same = _same_spline(network, known, i, j, t)
            rows.append(
                {
                    "system": network.system,
                    "shape": shape_text(network.shape),
                    "t": f"{network.t[-1]:g}",
                    "fields": len(network.s),
                    "against": name,
                    "fields compared": len(i),
                    "ln Z, largest": np.nanmax(np.abs(of / truth - 1)),
                    "ln Z, median": np.nanmedian(np.abs(of / truth - 1)),
                    "k, largest": np.nanmax(k) if np.isfinite(k).any() else np.nan,
                    "of it spline": same,
                    "largest k": np.nanmax(known.k) if np.isfinite(known.k).any() else np.nan,
                    "CPU s": network.cpu_s,
                }
            )
    return pd.DataFrame(rows)


def _common(a: Curves, b: Curves) -> tuple[list[int], list[int], tuple[list[int], list[int]]]:
    """Indices of the fields and times that both have."""
    i, j = np.nonzero(np.isclose(a.s[:, None], b.s, rtol=1e-6))
    x, y = np.nonzero(np.isclose(a.t[:, None], b.t, rtol=1e-6))
    return list(i), list(j), (list(x), list(y))


def _same_spline(network: Curves, known: Curves, i: list[int], j: list[int], t: tuple[list[int], list[int]]) -> float:
    """The largest error that the spline alone makes in ``k``: the network's fields, with exact ``ln Z``."""
    if known.source != "exact" or len(i) < len(network.s) or not np.isfinite(known.k).any():
        return float("nan")
    s, times, ln_z = network.s, known.t[t[1]], known.ln_z[np.ix_(j, t[1])]
    k = convex(s, times, ln_z, derivatives(s, times, ln_z, network.n)[0], network.n)
    return float(np.nanmax(np.abs(k - known.k[np.ix_(j, t[1])])))
