"""The README of results/wang2020, written from the tables beside it so that no number is typed by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vanbench.compare.learn.ising import predict
from vanbench.compare.run.stored import damaged, read_table
from vanbench.compare.show.pages import page
from vanbench.exact.files import write_text

TARGETS = {"energy_error": 0.03, "magnetization_error": 0.05, "r2": 0.98}
JUDGED = ("main.csv", "shared.csv", "bounded.csv")
BLOCKS = ("coarse1.csv", "coarse2.csv")
COLUMNS: dict[str, tuple] = {name: (list(TARGETS), ["run"]) for name in JUDGED}
COLUMNS |= {name: (predict.COLUMNS[1:7], ["quantity"]) for name in BLOCKS}


def write(out: Path) -> None:
    """out/README.md from whichever tables exist."""
    tables = {path.name: _rows(path) for path in out.glob("*.csv")}
    targets = list(_targets([tables[name] for name in JUDGED if name in tables])) if "main.csv" in tables else []
    drawn = {path.name for path in out.glob("*.png")}
    text = page(__file__, "results.md.j2", tables=tables, targets=targets, drawn=drawn)
    write_text(out / "README.md", text, out)


def _rows(path: Path) -> pd.DataFrame:
    """Of a table that has some."""
    table = read_table(path, *COLUMNS.get(path.name, ()))
    if table.empty:
        raise damaged(path, "has no rows")
    return table


def _targets(tables: list[pd.DataFrame]) -> Iterator[tuple]:
    """Each run's ``run, quantity, sign, target, value, met``."""
    for _, row in pd.concat(tables).iterrows():
        for name, target in TARGETS.items():
            above = name == "r2"
            met = row[name] >= target if above else row[name] <= target
            yield row["run"], name, ">=" if above else "<=", target, row[name], met
