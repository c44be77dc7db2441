"""(d) The active side at c = 0.05: the mean density over ``nu = 1 - exp(s)``, and where the up-spins are.

South-East orders in bands along the anti-diagonals, FA with its corner pinned does not: `contrast` says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.run.record import Record
from vanbench.compare.run.stored import damaged, read_table
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import label as safe
from vanbench.compare.studies.tang2024.values import title
from vanbench.exact import solve
from vanbench.exact.systems import build

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PINNED = {"east": {}, "fa": {"pinned": "first"}}
C = 0.05
SMALLEST = 4  # length with a second difference along its anti-diagonals
CASE = ["source", "system", "shape", "s", "t"]
VALUES = ["s", "t", "site", "value", "stderr"]
SHOWN = ["source", "system", "shape", "s", "nu", "t", "density", "contrast", "asymmetry"]


def profiles(stored: Sequence[Record]) -> pd.DataFrame:
    """Tidy ``source, system, shape, s, t, site, value`` of the networks."""
    parts = [pd.DataFrame({"source": pd.Series(dtype=str), "shape": pd.Series(dtype=str)})]
    told: set[tuple] = set()
    for record in stored:
        parts.append(_profile(record))
        cases = set(parts[-1].groupby(CASE).groups)
        if told & cases:
            raise record.unfit("shows what another record of these folders shows")
        told |= cases
    return pd.concat(parts, ignore_index=True)


def _profile(record: Record) -> pd.DataFrame:
    if "density_profile" not in record.task.quantities:
        raise record.unfit("has no density profile")
    lengths = record.run.shape
    if record.system not in PINNED or len(lengths) != 2 or len(set(lengths)) > 1 or lengths[0] < SMALLEST:
        raise record.unfit(f"is of {record.system} {shape_text(lengths)}")
    rows = record.frame("rows", "site")
    rows = rows[rows.quantity == "density_profile"][["s", "t", "site", "value", "sampling_stderr"]]
    rows = rows.rename(columns={"sampling_stderr": "stderr"})
    return rows.assign(source="network", system=record.system, shape=shape_text(record.run.shape))


def exact_profiles(system: str, shape: tuple[int, ...], s: Sequence[float], times: Sequence[float]) -> pd.DataFrame:
    """The same columns from exact vectors."""
    exact = solve(build(system, shape, c=C, **PINNED[system]), s=s, times=times, quantities=["density_profile"])
    rows = exact[["s", "t", "site", "value"]]
    return rows.assign(stderr=0.0, source="exact", system=system, shape=shape_text(shape))


def with_exact(rows: pd.DataFrame, largest: int, stored: Path) -> pd.DataFrame:
    """``rows`` and the exact profiles of every size up to ``2^largest`` states that they lack; those of size 5 are in
    ``stored``, if `compare.studies.tang2024 bands-exact` was run."""
    parts = [rows]
    network = rows[rows.source == "network"]
    known = set(map(tuple, rows[rows.source == "exact"][["system", "shape"]].to_numpy()))
    for (system, shape), group in network.groupby(["system", "shape"]):
        lengths = tuple(int(n) for n in str(shape).split("x"))
        if np.prod(lengths) - 1 <= largest and (system, shape) not in known:
            fields, times = sorted(group.s.unique()), sorted(group.t.unique())
            parts.append(exact_profiles(str(system), lengths, fields, times))
    every = pd.concat(parts, ignore_index=True)
    if stored.exists():
        new = read(stored)
        pairs = set(zip(new.system, new["shape"]))
        held = np.array([pair in pairs for pair in zip(every.system, every["shape"])])
        older = (every.source == "exact").to_numpy() & held
        every = pd.concat([every[~older], new], ignore_index=True)
    return every


def read(path: Path) -> pd.DataFrame:
    """Of a CSV that an earlier call wrote, the same columns. Raises ``InputError`` for what it does not write."""
    rows = read_table(path, VALUES, CASE[:3], [*CASE, "site"])
    for (_, system, shape, _, _), group in rows.groupby(CASE):
        lengths = str(shape).split("x")
        square = system in PINNED and len(lengths) == 2 and len(set(lengths)) == 1
        if not square or sorted(group.site) != list(range(int(lengths[0]) ** 2)):
            raise damaged(path, f"holds no profiles of {system} {shape}")
    return rows


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean density, contrast and asymmetry of each profile."""
    out = []
    for (source, system, shape, s, t), group in rows.groupby(CASE):
        lengths, group = [int(n) for n in str(shape).split("x")], group.sort_values("site")
        image, stderr = (group[name].to_numpy().reshape(lengths) for name in ("value", "stderr"))
        shown = image.mean(), contrast(image), asymmetry(image, stderr)
        out.append([source, system, shape, s, -np.expm1(s), t, *shown])
    return pd.DataFrame(out, columns=SHOWN)


