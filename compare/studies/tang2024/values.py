"""What figures are made of: ``ln Z`` over ``s`` and ``t`` from records and exact tables, and its derivatives in ``s``.

``k = -(1/(N t)) d ln Z/ds`` and ``-chi = (1/(N t)) d^2 ln Z/ds^2`` of a run come from a cubic spline through its fields
and through ``ln Z(0) = 0``; ``k`` is kept where the convexity of ``ln Z`` allows it (`convex`). The networks of one run
share their random numbers, which such differences need. Clones do not once they were resampled: where that leaves ``k``
open by a tenth of its largest value it is NaN (`trusted`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.run.exact_tables import CASES, FOLDER, read
from vanbench.compare.run.record import Record, records
from vanbench.compare.run.stored import damaged, read_table
from vanbench.compare.studies.tang2024 import transition
from vanbench.exact import InputError

BLUR = 0.1
NAMES = {("east", 1): "East", ("east", 2): "South-East", ("east", 3): "South-East-Front"}  # by system and dimension
NAMES |= {(system, d): name for system, name in (("fa", "FA"), ("voter", "voter")) for d in (1, 2, 3)}
SOURCES = ("network", "clones")
DRAWN = 1.0, 1000.0  # times of a map
ENOUGH = 8  # fields from which a spline gives k where a table has none


@dataclass(frozen=True)
class Curves:
    """``ln Z`` of one source on a grid, ``(n_s, n_t)``, with standard errors; ``k`` and ``chi`` where the source has
    them itself (exact tables)."""

    source: str  # "exact", "network" or "clones"
    system: str
    shape: tuple[int, ...]
    s: np.ndarray
    t: np.ndarray
    ln_z: np.ndarray
    stderr: np.ndarray
    k: np.ndarray
    chi: np.ndarray
    scgf: np.ndarray  # (n_s,), the largest Ritz value; NaN where the source has none
    cpu_s: float | None = None

    @property
    def n(self) -> int:
        return int(np.prod(self.shape))

    @property
    def title(self) -> str:
        return title(self.system, self.shape)

    def at(self, t: float) -> int:
        """Where ``t`` stands among the times; -1 where it does not."""
        place = np.flatnonzero(np.isclose(self.t, t, rtol=1e-6))
        return int(place[0]) if place.size else -1


def title(system: str, shape: tuple[int, ...]) -> str:
    return f"{len(shape)}D {NAMES[system, len(shape)]}, L = {shape[0]}"


def runs(*folders: Path) -> list[Record]:
    """Every record of the folders, in order. Raises ``InputError`` for one without what its task asks for."""
    return [_whole(record) for folder in folders for _, record in records(folder)]


def _whole(record: Record) -> Record:
    """``record`` if it has ln Z once for each field and time of its task, and profiles once for each site besides."""
    rows, task = record.frame("rows", "quantity", "sampling_stderr"), record.task
    if (record.system, len(record.run.shape)) not in NAMES:
        raise record.unfit(f"is of {record.system} in {len(record.run.shape)} dimensions")
    for quantity in [name for name in task.quantities if name == "ln_Z" or name.endswith("profile")]:
        sites = range(record.n_sites) if quantity.endswith("profile") else [0]
        own = rows[rows.quantity == quantity]
        held = own.assign(site=own.get("site", 0.0))[["s", "t", "site"]].fillna(0.0).sort_values(["s", "t", "site"])
        wanted = np.array(sorted(itertools.product(task.s, task.times, sites)))
        if held.shape != wanted.shape or not np.allclose(held, wanted, rtol=1e-6) or own.value.isna().any():
            raise record.unfit(f"has not {quantity} once for each field and time of its task")
    return record


def curves(record: Record) -> Curves:
    """A run's ``ln Z``, and its derivatives by the spline."""
    rows = record.frame("rows")
    rows = rows[rows.quantity == "ln_Z"]
    if not _enough(rows):
        raise record.unfit("has not ln Z at two positive fields, and a time from 1 to 1000")
    ln_z, stderr = (rows.pivot(index="s", columns="t", values=name) for name in ("value", "sampling_stderr"))
    s, t = ln_z.index.to_numpy(float), ln_z.columns.to_numpy(float)
    shape = record.run.shape
    source = "network" if record.diagnostics.get("n_parameters") else "clones"
    slopes = _slopes(source, s, t, ln_z.to_numpy(), int(np.prod(shape)))
    grids = ln_z.to_numpy(), stderr.to_numpy(), *slopes
    return trusted(Curves(source, record.system, shape, s, t, *grids, _scgf(record, s), record.cpu_s))


