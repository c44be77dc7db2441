"""The README of results/wang2020, written from the tables beside it so that no number is typed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vanbench.compare.run.stored import read_table
from vanbench.compare.show.pages import page
from vanbench.exact.files import write_text

TARGETS = {"energy_error": 0.03, "magnetization_error": 0.05, "r2": 0.98}
JUDGED = ("main.csv", "shared.csv", "bounded.csv")


def write(out: Path) -> None:
    """out/README.md from whichever tables exist."""
    tables = {path.name: read_table(path) for path in out.glob("*.csv")}
    targets = list(_targets([tables[name] for name in JUDGED if name in tables])) if "main.csv" in tables else []
    drawn = {path.name for path in out.glob("*.png")}
    text = page(__file__, "results.md.j2", tables=tables, targets=targets, drawn=drawn)
    write_text(out / "README.md", text, out)


def _targets(tables: list[pd.DataFrame]) -> Iterator[tuple]:
    """Each run's ``run, quantity, sign, target, value, met``."""
    for _, row in pd.concat(tables).iterrows():
        for name, target in TARGETS.items():
            above = name == "r2"
            met = row[name] >= target if above else row[name] <= target
            yield row["run"], name, ">=" if above else "<=", target, row[name], met
