"""``index.html`` of the standing table: leaderboards, laws, figures and every value, in one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.declare.task import Suite, load_suite
from vanbench.compare.judge.collect import last_times, summarise
from vanbench.compare.judge.growth import SCALINGS, scalings, sentences
from vanbench.compare.show.report.cost import cost_panels
from vanbench.compare.show.report.figures import size_panel
from vanbench.compare.show.report.page import MOST_ROWS, environment, marks_of
from vanbench.compare.show.report.svg import Panel
from vanbench.compare.show.report.tables import Cell, Table, error_table, growth_table
from vanbench.compare.studies.standing import board
from vanbench.compare.studies.standing.submissions import FINISHED, RUN, SUITE, stored
from vanbench.exact import InputError
from vanbench.exact.files import write_text


def write(folder: Path) -> Path:
    """Raises ``InputError`` where the table of ``folder`` has no runs."""
    frame = stored(folder)
    if frame.empty:
        raise InputError(f"{str(folder)!r} holds no runs: vanbench run {SUITE} --out DIR, then add DIR.")
    return write_text(folder / "index.html", rendered(frame, load_suite(SUITE)), folder)


def rendered(frame: pd.DataFrame, suite: Suite) -> str:
    """The page as text."""
    rows = board.cases(frame, suite)
    summary = summarise(frame[frame.ended == FINISHED])
    networks = sorted(frame.architecture.unique())
    groups = {name: board.leaderboard(own) for name, own in rows.groupby("group", sort=False)}
    content = {
        "counts": _counts(frame, suite),
        "groups": {name: _leaderboard(table) for name, table in groups.items()},
        "advice": _advice(board.advice(rows)),
        "marks": marks_of(networks, networks),
        "panels": list(_panels(summary, rows, networks)),
        "cost": list(cost_panels(summary, networks, "cost")),
        "growth": growth_table(summary),
        "scalings": [line for axis in SCALINGS for line in sentences(scalings(summary, axis))],
        "values": error_table(last_times(summary)),
        "lacking": _lacking(frame, suite),
        "most_rows": MOST_ROWS,
    }
    return environment(Path(__file__).with_name("templates")).get_template("index.html").render(content)


def _counts(frame: pd.DataFrame, suite: Suite) -> str:
    made = len(frame[RUN].drop_duplicates())
    asked = sum(len(list(task.runs())) for task in suite.tasks)
    contestants = frame[["architecture", "tracker"]].drop_duplicates()
    return f"{made} runs of {len(contestants)} contestants; the suite declares {asked}"


def _leaderboard(table: pd.DataFrame) -> Table:
    headings = ["network, tracker", "× the best", "95 %", "solved", "error", "CPU (s)", "parameters"]
    hints = [
        "the contestant",
        "median over cases of its error over the smallest one there",
        "of that, from three seeds on",
        "cases finished within the budget by every seed, of those entered",
        "median over its runs, relative where the quantity is",
        "median of a run",
        "median",
    ]
    lines = []
    for row in table.itertuples():
        interval = "–" if np.isnan(row.low) else f"{_times(row.low)} to {_times(row.high)}"
        solved = f"{row.solved} of {row.asked}"
        lines.append(
            [
                Cell(row.contestant),
                Cell(_times(row.relative), _sortable(row.relative)),
                Cell(interval, _sortable(row.low)),
                Cell(solved, row.solved / row.asked),
                Cell(f"{row.error:.1e}" if np.isfinite(row.error) else "–", _sortable(row.error)),
                Cell(f"{row.cpu_s:.3g}", row.cpu_s),
                Cell(f"{row.parameters:.0f}" if np.isfinite(row.parameters) else "–", _sortable(row.parameters)),
            ]
        )
    return Table(headings, hints, [False, True, True, True, True, True, True], lines)


def _times(ratio: float) -> str:
    return f"{ratio:.3g}" if np.isfinite(ratio) else "∞"


def _sortable(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _advice(table: pd.DataFrame) -> Table:
    headings = ["task", "shape", "s", "smallest error", "error", "cheapest within twice of it", "CPU (s)"]
    hints = ["the physical question", "lattice lengths", "counting field", "mean over seeds", "", "", "mean over seeds"]
    lines = [
        [
            Cell(row.task),
            Cell(row.shape, row.n_sites),
            Cell(f"{row.s:g}", row.s),
            Cell(row.best),
            Cell(f"{row.error:.1e}", row.error),
            Cell(row.frugal),
            Cell(f"{row.cpu_s:.3g}", row.cpu_s),
        ]
        for row in table.itertuples()
    ]
    return Table(headings, hints, [False, False, True, False, True, False, True], lines)


def _panels(summary: pd.DataFrame, rows: pd.DataFrame, networks: list[str]) -> Iterator[Panel]:
    """The error over size, a panel a question."""
    last = last_times(summary)
    judged = rows.drop_duplicates("question").set_index("question")
    for number, (question, first) in enumerate(judged.iterrows()):
        own = last[(last.question == question) & (last.quantity == first.quantity) & (last.error > 0)]
        for s, panel in own.groupby("s"):
            if panel.n_sites.nunique() > 1:
                yield size_panel(panel, networks, first.quantity, f"{first.task}, s = {s:g}", f"size-{number}-{s:g}")


def _lacking(frame: pd.DataFrame, suite: Suite) -> list[str]:
    """What is declared and not here, and what ended early, a sentence a task."""
    lines = []
    for task in suite.tasks:
        own = frame[frame.task == task.name].drop_duplicates(RUN)
        wanted = {(run.architecture.label, shape_text(run.shape), run.seed) for run in task.runs()}
        missing = len(wanted - set(zip(own.architecture, own["shape"], own.seed)))
        early = int((own.ended != FINISHED).sum())
        parts = [f"{missing} of {len(wanted)} runs not run"] if missing else []
        parts += [f"{early} ended early (out of budget, or diverged)"] if early else []
        if parts:
            lines.append(f"{task.name}: {', '.join(parts)}.")
    return lines
