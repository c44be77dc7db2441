"""Figures from the stored tables: spins over time beside exact curves, steady states against a parameter, losses."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vanbench.compare.run.stored import read_table
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import label as safe
from vanbench.compare.studies.luo2022.collect import LABEL, last_only
from vanbench.exact.definitions.quantities import SPINS

COLOURS = dict(zip(SPINS, ("tab:blue", "tab:orange", "tab:green")))
LABELS = {f"sigma_{a}": rf"$\langle\sigma^{a}\rangle$" for a in "xyz"}
MARKERS = "osD^vP*X<>"
WIDTH = r"-(wide-long|wide)$"  # what tells tasks of one method apart: the network, which has a marker of its own
METHODS = {
    "steady-var": "variational", "steady-mix": "variational, two norms", "steady-dyn": "dynamics",
    "steady-var-dyn": "variational, then dynamics", "steady-mix-dyn": "two norms, then dynamics",
    "steady-gates": "matrix products",
}  # fmt: skip
CURVES = {"ring": "exact-ring.csv", "lattice": "exact-lattice.csv", "large-energy": "exact-large-energy.csv"}
STEADY_CURVES = {"3x3": "exact-lattice-steady.csv"}
LINE = Line2D([], [], color="k", lw=1.2, label="lines: exact")
DOTTED = Line2D([], [], color="k", lw=1.2, ls=":", label="dotted: exact, of the largest ring with exact values")


def dynamics(frame: pd.DataFrame, path: Path, references: Path) -> Path:
    """A panel for each task, parameter and size: points for the networks, lines for exact states."""
    panels = list(frame.groupby(["task", "parameter", "shape", "n_sites"], dropna=False, sort=False))
    panels.sort(key=lambda item: (item[0][0], item[0][1], item[0][3]))
    looks = dict(zip(sorted(frame.network.unique()), cycle(MARKERS)))
    figure, axes = _canvas(len(panels))
    for ((task, parameter, shape, _), group), axis in zip(panels, axes):
        known = _exact_curve(str(task), group, references)
        style = "-" if group.exact.notna().any() else ":"
        for spin, curve in known.groupby("quantity"):
            axis.plot(curve.t, curve.exact, style, color=COLOURS[str(spin)], lw=1.2)
        for (network, spin), curve in group.groupby(["network", "quantity"]):
            mean = curve.groupby("t").agg(value=("value", "mean"), stderr=("stderr", "mean"))
            axis.errorbar(
                mean.index, mean.value, mean.stderr, fmt=looks[str(network)], ms=3.5, color=COLOURS[str(spin)], lw=1,
                mfc="none",
            )  # fmt: skip
        name = f"{task}, {shape}" + ("" if np.isnan(parameter) else f", {group.varied.iloc[0]} = {parameter:g}")
        axis.set_title(safe(f"{name}, {group.tracker.iloc[0]}"), fontsize=8)
        axis.set_xlabel("t")
        axis.set_ylabel("spin average")
    spins = [Line2D([], [], color=colour, lw=2, label=LABELS[spin]) for spin, colour in COLOURS.items()]
    points = [
        Line2D([], [], color="k", ls="", marker=m, mfc="none", ms=4, label=safe(name)) for name, m in looks.items()
    ]
    lines = [LINE, DOTTED] if frame.exact.isna().any() else [LINE]
    return _finish(figure, path, [*lines, _points(), *spins, *points])


def _exact_curve(task: str, group: pd.DataFrame, references: Path) -> pd.DataFrame:
    """``quantity, t, exact`` up to the last time: from the stored curves, else as the runs have it at their times.

    Rings that are too large for exact values: the largest stored ring.
    """
    known = group.dropna(subset=["exact"])
    own = known.drop_duplicates(["quantity", "t"]).sort_values("t")[["quantity", "t", "exact"]]
    stored = references / next(CURVES[name] for name in CURVES if task.startswith(name))
    if not stored.exists():
        return own
    fine = read_table(stored, ("Jy" if task.startswith("lattice") else "n_sites", "t", *SPINS))
    if "Jy" in fine:
        fine = fine[fine.Jy == group.parameter.iloc[0]]
    else:
        fine = fine[fine.n_sites == (fine.n_sites.max() if known.empty else group.n_sites.iloc[0])]
    if fine.empty or fine.t.max() < group.t.max():
        return own
    return fine[fine.t <= group.t.max()].melt("t", list(SPINS), "quantity", "exact")


def steady(frame: pd.DataFrame, path: Path, references: Path) -> Path:
    """A panel for each size and method: the three spins at the end of each run against the varied parameter."""
    end = last_only(frame)
    end = end.assign(method=end.task.str.replace(WIDTH, "", regex=True))
    panels = list(end.sort_values("n_sites").groupby(["n_sites", "shape", "method"], sort=True))
    looks = dict(zip(sorted(end.network.unique()), cycle(MARKERS)))
    figure, axes = _canvas(len(panels), columns=3)
    for ((_, shape, method), group), axis in zip(panels, axes):
        for spin, values in group.groupby("quantity"):
            known = _exact_steady(values, str(spin), references)
            axis.errorbar(known.index, known.exact, known.exact_stderr, color=COLOURS[str(spin)], lw=1.2, capsize=2)
            for network, curve in values.groupby("network"):
                mean = curve.groupby("parameter").agg(value=("value", "mean"), stderr=("stderr", "mean"))
                axis.errorbar(
                    mean.index, mean.value, mean.stderr, fmt=looks[str(network)], ms=4.5, mfc="none", lw=1,
                    color=COLOURS[str(spin)],
                )  # fmt: skip
        axis.set_title(safe(f"{shape}: {METHODS.get(str(method), method)}"), fontsize=8)
        axis.set_xlabel(safe(group.varied.iloc[0]))
        axis.set_ylabel("spin average")
        axis.set_ylim(-1.05, max(0.7, *axis.get_ylim()))
    line = "lines: exact" + (" (16 spins: quantum trajectories)" if "16" in set(end["shape"]) else "")
    spins = [Line2D([], [], color=colour, lw=2, label=LABELS[spin]) for spin, colour in COLOURS.items()]
    networks = [
        Line2D([], [], color="k", ls="", marker=m, mfc="none", ms=4, label=safe(name)) for name, m in looks.items()
    ]
    return _finish(figure, path, [Line2D([], [], color="k", lw=1, label=line), _points(), *spins, *networks])


def _exact_steady(here: pd.DataFrame, spin: str, references: Path) -> pd.DataFrame:
    """``exact, exact_stderr`` by parameter: the stored curve around the runs, else as the runs have it."""
    own = here.dropna(subset=["exact"]).groupby("parameter").first()
    stored = references / STEADY_CURVES.get(here["shape"].iloc[0], "none")
    if own.empty or not stored.exists():
        return own
    curve = read_table(stored, ("Jy", *SPINS))
    curve = curve[curve.Jy.between(own.index.min() - 0.1, own.index.max() + 0.1)]
    return pd.DataFrame({"exact": curve[spin].to_numpy(), "exact_stderr": 0.0}, index=curve.Jy)


def strings(frame: pd.DataFrame, path: Path) -> Path:
    """A panel for each size and spin: its average at the end against the number of strings, a point for each seed."""
    end = last_only(frame)
    end = end.assign(strings=end.network.str.extract(LABEL, expand=False).astype(int))
    panels = [(shape, group) for (_, shape), group in end.groupby(["n_sites", "shape"])]
    figure, axes = _canvas(len(panels) * len(SPINS), columns=len(SPINS))
    counts = sorted(end.strings.unique())
    for k, ((shape, group), spin) in enumerate((panel, spin) for panel in panels for spin in SPINS):
        axis, curve = axes[k], group[group.quantity == spin]
        axis.axhline(curve.exact.iloc[0], color=COLOURS[spin], lw=1.2)
        x = [counts.index(n) for n in curve.strings]
        axis.errorbar(x, curve.value, curve.stderr, fmt="o", ms=4, color=COLOURS[spin], mfc="none", lw=1)
        axis.set_xticks(range(len(counts)), [str(n) for n in counts])
        axis.set_ylim(-0.75, 0.75)
        axis.set_title(f"{shape}: {LABELS[spin]}", fontsize=9)
        axis.set_xlabel("strings (0: the raster path)")
    return _finish(figure, path, [LINE, _points()])


def curves(frame: pd.DataFrame, path: Path) -> Path:
    """The objective of every run, one panel a task."""
    panels = list(frame.groupby(["task", "shape"], sort=True))
    figure, axes = _canvas(len(panels))
    for ((task, shape), group), axis in zip(panels, axes):
        for _, curve in group.groupby(["network", "parameter", "seed"], dropna=False):
            axis.semilogy(curve.t, curve.loss, ".-", lw=0.9, ms=3)
        axis.set_title(safe(f"{task}, {shape}"), fontsize=9)
        axis.set_xlabel("iteration")
        axis.set_ylabel(r"objective $|\dot p|_1$" if "objective-" not in task and "mix" not in task else "objective")
    return _finish(figure, path, [Line2D([], [], marker=".", color="k", lw=0.9, label="one line a run")])


def repeated(frame: pd.DataFrame, path: Path, references: Path) -> Path:
    """The end of each of several runs, and their average, beside the exact values."""
    end = last_only(frame)
    tasks = list(end.groupby("task"))
    figure, axes = _canvas(len(tasks))
    for (task, group), axis in zip(tasks, axes):
        for x, spin in enumerate(SPINS):
            values = group[group.quantity == spin]
            axis.plot(np.full(len(values), x), values.value, "o", ms=4, alpha=0.6, color=COLOURS[spin])
            axis.plot([x - 0.25, x + 0.25], [values.exact.iloc[0]] * 2, "k-", lw=1)
            axis.errorbar([x + 0.15], [values.value.mean()], [values.value.sem()], fmt="D", ms=5, color=COLOURS[spin])
        axis.set_xticks(range(len(SPINS)), [LABELS[spin] for spin in SPINS])
        axis.set_title(safe(f"{task}, {group['shape'].iloc[0]}"), fontsize=9)
        axis.set_xlabel("spin component")
        axis.set_ylabel("spin average")
    average = Line2D([], [], color="k", ls="", marker="D", ms=5, label="their average, with its standard error")
    return _finish(figure, path, [LINE, _points("one run each"), average])


def counting(frame: pd.DataFrame, path: Path) -> Path:
    """A panel for each size: ``ln Z / (N t)`` of the jump count against ``s``, a line of exact values for each time."""
    sizes = list(frame.groupby("n_sites"))
    figure, axes = _canvas(len(sizes))
    tasks = sorted(frame.task.unique())
    colours = {task: "tab:red" if task.endswith("sampled") else "tab:blue" for task in tasks}
    for (_, group), axis in zip(sizes, axes):
        for t, curve in group.groupby("t"):
            exact, per = curve.drop_duplicates("s").sort_values("s"), curve.n_sites.iloc[0] * float(str(t))
            axis.plot(exact.s, exact.exact / per, "-", color="k", lw=0.8)
            for (task, run), marker in zip(curve.groupby("task"), "os"):
                axis.plot(run.s, run.value / per, marker, ms=4, mfc="none", color=colours[str(task)])
        times = ", ".join(f"{t:g}" for t in sorted(group.t.unique()))
        axis.set_title(f"N = {group['shape'].iloc[0]}, t = {times}", fontsize=9)
        axis.set_xlabel("s")
        axis.set_ylabel("ln Z / (N t)")
    points = [
        Line2D(
            [], [], color=colours[task], ls="", marker=m, mfc="none", label=safe(f"{task}: {_networks(frame, task)}")
        )
        for task, m in zip(tasks, "os")
    ]
    return _finish(figure, path, [LINE, _points(), *points])


def _networks(frame: pd.DataFrame, task: str) -> str:
    return ", ".join(sorted(frame[frame.task == task].network.unique()))


def _points(label: str = "points: networks, with standard errors of sampling") -> Line2D:
    return Line2D([], [], color="k", ls="", marker="o", ms=4, label=label)


def _canvas(panels: int, columns: int = 4) -> tuple[Figure, list[Axes]]:
    columns = min(columns, panels)
    rows = -(-panels // columns)
    figure = canvas.blank(max(3.1 * columns, 4.5), 2.7 * rows + 0.5, dpi=90)
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axis in axes[panels:]:
        axis.set_visible(False)
    return figure, axes


def _finish(figure: Figure, path: Path, handles: list) -> Path:
    """Add one legend of lines and points below, and save the figure."""
    columns = max(1, int(figure.get_figwidth() // 3))
    longest = max(len(handle.get_label()) for handle in handles)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns if longest < 40 else 2, fontsize=7)
    return canvas.save(figure, path, path.parent)