def asymmetry(image: np.ndarray, stderr: np.ndarray) -> float:
    """Root mean square of the difference of two sites that the exchange of the axes takes to each other, in its
    standard errors: about 1 for samples of a symmetric distribution. NaN without errors."""
    above = np.triu_indices(len(image), 1)
    noise = np.hypot(stderr, stderr.T)[above]
    if not noise.all():
        return float("nan")
    return float(np.sqrt(np.mean(((image - image.T)[above] / noise) ** 2)))


def contrast(image: np.ndarray) -> float:
    """How deep the bands are: over the anti-diagonals ``i + j = 2, ..., L`` (beyond the pinned corner and its two
    neighbours), the mean absolute second difference of their mean densities, relative to their mean; 0 on a slope."""
    length = image.shape[0]
    means = np.array([np.fliplr(image).diagonal(length - 1 - d).mean() for d in range(2, length + 1)])
    return float(np.abs(np.diff(means, 2)).mean() / means.mean())


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """The largest and the mean difference between network and exact profiles, beside the standard error."""
    keys = ["system", "shape", "s", "t", "site"]
    network, exact = (rows[rows.source == name] for name in ("network", "exact"))
    both = network.merge(exact, on=keys, suffixes=("", "_exact"))
    both["off"] = (both.value - both.value_exact).abs()
    groups = both.groupby(["system", "shape", "t"])
    deviations = groups.agg(largest=("off", "max"), mean=("off", "mean"), stderr=("stderr", "mean"))
    return deviations.reset_index()


def figure(rows: pd.DataFrame, t: float) -> Figure:
    """Top: density over ``nu``, lines exact and points networks. Below: the profiles at the most negative ``s``."""
    rows = rows[np.isclose(rows.t, t)]
    s = rows.s.min()
    panels = rows[rows.s == s].groupby("system").apply(lambda g: len(g[["shape", "source"]].drop_duplicates()))
    drawn, axes = canvas.new(max(4, panels.max()), 3, 2.6, 2.6)
    drawn.suptitle("above: lines and crosses exact, circles networks", fontsize=9)
    _over_nu(axes[0], summary(rows))
    for axis in axes[0, 4:]:
        axis.set_axis_off()
    for row, system in zip(axes[1:], ("east", "fa")):
        mine = rows[(rows.system == system) & (rows.s == s)]
        cases = sorted({(shape, source) for shape, source in zip(mine["shape"], mine.source)})
        for axis, (shape, source) in zip(row, cases):
            image = mine[(mine["shape"] == shape) & (mine.source == source)].sort_values("site").value.to_numpy()
            lengths = tuple(int(n) for n in shape.split("x"))
            shown = axis.imshow(image.reshape(lengths), cmap="magma", vmin=0, vmax=0.55)
            axis.grid(False)
            axis.set(xticks=[], yticks=[])
            axis.set_title(safe(f"{title(system, lengths)}: {source}"), fontsize=8)
        if cases:
            drawn.colorbar(shown, ax=row[: len(cases)], shrink=0.8, label="density of up-spins")
        for axis in row[len(cases) :]:
            axis.set_axis_off()
        row[0].set_ylabel(f"s = {s:g}, t = {t:g}")
    return drawn


def _over_nu(axes, rows: pd.DataFrame) -> None:
    for axis, system in zip(axes[:4:2], ("east", "fa")):
        mine = rows[rows.system == system]
        for colour, (shape, group) in zip(canvas.COLOURS, mine.groupby("shape")):
            for source, line in group.groupby("source"):
                line = line.sort_values("nu")
                axis.plot(line.nu, line.density, "x-" if source == "exact" else "o", color=colour, ms=5, mfc="none",
                          label=safe(f"{shape}, {source}"))  # fmt: skip
        axis.set(xlabel="ν = 1 - exp(s)", ylabel="mean density", title="South-East" if system == "east" else "FA")
        if len(mine):
            axis.legend()
    for axis, system in zip(axes[1:4:2], ("east", "fa")):
        mine = rows[rows.system == system]
        for colour, (_, group) in zip(canvas.COLOURS, mine.groupby("shape")):
            for source, line in group.groupby("source"):
                line = line.sort_values("nu")
                axis.plot(line.nu, line.contrast, "x-" if source == "exact" else "o", color=colour, ms=5, mfc="none")
        axis.set(xlabel="ν = 1 - exp(s)", ylabel="contrast of the bands", ylim=(0, 0.9))
