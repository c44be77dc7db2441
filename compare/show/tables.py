"""Tables of errors by size, time, s, architecture or tracker; Markdown, CSV, LaTeX (booktabs, siunitx)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vanbench.compare.judge.collect import collect, last_times, scalars, summarise, task_names
from vanbench.compare.judge.errors import VECTORS
from vanbench.compare.judge.growth import SCALINGS, laws, scalings, sentences
from vanbench.compare.show import escape, latex
from vanbench.compare.show.columns import COLUMNS, in_latex
from vanbench.compare.show.columns import text as plain
from vanbench.compare.show.grid import Grid
from vanbench.compare.show.warned import marked
from vanbench.exact import InputError
from vanbench.exact.errors import unknown
from vanbench.exact.files import write_text

AXES = ("size", "time", "s", "architecture", "tracker")
FITTED = ("size", *SCALINGS)  # axes along which a law is fitted
FORMATS = ("md", "csv", "latex")
REFERENCED = (
    "reference is the source of the exact column, with its own error, which ± of the error includes; ≤ marks distances "
    "smaller than that error."
)
SUFFIX = {"md": "md", "csv": "csv", "latex": "tex"}
CASE = ("task", "shape", "s", "t")
ACROSS = ("architecture", "tracker")
FITTING = ("task", "tracker", "architecture", "shape", "s", "t", "value", "exact", "error", "error_per_site", "mark")
ALWAYS = ("task", "architecture", "shape", "s", "t", "seeds", "value", "exact", "error", "cpu_s")


def table(folder: Path, by: str = "size", quantity: str = "ln_Z") -> pd.DataFrame:
    """The summary of ``quantity`` along one axis, numbers in full (see ``collect.summarise`` for the columns).

    ``time``: the largest shape of each of its networks at every time; every other axis: at the last time of each task.
    Raises ``InputError`` for an unknown axis or quantity.
    """
    if by not in AXES and by not in SCALINGS:
        raise unknown("axis", by, [*AXES, *SCALINGS])
    return select(summarise(collect(folder)), by, quantity)


def select(summary: pd.DataFrame, by: str, quantity: str) -> pd.DataFrame:
    if quantity not in set(summary.quantity):
        raise unknown("quantity in these records", quantity, sorted(set(summary.quantity)))
    cases = summary[summary.quantity == quantity].copy()
    cases["task"] = task_names(cases)
    largest = cases.n_sites == cases.groupby(["task", "architecture"]).n_sites.transform("max")
    cases = cases[largest] if by == "time" else last_times(cases)
    network = ["architecture", "tracker"]
    first = {
        "size": ["task", *network, "s"],
        "time": ["task", *network, "s"],
        "s": ["task", *network, "n_sites"],
        "architecture": ["task", "n_sites", "s"],
        "tracker": ["system", "n_sites", "s", "t", "tracker"],  # one tracker a task: they meet across tasks
        **{axis: ["question", "n_sites", "s", "t", "tracker", "family", column] for axis, column in SCALINGS.items()},
    }
    order = [*first[by], "n_sites", "s", "t", *network, "task", "site", "distance"]
    return cases.sort_values(list(dict.fromkeys(order))).reset_index(drop=True)


def growth_of(folder: Path, cases: pd.DataFrame, by: str = "size") -> pd.DataFrame:
    """The fitted laws of the errors that ``cases`` shows: the growth with N, or along ``by`` of `growth.SCALINGS`."""
    if by in SCALINGS:
        return scalings(cases, by)
    shown = laws(summarise(collect(folder)))
    shown = shown[shown.quantity.isin(set(cases.quantity))]
    return shown.assign(task=task_names(shown)) if len(shown) else shown


def render(
    cases: pd.DataFrame,
    form: str = "md",
    growth: pd.DataFrame | None = None,
    records: str | None = None,
    columns: Sequence[str] | None = None,
    across: str | None = None,
) -> str:
    """``cases`` as text, and the laws ``growth`` below it.

    CSV keeps every number in full, and the column ``warning``; elsewhere rows have marks, and the sentences stand
    below. Markdown shows ``value ± standard error``; LaTeX has siunitx numbers, ``-0.61950(12)``. ``records``: the
    run's folder as seen from the text; each row of Markdown then links its record.

    columns
        names of ``COLUMNS``, in the order that is wished; by default what tells something, in LaTeX what fits a page.
    across
        ``architecture`` or ``tracker``: these stand side by side, one row a case, with the measured ``columns`` of each
        (by default the error).
    """
    if form not in FORMATS:
        raise unknown("format", form, list(FORMATS))
    if form == "csv":
        return escape.csv(cases[_csv_columns(cases, columns)] if columns else cases)
    marks, warnings = marked(cases["warning"] if "warning" in cases else [""] * len(cases))
    cases = cases.assign(mark=marks)
    under: list[str] = []
    if across:
        grid, numeric, under = side_by_side(cases, across, columns or ["error"], form)
    else:
        shown = list(columns or (_fitting(cases) if form == "latex" else telling(cases)))
        shown += ["mark"] if any(marks) and "mark" not in shown else []
        lines = cases.to_dict("records")
        grouped = form == "latex" and not columns and "task" in shown
        shown = [name for name in shown if name != "task"] if grouped else shown
        rows = [[cell(name, row, form) for name in shown] for row in lines]
        under = [_group(line) for line in lines] if grouped else []
        heads, numeric = [_heading(name, cases, form) for name in shown], [not _text(name) for name in shown]
        if records is not None and form == "md" and not columns:
            heads += ["record"]
            rows = [[*row, f"[json]({escape.address(records + line['record'])})"] for row, line in zip(rows, lines)]
        grid = Grid(heads, rows)
    text = grid.markdown() if form == "md" else grid.latex(numeric, under)
    return text + "\n" + _footnotes(cases, warnings, form, growth)


def column(name: str) -> str:
    """The column that goes by ``name``: as tables head it, or as CSV does. Raises ``InputError``."""
    by_heading = {column.heading: key for key, column in COLUMNS.items()}
    if name not in by_heading and name not in COLUMNS:
        raise unknown("column", name, list(by_heading))
    return by_heading.get(name, name)


def side_by_side(
    cases: pd.DataFrame, across: str, measured: Sequence[str], form: str
) -> tuple[Grid, list[bool], list[str]]:
    """A row a case, and for each network (or tracker) its ``measured`` columns; what varies not at all is left out.

    With which columns are numbers and, of LaTeX, the task that each row stands under, where there are several.
    """
    if across not in ACROSS:
        raise unknown("axis", across, list(ACROSS))
    if wrong := [name for name in measured if _text(name) or name in CASE]:
        raise InputError(f"--columns {wrong[0]}: with --across, columns are what is measured, like error,cpu_s.")
    keys = [name for name in (*CASE, *ACROSS) if name != across and cases[name].nunique() > 1] or ["shape"]
    each = list(dict.fromkeys(cases[across]))
    grouped = form == "latex" and "task" in keys and len(keys) > 1
    shown = [name for name in keys if not (grouped and name == "task")]
    rows, under = [], []
    for _, group in cases.groupby(keys, sort=False, dropna=False):
        of = {row[across]: row for row in group.to_dict("records")}
        first = next(iter(of.values()))
        cells = [_marked(name, of[kind], form) if kind in of else "" for kind in each for name in measured]
        rows.append([*(cell(name, first, form) for name in shown), *cells])
        under += [_group(first)] if grouped else []
    several = len(measured) > 1
    heads = [f"{kind}: {COLUMNS[name].heading}" if several else str(kind) for kind in each for name in measured]
    heads = [latex.escape(head) if form == "latex" else escape.markdown_cell(head) for head in heads]
    grid = Grid([*(_heading(name, cases, form) for name in shown), *heads], rows)
    return grid, [not _text(name) for name in shown] + [True] * len(heads), under


def _group(row: dict) -> str:
    return rf"\emph{{{latex.escape(row['task'])}}}"


def _marked(name: str, row: dict, form: str) -> str:
    return f"{cell(name, row, form)} {row['mark']}".rstrip()


def _heading(name: str, cases: pd.DataFrame, form: str) -> str:
    if form != "latex":
        return COLUMNS[name].heading
    return latex.heading(str(cases["quantity"].iloc[0]) if name == "value" and len(cases) else COLUMNS[name].heading)


def _csv_columns(cases: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """With the standard error of each beside it, after what says which case a row is."""
    named = [name for column in columns for name in (column, f"{column}_se") if name in cases]
    told = ["warning"] if "warning" in cases and (cases["warning"] != "").any() else []
    return list(dict.fromkeys([*CASE, *ACROSS, *named, *told]))


def telling(cases: pd.DataFrame) -> list[str]:
    """The names of the columns that say something about these cases."""
    return [name for name in COLUMNS if name in cases and (name in ALWAYS or _worth(name, cases))]


def _fitting(cases: pd.DataFrame) -> list[str]:
    """What fits the width of a page: which case, its value and error; what is the same in every row is left out."""
    same = _same(cases)
    return [name for name in telling(cases) if name in FITTING and name not in same]


def _same(cases: pd.DataFrame) -> dict[str, str]:
    """What every row says of its case, by the name of the column."""
    same = [name for name in (*CASE, *ACROSS) if len(cases) > 1 and cases[name].nunique() == 1]
    return {name: cell(name, cases.iloc[0].to_dict(), "md") for name in same}


def write_tables(folder: Path) -> list[Path]:
    """``tables/<quantity>_by_<axis>.{md,csv,tex}`` under ``folder`` for every quantity that is one number."""
    summary = summarise(collect(folder))
    written = []
    for quantity in sorted(set(scalars(summary).quantity)):
        grown = laws(summary[summary.quantity == quantity])
        for by in AXES:
            cases = select(summary, by, quantity)
            for form in FORMATS:
                path = folder / "tables" / f"{escape.file_name(quantity)}_by_{by}.{SUFFIX[form]}"
                write_text(path, render(cases, form, grown if by == "size" else None, "../"), folder)
                written.append(path)
    if not written:
        raise InputError(f"{str(folder)!r}: its records hold nothing to tabulate.")
    return written


def cell(name: str, row: dict, form: str) -> str:
    """One value as text in ``form``, with its standard error."""
    if form == "latex":
        return in_latex(name, row)
    return escape.markdown_cell(row[name]) if _text(name) else plain(name, row)


def _text(name: str) -> bool:
    return COLUMNS[name].kind == "text"


def _footnotes(cases: pd.DataFrame, warnings: list[str], form: str, growth: pd.DataFrame | None) -> str:
    """The sentences of the marks, the meaning of the columns, the laws, and the notes of the rows, once each."""
    notes = sorted({note for notes in cases["note"] for note in str(notes).split("; ") if note})
    lines = [
        *(f"warning {text}" for text in warnings),
        "± is the standard error over seeds; error is the total against continuous time, divided by |exact| where the "
        "quantity is relative; the parts are on the same scale.",
        *([REFERENCED] if _referenced(cases) else []),
        *(sentences(growth) if growth is not None else []),
        *notes,
    ]
    if form == "latex" and (same := _same(cases)):
        lines.insert(0, "every row: " + ", ".join(f"{COLUMNS[name].heading} {text}" for name, text in same.items()))
    if form == "latex":  # in comments, which end with the line
        return "\n" + "".join(f"% {escape.printable(line)}\n" for line in lines)
    return "\n" + "".join(f"{escape.markdown(line)}\n\n" for line in lines)


def _referenced(cases: pd.DataFrame) -> bool:
    """Whether a reference is not of exact vectors, as all are in tables that do not say."""
    return "source" in cases and bool((cases["source"] != VECTORS).any())


def _worth(name: str, cases: pd.DataFrame) -> bool:
    """Whether a column adds information; columns of zeros or of dashes are left out."""
    if name in ("tracker", "quantity", "samples"):
        return cases[name].nunique() > 1
    if name in ("source", "uncertainty"):
        return _referenced(cases)
    if name == "network" and cases["projection"].notna().all():
        return False  # it is their sum
    if name == "error_per_site" and cases["error"].notna().all():
        return False  # shown only where a reference of zero leaves no relative error
    if name == "mark":
        return bool((cases[name] != "").any())
    numbers = pd.to_numeric(cases[name], errors="coerce")
    return bool(numbers.notna().any() and (numbers.fillna(0) != 0).any())
