"""The stored exact tables: which there are, and how one is read. `vanbench study exact_tables` computes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.run.stored import read_table
from vanbench.exact.definitions.system import System
from vanbench.exact.systems import build

FOLDER = Path("results/exact")
PUBLISHED_LAST = 999.05  # the latest time of the published network values (`studies/exact_tables/published.py`)
TIMES = np.array([0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, PUBLISHED_LAST, 1000])
FIELDS = np.round(np.logspace(-2, 0, 21), 10)
ROUNDED = 0.01  # fields of the grid are 12 % apart
COLUMNS = ["quantity", "scheme", "s", "t", "value", "bound", "note"]


@dataclass(frozen=True)
class Case:
    """One table: a system at one size over the common grid of ``s`` (times ``sign``) and times."""

    name: str
    system: str
    shape: tuple[int, ...]
    params: dict[str, Any] = field(default_factory=dict)
    sign: float = 1.0
    dt: float = 0.05

    def build(self) -> System:
        return build(self.system, self.shape, **self.params)

    @property
    def fields(self) -> np.ndarray:
        return self.sign * FIELDS


def _cases() -> list[Case]:
    square = [(n, n) for n in (3, 4, 5)]
    cases = [Case(f"south-east-{n}x{n}", "east", (n, n)) for n, _ in square]
    cases += [Case(f"fa-{n}x{n}", "fa", (n, n), dt=0.025 if n == 5 else 0.05) for n, _ in square]
    cases += [Case(f"south-east-front-{n}x{n}x{n}", "east", (n, n, n)) for n in (2, 3)]
    cases += [Case(f"{name}-{n}", name, (n,)) for name in ("fa", "east") for n in range(4, 25, 4)]
    low = {"c": 0.05}
    cases += [Case(f"south-east-{n}x{n}-c0.05", "east", (n, n), low, -1.0) for n, _ in square]
    corner = {"c": 0.05, "pinned": "first"}
    cases += [Case(f"fa-corner-{n}x{n}-c0.05", "fa", (n, n), corner, -1.0) for n, _ in square]
    return sorted(cases, key=lambda case: len(case.build().free_sites))


CASES = {case.name: case for case in _cases()}


def read(path: Path) -> pd.DataFrame:
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    numbers = ("s", "t", "value", "bound")
    table = read_table(path, numbers, ("quantity", "scheme", "note"), COLUMNS[:4])
    return table.fillna({"note": ""})
