"""What the panels of a report share: points with bars, what the bars are, and which of many to draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.show.report.svg import series


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most ``most`` of ``items``, evenly chosen, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[k] for k in np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))]


def sites(shape: str, rows: pd.DataFrame) -> str:
    return f"{shape} ({rows.n_sites.iloc[0]} sites)" if "x" in str(shape) else f"L = {shape}"


def draw_points(axis: Any, networks: Sequence[str], network: str, x: Any, y: Any, bars: Any) -> None:
    axis.errorbar(x, y, bars, **series(networks.index(network)), ls="none", capsize=2, lw=1.1)


def bars(points: pd.DataFrame) -> pd.Series:
    """Standard error over seeds; the reported sampling error where there are too few seeds."""
    return points.value_se.fillna(points.stderr).fillna(0.0)


def bar_words(rows: pd.DataFrame) -> str:
    seeds = int(rows.seeds.min())
    return (
        f"bars: standard error over {seeds} seeds" if rows.value_se.notna().any() else "bars: reported sampling error"
    )


def log_bars(points: pd.DataFrame, name: str) -> list[np.ndarray]:
    bars = points[f"{name}_se"].fillna(0.0).to_numpy()
    return [np.minimum(bars, 0.9 * points[name].to_numpy()), bars]  # a bar that reaches zero would leave a log axis
