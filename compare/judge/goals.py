"""Which goals a suite reached: the largest error over a task's times, and what it cost.

The error is that of ``ln Z``, or of the quantities that the goal names, as `compare.judge.errors` defines it (spins:
absolute), against exact continuous time: the references of the run, or where it has none, for ``ln Z``, the stored
tables of `compare.run.exact_tables` at the times they share. Where neither is, it is measured from the clones of the
same folder (tracker ``clones`` on the same system, shape, ``s`` and times), whose own standard error stands beside it.
Of a run that its budget cut off, or that diverged, the row says so: the error is that of the report times it reached.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.run.exact_tables import CASES, FOLDER, read
from vanbench.compare.run.record import Record, record_files, records, unfinished
from vanbench.compare.run.stored import read_table
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import label, markdown_cell
from vanbench.compare.show.grid import Grid

HEADINGS = {
    "task": "case",
    "shape": "shape",
    "of": "quantities",
    "t": "to t",
    "tracker": "tracker",
    "network": "network",
    "parameters": "parameters",
    "seeds": "seeds",
    "ended": "ended early",
    "error": "largest error (median)",
    "stderr": "clones' own error",
    "goal_error": "goal",
    "cpu_s": "CPU s (median)",
    "goal_seconds": "goal (s)",
    "reached": "reached",
}
KEYS = ["task", "shape", "tracker", "network"]
COLOURS = [*canvas.COLOURS, "tab:cyan", "gold", "navy"]


def goals(folder: Path) -> pd.DataFrame:
    """One row for each task, shape and network: medians over the seeds, and whether the goal was reached.

    Raises ``InputError`` where there are no records.
    """
    early = unfinished(folder)
    nothing = early and not any(record_files(folder))
    finished = [] if nothing else [record for _, record in records(folder)]
    every = finished + early
    clones = {_question(record): record for record in finished if record.task.tracker == "clones"}
    rows = pd.DataFrame([_row(record, clones.get(_question(record))) for record in every])
    out = []
    for _, group in rows.groupby(KEYS, sort=False):
        first, error, cost = group.iloc[0].to_dict(), group.error.median(), group.cpu_s.median()
        first["ended"] = ", ".join(sorted(set(group.ended) - {""}))
        first["t"] = group.t.min()
        reached = "" if pd.isna(first["goal_error"]) else _verdict(error, cost, first)
        out.append({**first, "seeds": len(group), "error": error, "cpu_s": cost, "reached": reached})
    return pd.DataFrame(out)[list(HEADINGS)].sort_values(["task", "tracker", "network"]).reset_index(drop=True)


def joined(table: pd.DataFrame, stored: Path) -> pd.DataFrame:
    """The table with the rows of a ``stored`` one (CSV) that it lacks."""
    words = ("task", "shape", "tracker", "network", "ended", "reached")
    old = read_table(stored, ("seeds", "error", "cpu_s"), words).fillna({"ended": "", "reached": ""})
    new = set(table[KEYS].itertuples(index=False, name=None))
    rest = old[[row not in new for row in old[KEYS].itertuples(index=False, name=None)]]
    return pd.concat([table, rest], ignore_index=True).sort_values(KEYS).reset_index(drop=True)


def _row(record: Record, clones: Record | None) -> dict[str, Any]:
    goal = record.task.goal
    quantities = goal.quantities if goal else ["ln_Z"]
    errors = record.frame("errors")
    if errors.empty:  # ended before the first report time
        errors = pd.DataFrame({"quantity": [], "t": [], "error": []}, dtype=float)
    errors = errors[errors.quantity.isin(quantities)]
    error, stderr = errors.error.max(), np.nan
    of_ln_z = quantities == ["ln_Z"]
    if not np.isfinite(error) and of_ln_z and len(errors):
        error = _from_library(record)
    if not np.isfinite(error) and of_ln_z and len(errors) and clones is not None and clones is not record:
        error, stderr = _from_clones(record, clones)
    return {
        "of": ", ".join(quantities),
        "task": record.task.name,
        "shape": shape_text(record.run.shape),
        "t": errors.t.max(),
        "tracker": record.method,
        "network": record.label if record.imported or record.diagnostics.get("n_parameters") else "–",
        "parameters": record.diagnostics.get("n_parameters"),
        "ended": _ended(record.diagnostics),
        "error": error,
        "stderr": stderr,
        "goal_error": goal.error if goal else None,
        "cpu_s": record.cpu_s,
        "goal_seconds": goal.seconds if goal else None,
    }


def _ended(diagnostics: dict[str, Any]) -> str:
    """How a run ended before its last time; "" for one that did not."""
    how = diagnostics.get("ended")
    return f"{how} at t = {diagnostics['ended_t']:.3g}" if how else ""


def _from_library(record: Record) -> float:
    """The largest error at the times and ``s`` of a stored exact table, NaN where there is none of this system."""
    tables = [case for case in CASES.values() if (case.system, case.shape) == (record.system, record.run.shape)]
    for case in tables:
        exact = read(FOLDER / f"{case.name}.csv")
        params = json.loads(json.dumps(dict(case.build().params), default=float))  # as a record stores them
        if params != record.params or exact.empty:
            continue
        exact = exact[(exact.quantity == "ln_Z") & (exact.scheme == "continuous")][["s", "t", "value"]]
        ours = record.frame("rows").query("quantity == 'ln_Z'")[["s", "t", "value"]]
        both = ours.merge(exact, on=["s", "t"], suffixes=("", "_exact"))
        return float(((both.value - both.value_exact) / both.value_exact).abs().max())
    return np.nan


def _from_clones(record: Record, clones: Record) -> tuple[float, float]:
    """The largest relative difference from the clones, and the clones' relative standard error at that time."""
    theirs, ours = (r.frame("rows").query("quantity == 'ln_Z'").set_index(["s", "t"]) for r in (clones, record))
    difference = ((ours.value - theirs.value).abs() / theirs.value.abs()).dropna()
    if difference.empty:
        return np.nan, np.nan
    worst = difference.idxmax()
    return float(difference[worst]), float(theirs.sampling_stderr[worst] / abs(theirs.value[worst]))


