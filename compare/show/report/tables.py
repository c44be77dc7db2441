"""The tables of a report: text for people, and beside each cell the number by which it is sorted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.judge.growth import laws
from vanbench.compare.run.record import Record
from vanbench.compare.show import columns
from vanbench.compare.show.columns import COLUMNS, MISSING, scientific
from vanbench.compare.show.tables import telling
from vanbench.compare.show.warned import marked
from vanbench.exact.definitions.quantity import AXES

SETTINGS = ("site", "s", "t", "seeds", "sizes")
LAWS = {"power": "A N^b", "exponential": "A exp(b N)"}


@dataclass(frozen=True)
class Cell:
    """``key`` sorts numerically where it is a number; ``links`` are (text, address) pairs."""

    text: str
    key: float | str | None = None
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Table:
    """``hints`` say what a column is, in words; ``numeric`` columns are set flush right.

    ``shared``: columns (heading, text) in which every row says the same; they stand above the table, not in it.
    ``below``: sentences that marks in the rows stand for.
    """

    headings: list[str]
    hints: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]
    shared: tuple[tuple[str, str], ...] = ()
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    heading: str
    hint: str
    cell: Callable[[dict[str, Any]], Cell]
    numeric: bool = True
    setting: bool = False  # part of the question, not of the answer: said once where all rows share it


def error_table(rows: pd.DataFrame, links: dict[tuple, tuple[tuple[str, str], ...]] | None = None) -> Table:
    """One line a case of ``collect.summarise``; columns in which no case has anything are left out."""
    given = links or {}
    marks, below = marked(list(rows["warning"]) if "warning" in rows else [""] * len(rows))
    rows = rows.assign(mark=marks)
    told = telling(rows)
    own = [_as_everywhere(column) for column in COLUMNS.values() if column.setting or column.name in told]
    own.append(Column("records", "one for each seed", lambda r: Cell("", None, given.get(case(r), ())), numeric=False))
    return replace(_table(own, rows.to_dict("records")), below=tuple(below))


def distance_table(named: Sequence[tuple[str, Record]]) -> Table | None:
    """Distances between whole distributions at the last time, one line a record; None where no record holds any."""
    lines = []
    for task, record in named:
        frame = record.frame("distances")
        for row in frame.to_dict("records"):
            lines.append({**row, "task": task, "label": record.label, "record": record, "seed": record.run.seed})
    if not lines:
        return None
    columns = [
        _name("task", "task", "the physical question"),
        _name("network", "label", "the architecture and its options"),
        _shape(),
        _plain("s", "s", AXES["s"]),
        _plain("t", "t", AXES["t"]),
        _plain("seed", "seed", "of the run"),
        _name("against", "reference", "continuous time, or the exact vector under the same time steps"),
        _part("total variation", "total_variation", "sum |p − q| / 2"),
        _part("Hellinger", "hellinger", "√(sum (√p − √q)² / 2)"),
        _part("KL(exact, network)", "kl_exact_network", "nats"),
        _part("KL(network, exact)", "kl_network_exact", "nats"),
    ]
    return _table(columns, lines)


def run_table(named: Sequence[tuple[str, Path, Record]], address: Callable[[Path], str]) -> Table:
    """One line a record: what it ran on, and what it cost."""
    lines = [{**record.provenance, "task": t, "record": record, "path": path} for t, path, record in named]
    columns = [
        Column(
            "record",
            "its file",
            lambda r: Cell("", r["path"].name, ((r["path"].name, address(r["path"])),)),
            numeric=False,
        ),
        _name("task", "task", "the physical question"),
        Column("task hash", "of all that the numbers depend on", lambda r: Cell(r["record"].task_hash), numeric=False),
        Column("network", "the architecture", lambda r: Cell(r["record"].label), numeric=False),
        _shape(),
        Column("seed", "of the run", lambda r: _number(r["record"].run.seed)),
        Column("commit", "of the code; * has changes on top", lambda r: Cell(commit_text(r["record"])), numeric=False),
        _name("device", "device", "where the network ran"),
        Column(
            "precision",
            "of the network",
            lambda r: Cell("" if r["record"].imported else r["record"].task.dtype),
            numeric=False,
        ),
        Column("wall (s)", "time passed", lambda r: _number(r["record"].wall_s)),
        Column("CPU (s)", "processor time", lambda r: _number(r["record"].cpu_s)),
        Column("memory (MiB)", "peak, resident", lambda r: _number(r["record"].peak_memory_mib)),
    ]
    return _table(columns, lines)


def growth_table(summary: pd.DataFrame) -> Table | None:
    """The fitted laws of ``growth.laws``, one line each; None where nothing has three sizes."""
    fitted = laws(summary)
    words = {True: "grows", False: "shrinks", None: "undecided"}
    columns = [
        _name("task", "task", "the physical question"),
        _name("network", "architecture", "the architecture and its options"),
        _name("quantity", "quantity", "whose error"),
        _plain("s", "s", AXES["s"]),
        _plain("t", "t", AXES["t"]),
        Column("error", "what is fitted", lambda r: Cell(LAWS[r["law"]]), numeric=False),
        Column("b", "the fitted exponent", lambda r: Cell(f"{r['rate']:.3g}", r["rate"])),
        Column("95 % interval", "of b", lambda r: Cell(f"{r['low']:.2g} to {r['high']:.2g}", r["high"] - r["low"])),
        _plain("sizes", "sizes", "points of the fit"),
        Column("scatter", "of ln error about the law", lambda r: Cell(f"{r['scatter']:.2g}", r["scatter"])),
        Column("with N it", "what the interval allows", lambda r: Cell(words[r["growth"].grows]), numeric=False),
    ]
    return None if fitted.empty else _table(columns, fitted.to_dict("records"))


def case(row: dict[str, Any]) -> tuple[str, str, str]:
    """What the records of a line share: they differ in the seed alone."""
    return row["task"], row["architecture"], row["shape"]


def commit_text(record: Record) -> str:
    sha, dirty = record.provenance.get("commit"), record.provenance.get("dirty")
    return f"{str(sha)[:10]}{'*' if dirty else ''}" if sha else MISSING


def _table(columns: list[Column], lines: list[dict[str, Any]]) -> Table:
    cells = [[column.cell(line) for column in columns] for line in lines]
    told = [k for k in range(len(columns)) if any(row[k].links or row[k].text not in ("", MISSING) for row in cells)]
    same = [k for k in told if len(cells) > 1 and columns[k].setting and len({row[k].text for row in cells}) == 1]
    kept = [k for k in told if k not in same]
    used = [columns[k] for k in kept]
    return Table(
        [column.heading for column in used],
        [column.hint for column in used],
        [column.numeric for column in used],
        [[row[k] for k in kept] for row in cells],
        tuple((columns[k].heading, cells[0][k].text) for k in same),
    )


def _shape() -> Column:
    def cell(row: dict[str, Any]) -> Cell:
        return Cell(shape_text(row["record"].run.shape), row["record"].n_sites)

    return Column("shape", "lattice lengths", cell, setting=True)


def _name(heading: str, field: str, hint: str) -> Column:
    return Column(heading, hint, lambda r: Cell(str(r.get(field) or MISSING)), numeric=False, setting=True)


def _plain(heading: str, field: str, hint: str) -> Column:
    return Column(heading, hint, lambda r: _number(r.get(field)), setting=heading in SETTINGS)


def _part(heading: str, field: str, hint: str) -> Column:
    return Column(heading, hint, lambda r: _pair(r, field, scientific))


def _as_everywhere(column: columns.Column) -> Column:
    """The column that all forms of the table have, with the number by which a browser sorts it."""

    def cell(row: dict[str, Any]) -> Cell:
        shown = columns.text(column.name, row)
        if column.kind == "text":
            return Cell(
                shown if column.name == "mark" else shown or MISSING, row["n_sites"] if column.name == "shape" else None
            )
        if shown == MISSING:
            return Cell(shown)
        return Cell(shown, columns.at_most(row) if shown.startswith("≤") else float(row[column.name]))

    return Column(column.heading, column.hint, cell, column.kind != "text", column.setting)


def _number(value: Any) -> Cell:
    number = float(value) if value is not None and not pd.isna(value) else math.nan
    if not math.isfinite(number):
        return Cell(MISSING)
    whole = number == int(number) and abs(number) < 1e15
    return Cell(str(int(number)) if whole else f"{number:.4g}" if abs(number) >= 1e-3 else f"{number:.2e}", number)


def _pair(row: dict[str, Any], field: str, text: Callable[[float, float], str]) -> Cell:
    value, stderr = row.get(field), row.get(f"{field}_se", math.nan)
    if value is None or not math.isfinite(value):
        return Cell(MISSING)
    return Cell(text(value, stderr), value)
