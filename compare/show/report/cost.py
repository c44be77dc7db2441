"""What accuracy costs: error over CPU time, CPU time over size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from vanbench.compare.judge.collect import last_times
from vanbench.compare.show.report.marks import draw_points, log_bars
from vanbench.compare.show.report.svg import Panel, axes, decades, inline, style

Pair = tuple[str, str]


def cost_panels(rows: pd.DataFrame, networks: Sequence[str], key: str) -> Iterator[Panel]:
    """At the last time of each task, all tasks together: the error of ln Z over CPU time, CPU time over size."""
    used = last_times(rows).query("quantity == 'ln_Z'")
    used = used.assign(cost=used.cpu_s.fillna(used.wall_s), cost_se=used.cpu_s_se.fillna(used.wall_s_se))
    used = used[used.cost > 0]
    time = "CPU time of a run (s)"
    with style():
        if (used.error > 0).any():
            names = ("cost", "error"), (time, "relative error of ln Z")
            svg = inline(_both_logarithmic(used[used.error > 0], networks, *names), f"{key}-0")
            yield Panel("Error over cost", svg, "One point per task, shape and s; lower left is better.")
        if used.n_sites.nunique() > 1:
            runs = used.drop_duplicates(["task", "shape", "architecture"])  # every s of a run has its time
            names = ("n_sites", "cost"), ("sites N", time)
            svg = inline(_both_logarithmic(runs, networks, *names), f"{key}-1")
            yield Panel("Cost over size", svg, "One point per task and shape, for all its s and times.")


def _both_logarithmic(
    rows: pd.DataFrame, networks: Sequence[str], columns: tuple[str, str], labels: tuple[str, str]
) -> Any:
    x, y = columns
    figure, axis = axes()
    for network in [name for name in networks if name in set(rows.architecture)]:
        here = rows[rows.architecture == network]
        draw_points(axis, networks, network, here[x], here[y], log_bars(here, y))
    axis.set_xscale("log")
    axis.set_yscale("log")
    decades(axis.xaxis)
    decades(axis.yaxis)
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    return figure