def _question(record: Record) -> str:
    task = record.task
    return json.dumps([record.system, record.run.shape, record.params, task.s, task.observable, task.times])


def _verdict(error: float, cost: float, goal: dict[str, Any]) -> str:
    if goal["ended"]:
        return "no: " + goal["ended"]
    if not np.isfinite(error):
        return "no reference"
    missed = [
        name for name, over in (("error", error > goal["goal_error"]), ("time", cost > goal["goal_seconds"])) if over
    ]
    return "no: " + ", ".join(missed) if missed else "yes"


def markdown(table: pd.DataFrame) -> str:
    """The table in Markdown; numbers to two digits, empty columns left out."""
    shown = [name for name in HEADINGS if table[name].notna().any() and (table[name] != "").any()]
    if (table["of"] == "ln_Z").all():
        shown.remove("of")
    rows = [[_cell(name, row[name]) for name in shown] for row in table.to_dict("records")]
    return Grid([HEADINGS[name] for name in shown], rows).markdown() + "\n"


def _cell(name: str, value: Any) -> str:
    if isinstance(value, str):
        return markdown_cell(value)
    if value is None or not np.isfinite(value):
        return "–"
    if name in ("error", "stderr", "goal_error"):
        return f"{value:.1e}"
    return f"{value:.0f}" if name in ("seeds", "parameters") or value >= 100 else f"{value:.3g}"


def cross(table: pd.DataFrame) -> str:
    """Networks down, tasks across: the largest error, how the run ended if early, CPU seconds."""
    cells = {}
    for row in table.to_dict("records"):
        text = "–" if pd.isna(row["error"]) else f"{row['error']:.1e}"
        if row["ended"]:
            text += f" ({markdown_cell(row['ended'])})"
        cells[row["network"], row["task"]] = f"{text}, {row['cpu_s']:.3g} s"
    networks, tasks = (list(dict.fromkeys(table[name])) for name in ("network", "task"))
    rows = [[markdown_cell(network), *(cells.get((network, task), "") for task in tasks)] for network in networks]
    return Grid(["network", *tasks], rows).markdown() + "\n"


def plot(table: pd.DataFrame, path: Path) -> None:
    """Error against CPU seconds, a panel a tracker: its own points in colour, each with the name of its network, those
    of the other trackers in grey behind; hollow where the run ended early.

    What has no error (ended before the first report time) stands in the table alone.
    """
    from matplotlib.lines import Line2D

    drawn = table[table.error > 0]
    trackers, networks = (list(dict.fromkeys(drawn[name])) for name in ("tracker", "network"))
    looks = dict(zip(networks, zip(itertools.cycle("os^Dv"), itertools.cycle(COLOURS))))
    columns = min(4, len(trackers))
    figure, axes = canvas.new(columns, -(-len(trackers) // columns), 2.7, 2.5, 120, sharex=True, sharey=True)
    for axis in axes.flat[len(trackers) :]:
        axis.set_visible(False)
    for k, (axis, tracker) in enumerate(zip(axes.flat, trackers)):
        axis.set_title(label(tracker), fontsize=9)
        if k % columns == 0:
            axis.set_ylabel("largest error")
        if k + columns >= len(trackers):
            axis.set_xlabel("CPU time (s)")
            axis.tick_params(labelbottom=True)
        axis.loglog(drawn.cpu_s, drawn.error, ".", color="0.85", ms=5)
        for row in drawn[drawn.tracker == tracker].to_dict("records"):
            marker, colour = looks[row["network"]]
            axis.plot(row["cpu_s"], row["error"], marker, color=colour, mfc="none" if row["ended"] else colour, ms=5.5)
    shown = [
        Line2D([], [], ls="", marker=marker, color=colour, label=label(name.replace("–", "no network")))
        for name, (marker, colour) in looks.items()
    ]
    shown.append(Line2D([], [], ls="", marker=".", color="0.85", label="the other trackers"))
    if (drawn.ended != "").any():
        shown.append(Line2D([], [], ls="", marker="o", color="0.4", mfc="none", label="hollow: ended early"))
    figure.legend(handles=shown, loc="outside lower center", ncols=max(1, columns - 1), fontsize=8)
    canvas.save(figure, path)
