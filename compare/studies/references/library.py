"""The library ``results/references/``: systems that no vector holds, each value with its source and error.

``vanbench study references compute [CASE ...]`` fills a CSV file a system, one method and counting field after the
other; what was cut off goes on where it stopped. Parts that would take longer than asked are left out, and the page
that ``status`` writes says what is missing.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.run.stored import read_table
from vanbench.compare.show.pages import page
from vanbench.exact.definitions.quantity import DMRG, MPS
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.files import write_text
from vanbench.exact.mps.solve_tebd import expected_seconds
from vanbench.exact.solve import solve
from vanbench.exact.systems import build

FOLDER = Path("results/references")
FIELDS = (-0.1, 0.01, 0.02, 0.05, 0.1, 0.2)
TIMES = (1.0, 2.0, 5.0, 10.0)
COLUMNS = ["quantity", "s", "t", "site", "value", "bound", "bound_kind", "source", "note"]
STEADY = ["scgf", "scgf_lower", "trajectory_density"]
TARGETS = {"ln_Z": 1e-3, "density": 5e-3, "scgf": 1e-3}  # largest error, relative for ln_Z and theta; spins as density


@dataclass(frozen=True)
class Case:
    """One table. ``steady``: by DMRG too."""

    name: str
    system: str
    shape: tuple[int, ...]
    params: dict[str, Any] = field(default_factory=dict)
    fields: tuple[float, ...] = FIELDS
    times: tuple[float, ...] = TIMES
    quantities: tuple[str, ...] = ("ln_Z", "density")
    observable: str = "activity"
    steady: bool = True
    bond: int = 64

    def build(self) -> System:
        return build(self.system, self.shape, **self.params)

    @property
    def parts(self) -> list[tuple[str, float]]:
        """Methods and fields, the quick ones first."""
        return [(method, s) for method in ((DMRG, MPS) if self.steady else (MPS,)) for s in self.fields]


def _cases() -> list[Case]:
    chains = [Case(f"{name}-{n}", name, (n,)) for n in (40, 100, 200) for name in ("fa", "east")]
    squares = [
        Case(f"{name}-{n}x{n}", of, (n, n)) for n in (6, 8) for name, of in (("south-east", "east"), ("fa", "fa"))
    ]
    large = [Case(f"{name}-16x16", of, (16, 16)) for name, of in (("south-east", "east"), ("fa", "fa"))]
    cubes = [Case(f"south-east-front-{n}x{n}x{n}", "east", (n,) * 3) for n in (4, 5)]
    currents = {"quantities": ("ln_Z", "activity", "density"), "observable": "current", "steady": False}
    others = [
        Case("voter-16x16", "voter", (16, 16), steady=False),
        Case("asep-100", "asep", (100,), {"p": 1.0, "q": 0.5}, **currents),  # type: ignore[arg-type]
    ]
    spins: dict[str, Any] = {"quantities": ("sigma_x", "sigma_y", "sigma_z"), "observable": "jumps", "steady": False}
    spins |= {"fields": (0.0,), "times": (0.5, 1.0, 2.0)}
    rings = [Case(f"tfim-ring-{n}", "tfim", (n,), **spins) for n in (16, 32)]
    rings += [Case(f"heisenberg-ring-{n}", "heisenberg", (n,), **spins) for n in (20, 40)]
    rings += [Case("heisenberg-4x4", "heisenberg", (4, 4), **spins)]
    return [*chains, *squares, *others, *rings, *cubes, *large]


CASES = {case.name: case for case in _cases()}


def compute(case: Case, folder: Path = FOLDER, seconds: float = 600.0) -> None:
    """What the table of ``case`` lacks of the parts that are expected to take less than ``seconds``."""
    system, path = case.build(), folder / f"{case.name}.csv"
    for method, s in case.parts:
        if done(read(path), method, s) or expected(case, system, method, s) > seconds:
            continue
        began = time.process_time()
        options: dict[str, Any] = {"method": method, "observable": case.observable, "bond": case.bond}
        try:
            rows = solve(system, s, case.times, STEADY if method == DMRG else case.quantities, **options)
        except InputError as error:
            print(f"{case.name}: {error}", file=sys.stderr)
            continue
        table = pd.concat([read(path), rows.assign(source=method)], ignore_index=True).reindex(columns=COLUMNS)
        table = table.sort_values(["source", "quantity", "s", "t", "site"], kind="stable")
        table["bound"] = table.bound.map(lambda b: "" if pd.isna(b) else f"{b:.1e}")
        write_text(path, table.to_csv(index=False, float_format="%.12g"), folder)
        spent = time.process_time() - began
        print(f"{case.name}: {method} at s = {s:g} in {spent:.1f} CPU s", file=sys.stderr, flush=True)


def expected(case: Case, system: System, method: str, s: float) -> float:
    """CPU seconds of a part; of DMRG, whose sweeps are few, those of one pass of gates of all terms a hundred times."""
    if method == MPS:
        return expected_seconds(system, s, case.times, case.quantities, case.observable, case.bond // 2)
    width = case.shape[-1] if len(case.shape) > 1 else 1
    return 0.02 * system.n_sites * width


def read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    numbers = ("s", "t", "site", "value", "bound")
    return read_table(path, numbers, ("quantity", "note", "bound_kind", "source")).fillna({"note": ""})


def done(table: pd.DataFrame, method: str, s: float) -> bool:
    return bool(((table.source == method) & np.isclose(table.s.astype(float), s, rtol=1e-9)).any())


def status(folder: Path = FOLDER) -> str:
    """A Markdown page of every case: how much of it is there, its worst errors, what misses its target."""
    cases = [_progress(case, read(folder / f"{case.name}.csv")) for case in CASES.values()]
    return page(__file__, "status.md.j2", cases=cases, targets=TARGETS)


def _progress(case: Case, table: pd.DataFrame) -> dict[str, Any]:
    missing = [f"{method} at s = {s:g}" for method, s in case.parts if not done(table, method, s)]
    worst = {name: _worst(table, name) for name in TARGETS}
    missed = [name for name, value in worst.items() if value is not None and not value <= TARGETS[name]]
    return {
        "name": case.name, "sites": int(np.prod(case.shape)), "parts": len(case.parts),
        "done": len(case.parts) - len(missing), "worst": worst, "missed": missed,
    }  # fmt: skip


def _worst(table: pd.DataFrame, name: str) -> float | None:
    """The largest error, relative but of densities and spins."""
    spins = ("density", "sigma_x", "sigma_y", "sigma_z")
    rows = table[table.quantity.isin(spins) if name == "density" else table.quantity == name]
    if rows.empty:
        return None
    scale = 1.0 if name == "density" else np.maximum(rows.value.astype(float).abs(), 1e-6)
    return float((rows.bound.astype(float) / scale).max())
