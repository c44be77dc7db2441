"""Figures: spins over time beside exact curves, steady states against a parameter, loss curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from exact import solve

from ..record import Record
from ..systems import build_system
from .collect import SPINS, last_only

COLOURS = dict(zip(SPINS, ("tab:blue", "tab:orange", "tab:green")))
LABELS = {f"sigma_{a}": rf"$\langle\sigma^{a}\rangle$" for a in "xyz"}
FINE = 40  # times of an exact curve
EXACT_SPINS = 8  # drawn as a fine curve; beyond, at the report times


def dynamics(frame: pd.DataFrame, found: dict[tuple[str, str], Record], path: Path) -> None:
    """A panel for each task, parameter and size: markers with error bars for the networks, lines for exact states."""
    panels = list(frame.groupby(["task", "parameter", "shape", "n_sites", "network"], dropna=False, sort=False))
    panels.sort(key=lambda item: (item[0][0], item[0][1], item[0][3]))
    figure, axes = _canvas(len(panels))
    for ((task, parameter, shape, *_), group), axis in zip(panels, axes):
        _exact_curve(axis, found.get((task, shape)), group, parameter)
        for spin, one in group.groupby("quantity"):
            mean = one.groupby("t").agg(value=("value", "mean"), stderr=("stderr", "mean"))
            axis.errorbar(mean.index, mean.value, mean.stderr, fmt="o", ms=3.5, color=COLOURS[str(spin)], lw=1)
        name = f"{task}, {shape}" + ("" if np.isnan(parameter) else f", {group.varied.iloc[0]} = {parameter:g}")
        axis.set_title(f"{name}\n{group.tracker.iloc[0]}, {group.network.iloc[0]}", fontsize=8)
        axis.set_xlabel("t")
    _legend(axes[0])
    _save(figure, path)


def _exact_curve(axis: Axes, record: Record | None, group: pd.DataFrame, parameter: float) -> None:
    known = group.dropna(subset=["exact"])
    if known.empty or record is None:
        return
    if group.n_sites.iloc[0] > EXACT_SPINS:
        curve = known.drop_duplicates(["quantity", "t"])[["quantity", "t", "exact"]]
    else:
        times = np.linspace(0, group.t.max(), FINE)
        params = {**record.params, **({} if np.isnan(parameter) else {group.varied.iloc[0]: parameter})}
        system = build_system(record.system, tuple(record.shape), params)
        curve = solve(system, 0.0, times.tolist(), SPINS).rename(columns={"value": "exact"})
    for spin, one in curve.groupby("quantity"):
        axis.plot(one.t, one.exact, "-", color=COLOURS[str(spin)], lw=1.2)


def steady(frame: pd.DataFrame, path: Path) -> None:
    """A panel for each size and spin: the end of each run against the varied parameter, a marker for each method."""
    end = last_only(frame)
    methods = list(end.groupby(["task", "network"]).groups)
    looks = {method: ("osD^vP*X<>"[i % 10], f"C{i % 10}") for i, method in enumerate(methods)}
    shapes = end.sort_values("n_sites")["shape"].unique()
    kinds = [(shape, spin) for shape in shapes for spin in SPINS]
    figure, axes = _canvas(len(kinds), columns=len(SPINS))
    for (shape, spin), axis in zip(kinds, axes):
        here = end[(end["shape"] == shape) & (end.quantity == spin)]
        known = here.dropna(subset=["exact"]).groupby("parameter").first()
        axis.errorbar(known.index, known.exact, known.exact_stderr, fmt="k-", lw=1, capsize=2, label="reference")
        for (task, network), one in here.groupby(["task", "network"]):
            marker, colour = looks[(task, network)]
            mean = one.groupby("parameter").agg(value=("value", "mean"), stderr=("stderr", "mean"))
            axis.errorbar(
                mean.index,
                mean.value,
                mean.stderr,
                fmt=marker,
                color=colour,
                ms=4,
                label=f"{task}, {network}",
                alpha=0.8,
            )
        axis.set_title(f"{LABELS[spin]}, {shape}", fontsize=9)
        axis.set_xlabel(here.varied.iloc[0])
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, fontsize=7)
    _save(figure, path)


def curves(frame: pd.DataFrame, path: Path) -> None:
    """The objective of every run, one panel a task."""
    tasks = list(frame.groupby("task", sort=True))
    figure, axes = _canvas(len(tasks))
    for (task, group), axis in zip(tasks, axes):
        for _, one in group.groupby(["network", "shape", "seed"]):
            axis.semilogy(one.t, one.loss, ".-", lw=0.9, ms=3)
        axis.set_title(task, fontsize=9)
        axis.set_xlabel("iteration" if (group.tracker == "steady").all() else "t")
    axes[0].set_ylabel("objective")
    _save(figure, path)


def repeated(frame: pd.DataFrame, path: Path) -> None:
    """The end of each of several runs, and their average, beside the exact values."""
    end = last_only(frame)
    tasks = list(end.groupby("task"))
    figure, axes = _canvas(len(tasks))
    for (task, group), axis in zip(tasks, axes):
        for x, spin in enumerate(SPINS):
            one = group[group.quantity == spin]
            axis.plot(np.full(len(one), x), one.value, "o", ms=4, alpha=0.6, color=COLOURS[spin])
            axis.plot([x - 0.25, x + 0.25], [one.exact.iloc[0]] * 2, "k-", lw=1)
            axis.errorbar([x + 0.15], [one.value.mean()], [one.value.sem()], fmt="D", ms=5, color=COLOURS[spin])
        axis.set_xticks(range(len(SPINS)), [LABELS[spin] for spin in SPINS])
        axis.set_title(task, fontsize=9)
    _save(figure, path)


def counting(frame: pd.DataFrame, path: Path) -> None:
    """A panel for each size: ``ln Z / (N t)`` of the jump count against ``s``, a line of exact values for each time."""
    sizes = list(frame.groupby("n_sites"))
    figure, axes = _canvas(len(sizes))
    for (_, group), axis in zip(sizes, axes):
        for t, one in group.groupby("t"):
            exact, per = one.drop_duplicates("s").sort_values("s"), one.n_sites.iloc[0] * float(str(t))
            axis.plot(exact.s, exact.exact / per, "-", color="0.6", lw=1)
            for (name, run), marker in zip(one.groupby("task"), "os"):
                first = t == group.t.min()
                axis.plot(
                    run.s, run.value / per, marker, ms=4, mfc="none", color=_colour(name), label=name if first else None
                )
        axis.set_title(
            f"{group['shape'].iloc[0]}, t = {', '.join(f'{t:g}' for t in sorted(group.t.unique()))}", fontsize=9
        )
        axis.set_xlabel("s")
    axes[0].set_ylabel("ln Z / (N t)")
    axes[0].legend(fontsize=7)
    _save(figure, path)


def _colour(task: str) -> str:
    return "tab:red" if task.endswith("sampled") else "tab:blue"


def _legend(axis: Axes) -> None:
    for spin, colour in COLOURS.items():
        axis.plot([], [], "o-", color=colour, ms=3.5, label=LABELS[spin])
    axis.legend(fontsize=7)


def _canvas(panels: int, columns: int = 4) -> tuple[Figure, list[Axes]]:
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(3.1 * columns, 2.7 * rows), layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axis in axes[panels:]:
        axis.set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=90)
