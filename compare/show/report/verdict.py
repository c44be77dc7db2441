"""The verdict of a report: how wrong, where, why, and what to be careful about, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vanbench.compare.judge.collect import MIN_SEEDS, last_times, scalars
from vanbench.compare.judge.errors import PARTS
from vanbench.compare.judge.growth import laws
from vanbench.compare.run.record import Record
from vanbench.compare.show.report.tables import Cell, Table, commit_text
from vanbench.compare.show.warned import marked
from vanbench.exact.definitions.quantities import in_order, row_of
from vanbench.exact.errors import counted

LOW_ESS = 0.1  # of the samples; below it a few samples carry the estimate and its standard error with it


@dataclass(frozen=True)
class Verdict:
    """``headline`` is one sentence; ``facts`` are (what, figure, detail); ``networks`` has a line each."""

    headline: str
    facts: list[tuple[str, str, str]]
    networks: Table | None
    cautions: list[str]


def verdict(summary: pd.DataFrame, stored: Sequence[Record], missing: str = "") -> Verdict:
    """From the cases of ``collect.summarise`` at the last time of each task, of ``ln_Z`` where it was compared.

    ``missing``: a sentence on what is not there yet, to be careful about first.
    """
    last = last_times(scalars(summary))
    cautions = [*([missing] if missing else []), *_cautions(last), *_origins(stored)]
    quantity, measure = _headline_measure(last)
    if quantity is None:
        return Verdict("No exact reference: nothing here says how wrong these networks are.", [], None, cautions)
    cases = last[(last.quantity == quantity) & last[measure].notna()]
    worst = cases.loc[cases[measure].idxmax()]
    name = row_of(quantity).heading
    within = size_text(worst[measure], measure, quantity)
    many = f" in all {len(cases)} cases" if len(cases) > 1 else ""
    per_site = " per site" if measure == "error_per_site" else ""
    headline = f"{name}{per_site} is within {within} of exact{many}."
    facts = [
        ("worst", within, where(worst)),
        ("median", size_text(cases[measure].median(), measure, quantity), f"of {counted(len(cases), 'case')}"),
    ]
    facts += _cause(cases)
    facts += _growth(summary[summary.quantity == quantity], measure)
    return Verdict(headline, facts, _networks(cases, measure, quantity), cautions)


def size_text(error: float, measure: str, quantity: str) -> str:
    """A relative error in percent, an absolute one as a number."""
    return f"{error:.2g}" if measure == "error_per_site" else row_of(quantity).error_text(error)


def where(row: pd.Series) -> str:
    return f"{row.architecture} on {row.task}, {row['shape']}, s = {row.s:g}, t = {row.t:g}"


def dominant(cases: pd.DataFrame) -> pd.Series:
    """The name of the largest part of each case, missing where the parts do not add up to the error."""
    parts = cases[list(PARTS)].copy()
    split = parts.projection.notna()
    parts.loc[split, "network"] = np.nan  # it is the sum of the two beside it
    known = parts.discretisation.notna() & (split | parts.network.notna())
    return parts[known].idxmax(axis=1).reindex(cases.index)


def _headline_measure(last: pd.DataFrame) -> tuple[str | None, str]:
    """ln Z where it was compared, otherwise the first quantity that was."""
    for quantity in in_order(last.quantity):
        for measure in ("error", "error_per_site"):
            if last.loc[last.quantity == quantity, measure].notna().any():
                return quantity, measure
    return None, "error"


def _cause(cases: pd.DataFrame) -> list[tuple[str, str, str]]:
    names = dominant(cases).dropna()
    if names.empty:
        return []
    counts = names.value_counts()
    name, number = str(counts.index[0]), counts.iloc[0]
    return [("mostly", name, f"the largest part in {number} of {counted(len(names), 'case')} – {PARTS[name].remedy}")]


def _growth(rows: pd.DataFrame, measure: str) -> list[tuple[str, str, str]]:
    """The law that surely grows fastest at the largest size, or that none does."""
    fitted = laws(rows, measure)
    if fitted.empty:
        return []
    # d ln error / d ln N, in which a power and an exponential can be compared
    steepness = fitted.low.where(fitted.law == "power", fitted.low * rows.n_sites.max())
    fastest = fitted.loc[steepness.idxmax()]
    law = fastest.growth
    if law.grows is not True:
        return [
            ("growth with N", "undecided", f"every 95 % interval of {counted(len(fitted), 'law')} holds zero or less")
        ]
    detail = f"{fastest.architecture} on {fastest.task}, s = {fastest.s:g}; 95 %: {law.low:.2g} to {law.high:.2g}"
    return [("growth with N", f"∝ {law.form}", detail)]


def _networks(cases: pd.DataFrame, measure: str, quantity: str) -> Table:
    rows = []
    for network, own in cases.groupby("architecture", sort=True):
        worst = own.loc[own[measure].idxmax()]
        names = dominant(own).dropna()
        part = own["network"].median()
        rows.append(
            [
                Cell(str(network)),
                Cell(str(len(own)), len(own)),
                _size(own[measure].median(), measure, quantity),
                _size(worst[measure], measure, quantity),
                Cell(where(worst).removeprefix(f"{network} on ")),
                Cell(str(names.value_counts().index[0]) if len(names) else "–"),
                _size(part, measure, quantity),
                Cell(f"{own.cpu_s.median():.3g}", own.cpu_s.median()) if own.cpu_s.notna().any() else Cell("–"),
            ]
        )
    rows.sort(key=lambda cells: float(cells[2].key or 0))
    headings = ["network", "cases", "median error", "worst error", "at", "largest part", "network part", "CPU (s)"]
    hints = [
        "the architecture and its options",
        "tasks × shapes × s",
        "over its cases",
        "over its cases",
        "the case of the worst error",
        "of the error, most often",
        "projection and sampling together, median",
        "of one run, median",
    ]
    return Table(headings, hints, [False, True, True, True, False, False, True, True], rows)


def _size(error: float, measure: str, quantity: str) -> Cell:
    return Cell(size_text(error, measure, quantity), float(error)) if np.isfinite(error) else Cell("–")


def _cautions(last: pd.DataFrame) -> Iterator[str]:
    without = last[last.exact.isna()]
    if len(without):
        yield f"{counted(len(without), 'case')} of {len(last)} have no exact reference."
    lost = last[last.value.isna()]
    if len(lost):
        yield f"{counted(len(lost), 'case')} of {len(last)} are not finite: the network diverged."
    if last.ess.min() < LOW_ESS:
        worst = last.loc[last.ess.idxmin()]
        yield f"The effective sample size falls to {worst.ess:.2g} of the samples ({where(worst)}): trust it less."
    if (last.negative > 0).any():
        yield f"{counted(int((last.negative > 0).sum()), 'case')} met negative targets: take a smaller time step there."
    if (last.seeds < MIN_SEEDS).any():
        yield f"Some cases have fewer than {MIN_SEEDS} seeds: no standard error over seeds is given for them."
    for text in marked(list(last.warning) if "warning" in last else [])[1]:
        yield f"A warning {text}"
    noted = last.note.map(lambda notes: [part for part in str(notes).split("; ") if part]).explode().dropna()
    for note, number in noted.value_counts().items():
        yield f"In {counted(number, 'case')}: {note}{'' if str(note).endswith('.') else '.'}"


def _origins(stored: Sequence[Record]) -> Iterator[str]:
    commits = sorted({commit_text(record) for record in stored})
    if len(commits) > 1:
        yield f"The records come from {len(commits)} states of the code: {', '.join(commits)}."
    if any(record.provenance.get("dirty") for record in stored):
        yield "Some records were made by code with changes that are in no commit (marked *)."
