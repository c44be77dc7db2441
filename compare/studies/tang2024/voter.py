"""(f) The voter model: mean opinions in closed form at any size, and the tilted ones against exact vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.run.record import Record
from vanbench.compare.run.stored import read_table
from vanbench.compare.show import canvas
from vanbench.exact.closed_form import copying, lattice_edges, voter_magnetisation
from vanbench.exact.systems import build

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD = ("boundary", "initial", "pinned")
TILTED = ("quantity", "s", "t", "value", "stderr", "exact")
read_held = partial(read_table, numbers=("t", "site", *TILTED[3:]), words=("shape",))  # what an earlier call wrote
read_tilted = partial(read_table, numbers=TILTED[1:], words=("shape", "quantity"))
EMPTY = pd.DataFrame({"shape": pd.Series(dtype=str)})


def closed_form(shape: tuple[int, ...], t: float, **params: object) -> np.ndarray:
    """The density of up-spins at each site, ``(n_sites,)``, of the open lattice with the pinned sites of ``params``."""
    system = build("voter", shape, **params)
    rates = copying(system.n_sites, lattice_edges(shape, "open"), tuple(system.pinned))
    start = 2 * np.asarray(system.initial)[:, 1] - 1
    return (voter_magnetisation(rates, start, t) + 1) / 2


def held(stored: Sequence[Record]) -> pd.DataFrame:
    """``shape, t, site, value, stderr, exact`` of the runs at s = 0 with a site held."""
    return pd.concat([EMPTY, *(part for record in stored for part in _held(record))], ignore_index=True)


def _held(record: Record) -> list[pd.DataFrame]:
    """A table for each time; none where no density was asked for."""
    rows, params, parts = record.frame("rows"), record.task.params, []
    if "density_profile" not in record.task.quantities:
        return []
    if len(record.task.s) > 1 or not set(HELD) <= set(params):
        raise record.unfit(f"has a density profile, but not at one field with {', '.join(HELD)}")
    for t, group in rows[rows.quantity == "density_profile"].groupby("t"):
        group = group.sort_values("site")
        exact = closed_form(record.run.shape, float(t), **{name: params[name] for name in HELD})
        values = group[["t", "site", "value"]].assign(stderr=group.sampling_stderr, exact=exact)
        parts.append(values.assign(shape=shape_text(record.run.shape)))
    return parts


def tilted(stored: Sequence[Record]) -> pd.DataFrame:
    """``shape, s, t, value, stderr, exact`` of ``ln Z`` and the density against exact vectors."""
    return pd.concat([EMPTY, *(part for record in stored for part in _tilted(record))], ignore_index=True)


def _tilted(record: Record) -> list[pd.DataFrame]:
    """One table, or none where nothing is exact."""
    errors = record.frame("errors")
    if "exact" not in errors or not errors.exact.notna().any():
        return []
    errors = record.frame("errors", *TILTED)
    errors = errors[errors.quantity.isin(["ln_Z", "density"])]
    return [errors[[*TILTED]].assign(shape=shape_text(record.run.shape))]


def figure(still: pd.DataFrame, moving: pd.DataFrame) -> Figure:
    """Lines: closed form or exact vectors. Points: networks."""
    drawn, axes = canvas.new(2, 2)
    drawn.suptitle("lines: exact, points: networks", fontsize=9)
    for axis, (shape, group) in zip(axes[0], still.groupby("shape", sort=False)):
        for colour, (t, line) in zip(canvas.shades(group.t.nunique()), group.groupby("t")):
            line = line.sort_values("site")
            axis.plot(line.site, line.exact, "-", color=colour, label=f"t = {t:g}")
            axis.errorbar(line.site, line.value, line.stderr, fmt="o", ms=3, color=colour)
        rows = "site, row by row" if "x" in shape else "site"
        axis.set(xlabel=rows, ylabel="mean density of up-spins", title=f"{shape} sites, the first held up, s = 0")
        axis.legend()
    for axis, (shape, group) in zip(axes[1], moving[moving.quantity == "ln_Z"].groupby("shape", sort=False)):
        for colour, (s, line) in zip(canvas.COLOURS, group.groupby("s")):
            axis.plot(line.t, line.exact, "-", color=colour, label=f"s = {s:g}")
            axis.plot(line.t, line.value, "o", ms=4, color=colour, mfc="none")
        axis.set(xlabel="t", ylabel="ln Z", title=f"{shape} sites, tilted")
        axis.legend()
    return drawn


def summary(still: pd.DataFrame, moving: pd.DataFrame) -> pd.DataFrame:
    """The largest error of each shape and quantity, beside the mean standard error; of ``ln Z`` relative."""
    rows = []
    for shape, group in still.groupby("shape", sort=False):
        off = (group.value - group.exact).abs()
        rows.append([shape, "density_profile", "closed form", off.max(), group.stderr.mean()])
    for (shape, quantity), group in moving.groupby(["shape", "quantity"], sort=False):
        scale = group.exact.abs() if quantity == "ln_Z" else 1.0
        off, noise = (group.value - group.exact).abs() / scale, group.stderr / scale
        rows.append([shape, quantity, "exact vectors", off.max(), noise.mean()])
    return pd.DataFrame(rows, columns=["shape", "quantity", "against", "largest error", "mean standard error"])
