"""``write_report``: a run folder as one HTML page that needs nothing but a browser."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import jinja2
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.judge.collect import collect, last_times, summarise, task_names
from vanbench.compare.judge.errors import PARTS, part_label
from vanbench.compare.run import missing
from vanbench.compare.run.record import Record, records
from vanbench.compare.show.escape import visible
from vanbench.compare.show.report.cost import cost_panels
from vanbench.compare.show.report.figures import task_panels
from vanbench.compare.show.report.source import origins
from vanbench.compare.show.report.svg import GLYPHS, Panel
from vanbench.compare.show.report.tables import Table, distance_table, error_table, growth_table, run_table
from vanbench.compare.show.report.verdict import verdict
from vanbench.exact import InputError
from vanbench.exact.files import resolved, write_text

NAME = "report.html"
Mark = tuple[str, int | str, str]  # glyph, number or name of its colour, what it stands for
PART_MARKS: list[Mark] = [(glyph, name, part_label(name)) for glyph, name in zip("○■◆▲▼", ("error", *PARTS))]
MOST_ROWS = 5000  # of one table; a browser sorts as many at once
ORDER = ["task", "quantity", "s", "n_sites", "architecture", "t", "distance"]
Named = tuple[str, Path, Record]  # the task's name on the page, the record's file, the record


@dataclass(frozen=True)
class Section:
    """One task on the page."""

    key: str
    name: str
    question: str
    config: str
    panels: list[Panel]
    marks: list[Mark]  # of the networks and the parts of an error that the panels show
    part_marks: list[Mark]


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of the records under ``folder`` to ``out`` (by default ``report.html`` in it) and return its path.

    Raises ``InputError`` where there are no records, one cannot be read, or ``out`` cannot be written.
    """
    stored = list(records(folder))
    root = folder if out is None else None
    out = folder / NAME if out is None else out
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"{str(out)!r} cannot be written: give the path of a file in a folder that exists.")
    page = render(folder, stored, out)
    write_text(out, page, root)
    return out


def render(folder: Path, stored: Sequence[tuple[Path, Record]], out: Path) -> str:
    """The page of the records ``stored`` under ``folder`` as text; links to them are relative to ``out``."""
    summary = summarise(collect(folder))
    told = task_names(summary)
    names = dict(zip(zip(summary.task, summary.task_hash), told))
    summary["task"] = told
    named = [(names[record.task.name, record.task_hash], path, record) for path, record in stored]
    networks = sorted(summary.architecture.unique())
    scalar = summary[summary.site.isna()].sort_values(ORDER)
    last = last_times(scalar)

    def address(path: Path) -> str:
        return quote(Path(os.path.relpath(resolved(path), resolved(out.parent))).as_posix())

    content = {
        "title": _title(folder),
        "counts": _counts(summary, stored),
        "verdict": verdict(summary, [record for _, record in stored], missing.sentence(folder, [r for _, r in stored])),
        "marks": marks_of(networks, networks),
        "last": _capped(error_table(last, _links(named, address))),
        "every": _capped(error_table(scalar)) if len(scalar) > len(last) else None,
        "growth": growth_table(summary),
        "distances": _capped(distance_table([(name, record) for name, _, record in named])),
        "cost": list(cost_panels(scalar, networks, "cost")),
        "sections": _sections(summary, named, networks),
        "origins": origins([record for _, record in stored]),
        "runs": _capped(run_table(named, address)),
        "most_rows": MOST_ROWS,
    }
    return environment().get_template("report.html").render(content)


def _links(named: Sequence[Named], address: Callable[[Path], str]) -> dict[tuple, tuple[tuple[str, str], ...]]:
    """The records of each case, by ``report_tables.case``: their replica's number and address."""
    links: dict[tuple, tuple[tuple[str, str], ...]] = {}
    for name, path, record in named:
        key = (name, record.label, shape_text(record.run.shape))
        links[key] = (*links.get(key, ()), (str(record.run.replica + 1), address(path)))
    return links


def _sections(summary: pd.DataFrame, named: Sequence[Named], networks: Sequence[str]) -> list[Section]:
    sections = []
    for number, (name, rows) in enumerate(summary.groupby("task", sort=True)):
        record = next(record for own, _, record in named if own == name)
        sections.append(_section(number, str(name), rows, record, networks))
    return sections


def _section(number: int, name: str, rows: pd.DataFrame, record: Record, networks: Sequence[str]) -> Section:
    held = {k: v for k, v in record.task.model_dump(mode="json").items() if v not in (None, "", {}, [])}
    params = ", ".join(f"{k} = {v}" for k, v in record.params.items() if v not in ({}, [], None))
    shapes = ", ".join(dict.fromkeys(rows.sort_values("n_sites")["shape"]))
    tilt, tracker = record.task.observable, record.method
    question = f"{record.system}, {params}; shapes {shapes}; {tilt} tilted by s; tracker {tracker}"
    panels = list(task_panels(rows, networks, f"f{number}"))
    drawn = "".join(panel.svg for panel in panels)
    marks = marks_of(networks, set(rows.architecture))
    parts = [mark for mark in PART_MARKS if f"var(--part-{mark[1]})" in drawn]
    config = json.dumps(held, indent=2, ensure_ascii=False)
    return Section(f"task-{number}", name, question, config, panels, marks, parts)


def marks_of(networks: Sequence[str], shown: Collection[str]) -> list[Mark]:
    """Of those ``shown``; their place among all ``networks`` gives the glyph and the colour."""
    n = len(GLYPHS)
    return [(GLYPHS[k % n], k % n, name) for k, name in enumerate(networks) if name in shown]


def _title(folder: Path) -> str:
    suite = missing.suite_of(folder)
    return suite.name if suite else resolved(folder).name  # a folder of single runs has no suite


def _counts(summary: pd.DataFrame, stored: Sequence[tuple[Path, Record]]) -> str:
    numbers = {
        "record": len(stored),
        "task": summary.task.nunique(),
        "network": summary.architecture.nunique(),
        "shape": summary["shape"].nunique(),
    }
    return ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for noun, n in numbers.items())


def _capped(table: Table | None) -> Table | None:
    return table and replace(table, rows=table.rows[:MOST_ROWS])


def environment(folder: Path | None = None) -> jinja2.Environment:
    """The templates of the report, before those in ``folder``."""
    own = jinja2.PackageLoader("vanbench.compare.show", "templates")
    return jinja2.Environment(
        loader=own if folder is None else jinja2.ChoiceLoader([jinja2.FileSystemLoader(folder), own]),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # drawings are markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
