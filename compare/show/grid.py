"""A table as Markdown, LaTeX or lines of a terminal, from one grid of cells."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vanbench.compare.show.escape import markdown_cell, printable

if TYPE_CHECKING:
    import pandas as pd

FILE_WIDTH = 180  # columns of a table that goes into a file or a CI log, where nothing says how wide it may be


@dataclass(frozen=True)
class Grid:
    """Cells that are text already, one row a line. Raises ``ValueError`` for rows of another length."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.headings) for row in self.rows):
            raise ValueError("every row of a table needs one cell a heading.")

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, or nothing, alone."""
        return [all(_is_number(row[index]) for row in self.rows) for index in range(len(self.headings))]

    def markdown(self) -> str:
        from tabulate import tabulate

        return tabulate(self.rows, self.headings, tablefmt="pipe", disable_numparse=True)

    def latex(self, numeric: Sequence[bool], under: Sequence[str] = ()) -> str:
        """A booktabs table of headings and cells that are LaTeX already; ``numeric`` columns are set flush right.

        ``under``: for each row a heading, which stands above the first of those that share it. A table that is wider
        than the line, which may be the column of a page with two, is scaled to fit.
        """
        columns = "".join("r" if right else "l" for right in numeric)
        head, *lines = (" & ".join(cells) + r" \\" for cells in (self.headings, *self.rows))
        for row in reversed(range(len(under))):
            if row == 0 or under[row] != under[row - 1]:
                lines.insert(row, rf"\multicolumn{{{len(self.headings)}}}{{l}}{{{under[row]}}} \\")
        return "\n".join(
            [
                r"% \usepackage{booktabs,graphicx,siunitx}",
                r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}\sbox0{%",
                *(rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *lines, r"\bottomrule"),
                r"\end{tabular}}%",
                r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi\endgroup",
            ]
        )

    def show(self, title: str = "") -> None:
        """Print it on stdout."""
        from rich.console import Console
        from rich.table import Table

        table = Table(title=printable(title) or None, title_justify="left")
        for name, right in zip(self.headings, self.numeric):
            table.add_column(printable(name), justify="right" if right else "left", no_wrap=right, overflow="fold")
        for row in self.rows:
            table.add_row(*map(printable, row))
        width = None if sys.stdout.isatty() else FILE_WIDTH
        Console(markup=False, highlight=False, emoji=False, width=width).print(table)


def markdown(frame: pd.DataFrame, floatfmt: str = "g", text: bool = False) -> str:
    """``frame`` without its index, blank where a value is missing; ``text``: with its cells as text, flush left."""
    from tabulate import tabulate

    rows = [[_safe(item) for item in row] for row in frame.astype(object).where(frame.notna(), None).to_numpy()]
    options: dict[str, Any] = {"floatfmt": floatfmt, "disable_numparse": text, "missingval": ""}
    return tabulate(rows, [_safe(name) for name in frame], tablefmt="pipe", **options)


def _safe(item: Any) -> Any:
    return markdown_cell(item) if isinstance(item, str) else item


def cell(value: Any) -> str:
    """A value in a Markdown table that is written by hand: three digits, nothing for None, text escaped."""
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else markdown_cell(value)


def _is_number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True
