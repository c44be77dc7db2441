"""The columns of a table of errors, a row each, and what stands in their cells, for every form of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from vanbench.compare.judge.errors import PARTS
from vanbench.compare.show import latex
from vanbench.exact.definitions.quantity import AXES

MISSING = "–"
Kind = Literal["text", "count", "number", "rough", "value", "error"]  # an error is written in scientific notation


@dataclass(frozen=True)
class Column:
    """``name``: of the column of ``collect.summarise``, and of CSV; ``hint``: what it is, in words.

    ``setting``: part of the question, not of the answer.
    """

    name: str
    heading: str
    kind: Kind
    hint: str
    setting: bool = False


COLUMNS = {
    column.name: column
    for column in (
        Column("task", "task", "text", "the physical question", True),
        Column("tracker", "tracker", "text", "how it was trained", True),
        Column("architecture", "network", "text", "the architecture and its options", True),
        Column("quantity", "quantity", "text", "what was estimated", True),
        Column("shape", "shape", "text", "lattice lengths", True),
        Column("s", "s", "number", AXES["s"], True),
        Column("t", "t", "number", AXES["t"], True),
        Column("site", "site", "count", AXES["site"], True),
        Column("distance", "distance", "count", AXES["distance"], True),
        Column("seeds", "seeds", "count", "runs that differ only in the seed", True),
        Column("value", "value", "value", "mean over seeds ± standard error"),
        Column("exact", "exact", "number", "the reference in continuous time"),
        Column("source", "reference", "text", "source of the exact value"),
        Column("uncertainty", "ref. error", "error", "of the reference; a smaller error is printed with ≤"),
        Column("error", "error", "error", "the total against continuous time; relative where the quantity is"),
        Column("error_per_site", "error/site", "error", "|ln Z − exact| / N"),
        *(
            Column(name, "network error" if name == "network" else name, "error", part.meaning)
            for name, part in PARTS.items()  # "network" alone is the architecture's heading
        ),
        Column("ess", "ESS fraction", "rough", "effective sample size, as a fraction of the samples"),
        Column("negative", "neg. targets", "count", "targets of a fit that were negative, and clamped"),
        Column("samples", "samples", "count", "drawn per step"),
        Column("parameters", "parameters", "count", "of the network"),
        Column("cpu_s", "CPU (s)", "rough", "processor time of one run"),
        Column("mark", "warning", "text", "the sentence is below the table"),
    )
}


def text(name: str, row: Mapping[str, Any]) -> str:
    """A cell in plain characters: a value or an error with its standard error, and a dash for what is missing."""
    kind, value, stderr = COLUMNS[name].kind, row.get(name), row.get(f"{name}_se", math.nan)
    if kind == "text":
        return "" if value is None else str(value)
    if name == "error" and math.isfinite(limit := at_most(row)):
        return f"≤ {limit:.1e}"
    if value is None or pd.isna(value) or not math.isfinite(value):
        return MISSING
    if kind == "value":
        return with_error(value, stderr)
    if kind == "error":
        return scientific(value, stderr)
    return f"{int(value)}" if kind == "count" else f"{value:.3g}" if kind == "rough" else f"{value:.6g}"


def in_latex(name: str, row: Mapping[str, Any]) -> str:
    """The same cell as LaTeX, numbers by siunitx."""
    kind, plain = COLUMNS[name].kind, text(name, row)
    if kind == "text":
        return latex.escape(plain)
    if plain == MISSING:
        return latex.MISSING
    if plain.startswith("≤"):
        return rf"$\leq$ \num{{{plain.removeprefix('≤ ')}}}"
    if kind in ("count", "rough"):
        return plain if kind == "count" else rf"\num{{{plain}}}"
    write = latex.scientific if kind == "error" else latex.measured
    return write(row[name], row.get(f"{name}_se", math.nan))


def with_error(value: float, stderr: float) -> str:
    """``-0.61950 ± 0.00012``: the error to two digits, the value to the same place; without one, six digits."""
    if not math.isfinite(value):
        return MISSING
    places = latex.places(stderr)
    if places is None:
        return f"{value:.6g}"
    return f"{value:.{max(places, 0)}f} ± {stderr:.{max(places, 0)}f}"


def scientific(value: float, stderr: float = math.nan) -> str:
    """``1.57e-02 ± 1.1e-04``."""
    if not math.isfinite(value):
        return MISSING
    known = math.isfinite(stderr) and stderr > 1e-9 * abs(value)  # below it: rounding of one number, not a spread
    return f"{value:.2e} ± {stderr:.1e}" if known else f"{value:.2e}"


def at_most(row: Mapping[str, Any]) -> float:
    """What an error is certainly below where it is smaller than that of its reference, on the same scale; else NaN."""
    own = row.get("uncertainty", math.nan) / row.get("scale", math.nan)
    return row["error"] + own if row["error"] < own else math.nan