def _enough(rows: pd.DataFrame) -> bool:
    """Whether a spline and a map can be made of them."""
    s, t = rows.s.unique(), rows.t.unique()
    return len(s) >= 2 and bool((s > 0).all() and (t > 0).all()) and bool(((t >= DRAWN[0]) & (t <= DRAWN[1])).any())


def _slopes(source: str, s: np.ndarray, t: np.ndarray, ln_z: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """``k`` and ``-chi`` of a run; the noise of clones is told by `trusted`, not bounded."""
    k, chi = derivatives(s, t, ln_z, n)
    return (convex(s, t, ln_z, k, n) if source == "network" else k), chi


def _scgf(record: Record, s: np.ndarray) -> np.ndarray:
    """What the tracker says of it at the end."""
    log = record.frame("log")
    if "scgf" not in log:
        return np.full_like(s, np.nan)
    return log.groupby("s").scgf.last().reindex(s).to_numpy(float)


def merged(curves: Sequence[Curves]) -> list[Curves]:
    """One of each system, shape and source: runs over other fields or times side by side, NaN where none was."""
    groups: dict[tuple, list[Curves]] = {}
    for curve in curves:
        groups.setdefault((curve.system, curve.shape, curve.source), []).append(curve)
    return [_union(parts) if len(parts) > 1 else parts[0] for parts in groups.values()]


def _union(parts: Sequence[Curves]) -> Curves:
    """Where runs overlap the first counts; derivatives are those through the fields of all."""
    s, t = (np.unique(np.concatenate([getattr(curves, name) for curves in parts]).round(9)) for name in ("s", "t"))
    ln_z, stderr, k, chi = np.full((4, len(s), len(t)), np.nan)
    scgf = np.full(len(s), np.nan)
    for curves in parts:
        rows, place = np.searchsorted(s, curves.s.round(9)), np.searchsorted(t, curves.t.round(9))
        at = np.ix_(rows, place)
        for whole, part in ((ln_z, curves.ln_z), (stderr, curves.stderr)):
            whole[at] = np.where(np.isnan(whole[at]), part, whole[at])
        scgf[rows] = np.where(np.isnan(scgf[rows]), curves.scgf, scgf[rows])
    first = parts[0]
    for j in range(len(t)):
        here = np.isfinite(ln_z[:, j])
        slopes = _slopes(first.source, s[here], t[j : j + 1], ln_z[here, j : j + 1], first.n)
        k[here, j], chi[here, j] = (part[:, 0] for part in slopes)
    cpu_s = sum(curves.cpu_s or 0.0 for curves in parts)
    return trusted(Curves(first.source, first.system, first.shape, s, t, ln_z, stderr, k, chi, scgf, cpu_s))


def trusted(curve: Curves) -> Curves:
    """Of clones, ``k`` and ``chi`` are NaN where their standard errors leave ``k`` open, and at times at which ``k``
    grows with ``s`` by as much: ``ln Z`` is convex, so there the clones have lost the trajectories that decide it."""
    if curve.source != "clones":
        return curve
    top = BLUR * np.nanmax(curve.k)
    lost = np.fmax.reduce(curve.k - np.fmin.accumulate(curve.k, axis=0), axis=0) > top
    bad = (noise(curve.s, curve.t, curve.stderr, curve.n) > top) | lost
    return replace(curve, k=np.where(bad, np.nan, curve.k), chi=np.where(bad, np.nan, curve.chi))


def stored(path: Path, besides: Sequence[Curves]) -> list[Curves]:
    """What `table_of` wrote into the CSV ``path`` before, of the systems, shapes and sources not ``besides``."""
    if not path.exists():
        return []
    numbers = ("s", "t", "ln_Z", "stderr", "k", "minus_chi", "scgf", "cpu_s")
    words = ("system", "shape", "source")
    table = read_table(path, numbers, words, keys=(*words, "s", "t"))
    known = {(curve.system, shape_text(curve.shape), curve.source) for curve in besides}
    out = []
    for (system, shape, source), group in table.groupby(["system", "shape", "source"]):
        if (system, shape, source) in known:
            continue
        if (system, str(shape).count("x") + 1) not in NAMES or source not in SOURCES or not _enough(group):
            raise damaged(path, f"has rows of {system} {shape} by {source} that no run leaves")
        grids = [group.pivot(index="s", columns="t", values=name) for name in ("ln_Z", "stderr", "k", "minus_chi")]
        s, t = grids[0].index.to_numpy(float), grids[0].columns.to_numpy(float)
        lengths = tuple(int(n) for n in str(shape).split("x"))
        ln_z, stderr, k, chi = (grid.to_numpy(float) for grid in grids)
        scgf, cpu_s = group.groupby("s").scgf.first().to_numpy(float), float(group.cpu_s.iloc[0])
        out.append(trusted(Curves(str(source), str(system), lengths, s, t, ln_z, stderr, k, chi, scgf, cpu_s)))
    return out


def completed(new: pd.DataFrame, path: Path, keys: Sequence[str], read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    """``new`` and, of the CSV ``path`` that an earlier call wrote, the rows with other ``keys``. Raises ``InputError``
    where both are empty."""
    old = read(path) if path.exists() else pd.DataFrame({key: [] for key in keys})
    known = set(zip(*(new[key] for key in keys))) if len(new) else set()
    kept = old[[row not in known for row in zip(*(old[key] for key in keys))]] if len(old) else old
    both = pd.concat([part for part in (new, kept) if len(part)] or [new], ignore_index=True)
    if both.empty:
        raise InputError(f"there is no {str(path)!r}: give folders that `vanbench run tang2024-...` wrote.")
    return both


def derivatives(s: np.ndarray, t: np.ndarray, ln_z: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """``k`` and ``-chi`` at the fields ``s``, ``(n_s, n_t)``."""
    first, second = transition.derivatives(s, ln_z)
    return -first / (n * t), second / (n * t)


def convex(s: np.ndarray, t: np.ndarray, ln_z: np.ndarray, k: np.ndarray, n: int) -> np.ndarray:
    """``k`` between the slopes to the fields on either side, where the convexity of ``ln Z`` puts it: across a sharp
    transition the spline swings beyond."""
    slopes = -np.diff(ln_z, axis=0, prepend=0.0) / (n * t * np.diff(s, prepend=0.0)[:, None])
    after = np.concatenate([slopes[1:], np.zeros_like(slopes[:1])])
    return np.clip(k, after, slopes)


def noise(s: np.ndarray, t: np.ndarray, stderr: np.ndarray, n: int) -> np.ndarray:
    """The standard error of ``k`` for independent errors of ``ln Z``, ``(n_s, n_t)``."""
    weights = transition.derivatives(s, np.eye(len(s)))[0]  # d ln Z/ds at each field from ln Z at every field
    return np.sqrt(weights**2 @ stderr**2) / (n * t)


def exact_curves(system: str, shape: tuple[int, ...], folder: Path = FOLDER) -> Curves | None:
    """The stored table (c = 0.5, continuous time), or None where there is none. Where it has no ``k`` it comes from the
    spline, or is NaN with too few fields for one."""
    for case in CASES.values():
        if case.system == system and case.shape == shape and not case.params and (folder / f"{case.name}.csv").exists():
            table = read(folder / f"{case.name}.csv")
            break
    else:
        return None
    table = table[(table.scheme == "continuous") & table.t.notna()]
    ln_z = _pivot(table, "ln_Z")
    k, chi = (_pivot(table, name).reindex_like(ln_z) for name in ("activity", "susceptibility"))
    s, t = ln_z.index.to_numpy(float), ln_z.columns.to_numpy(float)
    values = ln_z.to_numpy()
    slopes = k.to_numpy(), -chi.to_numpy()
    if not np.isfinite(slopes[0]).all() and len(s) >= ENOUGH:
        slopes = derivatives(s, t, values, int(np.prod(shape)))
        slopes = convex(s, t, values, slopes[0], int(np.prod(shape))), slopes[1]
        s, values, slopes = s[:-1], values[:-1], (slopes[0][:-1], slopes[1][:-1])  # at the end it has nothing beyond
    return Curves("exact", system, shape, s, t, values, np.zeros_like(values), *slopes, np.full_like(s, np.nan))


def _pivot(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    wide = table[table.quantity == quantity].pivot(index="s", columns="t", values="value")
    return wide.astype(float)


def table_of(curve: Curves) -> pd.DataFrame:
    """Tidy rows of one source."""
    s, t = np.meshgrid(curve.s, curve.t, indexing="ij")
    flat = {name: getattr(curve, name).ravel() for name in ("ln_z", "stderr", "k", "chi")}
    flat["scgf"] = np.repeat(curve.scgf, len(curve.t))
    frame = pd.DataFrame({"s": s.ravel(), "t": t.ravel(), **flat}).rename(columns={"chi": "minus_chi", "ln_z": "ln_Z"})
    frame.insert(0, "source", curve.source)
    frame.insert(0, "shape", shape_text(curve.shape))
    frame.insert(0, "system", curve.system)
    return frame.assign(cpu_s=curve.cpu_s)
