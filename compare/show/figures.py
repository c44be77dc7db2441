"""The figures a person looks at first: ln Z over time against both references, and the error over size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd

from vanbench.compare.judge.collect import collect, summarise, task_names
from vanbench.compare.judge.errors import PARTS, part_label
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import label as shown
from vanbench.exact.errors import unknown

MOST_SHAPES = 4  # columns of one figure; the largest ones are drawn
PART_COLOURS = dict(zip(("error", *PARTS), ("k", "tab:blue", "tab:red", "tab:green", "tab:purple")))
STYLES = ["-", "--", ":", "-."]


def write_plots(folder: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """``plots/<task>_ln_Z.png`` and ``plots/<task>_error.png`` for every task of the records under ``folder``, or in
    other ``formats``: pdf, svg. Raises ``InputError`` for a format that is none of these."""
    if wrong := [form for form in formats if form not in canvas.FORMATS]:
        raise unknown("format of a figure", wrong[0], list(canvas.FORMATS))
    summary = summarise(collect(folder))
    summary = summary[summary.quantity == "ln_Z"]
    written = []
    with matplotlib.rc_context(rc=canvas.STYLE):  # type: ignore[arg-type]
        for task, rows in summary.groupby(task_names(summary)):
            for name, draw in (("ln_Z", ln_z_over_time), ("error", error_over_size)):
                figure = draw(rows, str(task))
                paths = [folder / "plots" / f"{task}_{name}.{form}" for form in formats]
                written += [canvas.save(figure, path, folder) for path in paths]
    return written


def ln_z_over_time(rows: pd.DataFrame, title: str) -> Any:
    """Top: ln Z / N of the references (lines) and networks (points). Then both minus continuous time, and the networks
    minus the exact vector under the same time steps, where there is one.

    One column a shape; the smallest ``s`` alone where there are several (the error figure has all).
    """
    rows = rows[rows.s == rows.s.min()]
    shapes, networks = _shapes(rows), sorted(rows.architecture.unique())
    levels = 3 if rows.scheme.notna().any() else 2
    figure = canvas.blank(2.2 + 2.6 * len(shapes), 1.2 + 1.9 * levels, dpi=150)
    axes = figure.subplots(levels, len(shapes), sharex=True, squeeze=False)
    for column, shape in enumerate(shapes):
        here = rows[rows["shape"] == shape].sort_values("t")
        n = here.n_sites.iloc[0]
        _references(axes[:, column], here.drop_duplicates("t"), n)
        if here.t.nunique() == 1:  # references are levels then
            t = here.t.iloc[0]
            axes[0, column].set(xlim=(0.9 * t, 1.1 * t), xticks=[t])
        for index, network in enumerate(networks):
            points = here[here.architecture == network]
            for axis, below in zip(axes[:, column], (0.0, points.exact, points.scheme)):
                style: dict[str, Any] = {"fmt": "o", "ms": 3.5, "color": f"C{index + 1}", "capsize": 2, "lw": 1}
                shifted = points.t * (1 + 0.01 * (index - (len(networks) - 1) / 2))  # so that no bar hides another
                axis.errorbar(shifted, (points.value - below) / n, _bars(points) / n, label=shown(network), **style)
        axes[0, column].set_title(f"L = {shape}" if "x" not in shape else f"{shape} ({n} sites)")
        axes[-1, column].set_xlabel("time t (inverse rates)")
    for axis, label in zip(axes[:, 0], ("ln Z / N", "(ln Z − exact) / N", "(ln Z − exact,\nsame steps) / N")):
        axis.set_ylabel(label)
    _legend(figure, axes.ravel(), columns=len(shapes) + 1)
    s = rows.s.iloc[0]
    figure.suptitle(f"{shown(title)}: s = {s:g}; bars: {_bar_words(rows)}")
    return figure


def _references(axes: Any, curve: pd.DataFrame, n: int) -> None:
    """Both references, absolutely and against each other."""
    if curve.exact.notna().any():
        black: dict[str, Any] = {"color": "k", "ls": "-", "lw": 1}
        _line(axes[0], curve.t, curve.exact / n, label="exact, continuous time", **black)
        axes[1].axhline(0, color="k", lw=1)
    if curve.scheme.notna().any():
        blue: dict[str, Any] = {"color": "tab:blue", "ls": "--", "lw": 1}
        _line(axes[0], curve.t, curve.scheme / n, label="exact, same time steps", **blue)
        _line(axes[1], curve.t, (curve.scheme - curve.exact) / n, **blue)
        axes[2].axhline(0, **blue)


def _line(axis: Any, t: pd.Series, value: pd.Series, **style: Any) -> None:
    """Over time; at a single time a level."""
    if len(t) > 1:
        axis.plot(t, value, **style)
    else:
        axis.axhline(value.iloc[0], **style)


def _legend(figure: Any, axes: Any, columns: int) -> None:
    """One entry a label, whichever axis has it."""
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels()):
            entries.setdefault(label, handle)
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)


def error_over_size(rows: pd.DataFrame, title: str) -> Any:
    """The relative error of ln Z at the last time over the number of sites, with its parts; one column a network."""
    rows = rows[rows.t == rows.t.max()]
    networks = sorted(rows.architecture.unique())
    figure = canvas.blank(2.2 + 2.9 * len(networks), 3.9, dpi=150)
    axes = figure.subplots(1, len(networks), sharey=True, squeeze=False)
    fields = sorted(rows.s.unique())
    for axis, network in zip(axes[0], networks):
        for style, s in zip(np.resize(STYLES, len(fields)), fields):
            here = rows[(rows.architecture == network) & (rows.s == s)].sort_values("n_sites")
            for name, colour in PART_COLOURS.items():
                if name == "network" and here.projection.notna().all():
                    continue
                _part(axis, here, name, part_label(name) if s == fields[0] else None, colour, str(style))
        axis.set_yscale("log")
        axis.set_xticks(sorted(rows.n_sites.unique()))
        axis.set_xlabel("sites N")
        axis.set_title(shown(network))
    axes[0, 0].set_ylabel("relative error of ln Z")
    for style, s in zip(np.resize(STYLES, len(fields)), fields) if len(fields) > 1 else ():
        axes[0, 0].plot([], [], color="grey", ls=str(style), label=f"s = {s:g}")
    _legend(figure, axes.ravel(), columns=1 + len(networks))
    where = f"t = {rows.t.max():g}" + (f", s = {fields[0]:g}" if len(fields) == 1 else "")
    figure.suptitle(f"{shown(title)}: {where}; bars: {_bar_words(rows)}")
    return figure


def _part(axis: Any, here: pd.DataFrame, name: str, label: str | None, colour: str, style: str) -> None:
    """One part over size; a part that is exactly zero has no place on a log axis and is left out."""
    used = here[here[name] > 0]
    if used.empty:
        return
    sites, value = used.n_sites.to_numpy(), used[name].to_numpy()
    bars = used[f"{name}_se"].fillna(0.0).to_numpy()
    low = np.minimum(bars, 0.9 * value)  # a bar that reaches zero would run off a log axis
    look: dict[str, Any] = {
        "color": colour,
        "marker": canvas.PART_MARKERS[name],
        "ls": style,
        "ms": 4,
        "lw": 1,
        "capsize": 2,
    }
    if name == "error":  # drawn around the part that dominates it, not over it
        look |= {"ms": 9, "mfc": "none"}
    axis.errorbar(sites, value, [low, bars], label=label, **look)


def _shapes(rows: pd.DataFrame) -> list[str]:
    order = rows[["shape", "n_sites"]].drop_duplicates().sort_values("n_sites")
    return list(order["shape"])[-MOST_SHAPES:]


def _bars(points: pd.DataFrame) -> pd.Series:
    """Standard error over seeds; the reported sampling error where there are too few seeds."""
    return points.value_se.fillna(points.stderr).fillna(0.0)


def _bar_words(rows: pd.DataFrame) -> str:
    seeds = int(rows.seeds.min())
    return f"standard error over {seeds} seeds" if rows.value_se.notna().any() else "reported sampling error"
