"""``vanbench study calibration``: error estimates against the truth, and what the defaults give."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from vanbench.compare.judge.errors import KEY
from vanbench.compare.run.record import Record, records
from vanbench.compare.show import pages
from vanbench.compare.show.escape import csv
from vanbench.compare.studies.calibration import defaults as of_defaults
from vanbench.exact import InputError
from vanbench.exact.files import write_text

COVERED = 2.0  # estimates within which the truth is to lie, in 95 % of the values
NEAR = 5.0  # the factor between an estimate and the root-mean-square distance over seeds, in 80 % of the settings
ROUNDING = 1e-6  # distances below it are those of references

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def _several() -> None:
    """Commands by name."""


@app.command("page")
def page(
    runs: Annotated[Path, typer.Argument(help="Folder of `vanbench run calibration`.")],
    folder: Annotated[Path, typer.Option(help="Folder of the page.")] = Path("results/calibration"),
) -> None:
    """Write ``runs.csv`` and ``README.md`` from the records of ``runs``."""
    values = collected(runs)
    write_text(folder / "runs.csv", csv(values, float_format="%.6g"), folder)
    rows = [_summary(task, group) for task, group in values.groupby("task")]
    sampled = values[values.task.str.endswith("sampled")]
    rows += [_summary(name, part) for name, part in (("all sampled", sampled), ("all", values)) if len(part)]
    write_text(folder / "README.md", pages.page(__file__, "README.md.j2", rows=pd.DataFrame(rows)), folder)


@app.command("defaults")
def defaults(
    runs: Annotated[Path, typer.Argument(help="Folder of the runs; finished ones are kept.")],
    folder: Annotated[Path, typer.Option(help="Folder of the table.")] = Path("results/calibration"),
    minutes: Annotated[float, typer.Option(min=0, help="CPU minutes after which no further run starts.")] = 50.0,
    seconds: Annotated[float, typer.Option(min=1, help="CPU seconds allowed per run.")] = 30.0,
) -> None:
    """Run every network with every tracker at its defaults on six systems, and write ``defaults.csv`` and
    ``defaults.md``."""
    of_defaults.run_all(runs, minutes, seconds, lambda text: typer.echo(text, err=True))
    values = of_defaults.collected(runs)
    write_text(folder / "defaults.csv", csv(values, float_format="%.4g"), folder)
    write_text(folder / "defaults.md", of_defaults.page(values, seconds), folder)


def collected(runs: Path) -> pd.DataFrame:
    """A row a value: what was run, ``distance``, ``error_estimate``, ``score``, and whether the run had ``warned``.

    Raises ``InputError`` where no value has both an estimate and a reference.
    """
    parts = [part for _, record in records(runs) if (part := _values(record)) is not None]
    values = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"distance": [], "error_estimate": []})
    values = values.dropna(subset=["distance", "error_estimate"])
    values = values[(values.distance > ROUNDING) | (values.error_estimate > ROUNDING)]
    if values.empty:
        raise InputError(f"{str(runs)!r} holds no value with an estimate and a reference: run the suite calibration.")
    return values.reset_index(drop=True)


def _values(record: Record) -> pd.DataFrame | None:
    if "error_estimate" not in record.errors:
        return None
    frame, rows = record.frame("errors", "total"), record.frame("rows", "quantity")
    ln_z = rows[rows.quantity == "ln_Z"].groupby(["s", "t"])
    scores = ln_z.score.first() if "score" in rows else pd.Series(dtype=float)
    at = [scores.get((row.s, row.t), np.nan) for row in frame.itertuples()]
    return frame[[name for name in KEY if name in frame]].assign(
        task=record.task.name,
        tracker=record.task.method,
        architecture=record.label,
        shape="x".join(map(str, record.run.shape)),
        seed=record.run.seed,
        distance=frame.total.abs(),
        error_estimate=frame.error_estimate,
        score=at,
        warned=bool(record.warnings),
    )


def _summary(name: str, values: pd.DataFrame) -> dict[str, object]:
    setting = [key for key in ("task", "architecture", "shape", "quantity", "s", "t") if key in values]
    squares = values.assign(distance=values.distance**2, error_estimate=values.error_estimate**2)
    means = squares.groupby(setting)[["distance", "error_estimate"]].mean()
    means = means[means.distance > ROUNDING**2]  # of a value that a symmetry keeps right no factor is near
    factor = np.sqrt(means.error_estimate / means.distance)
    ln_z = values[values.quantity == "ln_Z"]
    scored = ln_z[ln_z.score.notna()]
    rank = scored.score.corr(scored.distance, method="spearman") if len(scored) > 2 else np.nan
    silent = (values.distance > NEAR * values.error_estimate) & ~values.warned
    return {
        "task": name,
        "values": len(values),
        "within": f"{(values.distance <= COVERED * values.error_estimate).mean():.2f}",
        "near": f"{factor.between(1 / NEAR, NEAR).mean():.2f}" if len(factor) else "",
        "silent": int(silent.sum()),
        "rank": f"{rank:.2f}" if np.isfinite(rank) else "",
    }
