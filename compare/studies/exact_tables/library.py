"""The reference library: exact tables of the sizes that the literature plots.

``vanbench study exact_tables compute [CASE ...]`` fills ``results/exact/*.csv``, smallest first; a case that was cut
off goes on where it stopped. ``status`` rewrites the table of what there is and what is missing, ``published`` the page
that compares published network values, ``critical`` the eigenvalues that critical fields of long times come from.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.run.exact_tables import CASES, COLUMNS, FIELDS, FOLDER, ROUNDED, TIMES, Case, read
from vanbench.compare.show.pages import page
from vanbench.exact.definitions.system import System
from vanbench.exact.definitions.terms import MAX_EXPONENT
from vanbench.exact.errors import InputError
from vanbench.exact.files import write_text
from vanbench.exact.matrixfree.derivatives import FIRST_STEP
from vanbench.exact.matrixfree.kernel import Layout
from vanbench.exact.matrixfree.solve_lanczos import Question, derivative_values, unstable
from vanbench.exact.matrixfree.symmetric import Run, Symmetric


def compute(
    case: Case,
    folder: Path = FOLDER,
    stages: tuple[str, ...] = ("values", "derivatives"),
    fields: Sequence[float] = (),
) -> None:
    """Fills the table of ``case`` at ``fields``; none given: all of the grid, those of the published figures first.
    Several processes may fill one table at different fields."""
    system = case.build()
    layout = Layout(system)
    path = folder / f"{case.name}.csv"
    steps: dict[float, np.ndarray | float] = {}  # of differences in s: those that the fields done so far ended with
    for stage in stages:
        for s in fields or first_things_first(case.fields):
            if done(read(path), stage, s):
                continue
            began = time.perf_counter()
            if stage == "values":
                rows = list(_values(system, layout, float(s), case.dt))
            else:
                near = min(steps, key=lambda other: abs(other - s), default=None)
                step = FIRST_STEP if near is None else steps[near]
                ask = Question(float(s), TIMES, (), None, "activity", step=step)
                rows = list(_derivatives(system, layout, ask))
                steps[float(s)] = ask.step
            write(path, pd.concat([read(path), pd.DataFrame(rows, columns=COLUMNS)], ignore_index=True))
            print(
                f"{case.name}: {stage} at s = {s:g} in {time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True
            )


def first_things_first(fields: np.ndarray) -> list[float]:
    """The middle of the grid (``|s| = 0.1``), then every fourth value, every second, all: a cut-off table is even."""
    n = len(fields)
    order = [n // 2, *range(0, n, 4), *range(0, n, 2), *range(n)]
    return [float(fields[i]) for i in dict.fromkeys(order)]


def meant(case: Case, near: Sequence[float]) -> list[float]:
    """The fields of the grid that were given rounded; others, between those of the grid, as they are."""
    if not all(0 < abs(s) < MAX_EXPONENT for s in near):
        raise InputError(f"--at takes fields other than 0 and below {MAX_EXPONENT:g}, like 0.1 0.07.")
    closest = [float(min(case.fields, key=lambda s: abs(s - value))) for value in near]
    return [s if np.isclose(s, value, rtol=ROUNDED) else value for s, value in zip(closest, near)]


def done(table: pd.DataFrame, stage: str, s: float) -> bool:
    name = "ln_Z" if stage == "values" else "activity"
    return bool(((table.quantity == name) & np.isclose(table.s, s, rtol=1e-9)).any())


def _values(system: System, layout: Layout, s: float, dt: float) -> Iterator[tuple]:
    """``ln_Z`` in both schemes, densities and ``scgf`` from one Lanczos run."""
    engine = Symmetric(system, s, layout=layout)
    run = engine.run(TIMES, theta=True, profile=True)
    for scheme, step in (("continuous", None), ("euler", dt)):
        note = unstable(engine, run, step)
        if note:
            yield from (("ln_Z", scheme, s, t, np.nan, np.nan, f"dt = {dt:g} {note}") for t in TIMES)
            continue
        for t, value, bound in zip(TIMES, *run.ln_z(TIMES, step)):
            if bound < 1:
                yield "ln_Z", scheme, s, t, value, bound, "" if step is None else f"dt = {dt:g}"
            else:  # Euler steps at the edge of stability amplify what rounding leaves
                yield "ln_Z", scheme, s, t, np.nan, np.nan, f"dt = {dt:g} is too close to unstable for a certain value"
    profile, bounds = run.profile(TIMES)
    for t, value, bound in zip(TIMES, profile.mean(1), bounds):
        yield "density", "continuous", s, t, value, bound, ""
    theta, residual = run.tri.theta()
    yield "scgf", "continuous", s, np.nan, theta, residual, ""


def _derivatives(system: System, layout: Layout, ask: Question) -> Iterator[tuple]:
    engine = Symmetric(system, ask.s, layout=layout)
    run: Run = engine.run(TIMES)
    for name, (values, bounds) in derivative_values(engine, run, ask).items():
        for t, value, bound in zip(TIMES, values, bounds):
            yield name, "continuous", ask.s, t, value, bound, ""


def write(path: Path, table: pd.DataFrame) -> None:
    """Write the sorted table atomically, so that a reader never sees half of it."""
    table = table.sort_values(["quantity", "scheme", "s", "t"], kind="stable")
    text = table.assign(bound=table.bound.map(lambda b: f"{b:.1e}"))
    write_text(path, text.to_csv(index=False, float_format="%.14g"), path.parent)


def status(folder: Path = FOLDER) -> str:
    """A Markdown page of every case: how much of it is there, its worst bounds, and the critical fields."""
    from vanbench.compare.studies.exact_tables.critical import WINDOW, critical, known

    cases = [_progress(case, read(folder / f"{case.name}.csv")) for case in CASES.values()]
    fields = [(name, critical(name, folder)) for name in WINDOW if known(name, folder)]
    return page(__file__, "status.md.j2", n_fields=len(FIELDS), n_times=len(TIMES), cases=cases, critical=fields)


def _progress(case: Case, table: pd.DataFrame) -> dict[str, Any]:
    certain = table[table.quantity == "ln_Z"]
    return {
        "name": case.name,
        "free_sites": len(case.build().free_sites),
        "fields": len(case.fields),
        "done": [sum(done(table, stage, s) for s in case.fields) for stage in ("values", "derivatives")],
        "worst": certain.bound.astype(float).max() if len(certain) else None,
        "unstable": certain[certain.value.isna()].s.nunique(),
    }
