"""Tables from the records of the suites; figures, README and exact references from the tables alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from vanbench.compare.commands import common
from vanbench.compare.run.stored import read_table
from vanbench.compare.show.escape import markdown_cell
from vanbench.compare.show.grid import Grid
from vanbench.compare.show.pages import page
from vanbench.compare.studies.luo2022 import collect, figures
from vanbench.compare.studies.luo2022 import references as references_
from vanbench.exact.files import write_text

app = typer.Typer(add_completion=False, no_args_is_help=True)
OUT = Path("results/luo2022")
METHODS = ("var", "mix", "dyn", "var-dyn", "mix-dyn")
PARTS = {
    "ring": (
        "(a) Heisenberg ring from -y: B = 1, Jx = 2, Jy = 0, Jz = 1",
        ("ring", "ring-sampled", "ring-orders", "ring-large", "ring-dynamics"),
    ),
    "lattice": ("(b) 3x3 Heisenberg lattice from all up", ("lattice", "lattice-dynamics")),
    "ising": (
        "(c) Steady states of the Ising ring, V = 2, 4-Pauli",
        ("ising", "ising-sampled", "ising-large", "ising-steady", "ising-steady-sampled"),
    ),
    "steady": (
        "(d) Steady states of the Heisenberg lattice by method, network and strings",
        (
            *(f"steady-{method}{wide}" for method in METHODS for wide in ("", "-wide")),
            "steady-var-wide-long",
            "steady-gates",
            collect.STRINGS,
            "lattice-steady",
        ),
    ),
    "energy": (
        "(e) The ring at ten times the energy",
        ("large-energy-short", "large-energy-long", "large-energy-trapezoid"),
    ),
    "repeats": (
        "(f) Repeated runs, their average, and interpolated objectives",
        ("objective", "objective-ramp", "objective-signs", "objective-norms", "objective-residuals"),
    ),
}
PICTURES = {
    "ring": figures.dynamics, "lattice": figures.dynamics, "energy": figures.dynamics,
    "ising": figures.steady, "steady": figures.steady, "repeats": figures.repeated,
}  # fmt: skip
TABLES = {
    "errors": (),
    "jumps": ("s", "t", "value", "stderr", "exact", "error", "n_sites", "cpu_s"),
    "losses": ("t", "loss", "parameter", "seed"),
}
HEADINGS = {
    "task": "task", "shape": "shape", "varied": "", "tracker": "tracker", "network": "network", "samples": "samples",
    "to t": "to t", "seeds": "seeds", "sigma_x": "error x", "sigma_y": "error y", "sigma_z": "error z",
    "of_average": "of the average", "stderr": "stderr", "exact_stderr": "stderr of reference",
    "total_variation": "total variation", "eigenvalue": "smallest eigenvalue",
    "eigenvalue_two_sites": "of two sites", "loss": "objective", "cpu_s": "CPU s",
}  # fmt: skip


def collected(folders: list[Path], out: Path, references: Path, keep: bool = False) -> list[Path]:
    """The tables of numbers in ``out`` from records; returns the files. ``InputError`` where there are no records.

    ``keep``: the tasks that the records lack stay as they are stored.
    """
    frame = collect.values(folders, references)
    tables = {"errors": collect.summary(frame), "jumps": collect.counts(folders), "losses": collect.losses(folders)}
    written = collect.store(_with_stored(frame, collect.stored(out)) if keep else frame, out)
    for name, numbers in tables.items():
        before = _stored(out / f"{name}.csv") if keep else None
        if len(numbers):
            numbers = numbers if before is None else _with_stored(numbers, before)
            written.append(collect.write_csv(out / f"{name}.csv", numbers))
    return written


def _with_stored(new: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([before[~before.task.isin(new.task)], new], ignore_index=True)


def drawn(out: Path, references: Path) -> list[Path]:
    """Figures and README in ``out`` from its tables and the exact curves in ``references``; returns the files."""
    frame = collect.stored(out)
    table = collect.summary(frame)
    written: list[Path] = []
    parts: list[dict[str, Any]] = []
    for name, (title, tasks) in PARTS.items():
        own = frame[frame.task.isin(tasks)]
        parts.append({"name": name, "title": title, "table": None})
        if own.empty:
            continue
        apart, numbers = collect.between_networks(own), own.task == collect.STRINGS
        parts[-1] |= {"table": _table(table[table.task.isin(tasks)]), "strings": numbers.any()}
        parts[-1]["apart"] = apart if len(apart) else None
        if numbers.any():
            written.append(figures.strings(own[numbers], out / "strings.png"))
        shown = own[~numbers & (own.parameter.notna() | (PICTURES[name] is not figures.steady))]
        parts[-1]["drawn"] = len(shown) > 0
        if len(shown):
            written.append(PICTURES[name](shown, out / f"{name}.png", references))
    counted, losses = (_stored(out / f"{name}.csv") for name in ("jumps", "losses"))
    if counted is not None:
        written.append(figures.counting(counted, out / "jumps.png"))
        names = {"error": "error of ln Z", "rate": "over N t", "cpu_s": "CPU s"}  # over a range of s
        counted = collect.counting(counted).drop(columns="n_sites").rename(columns=names)
    losses = losses[losses.tracker == "l1(steady)"] if losses is not None else pd.DataFrame()
    if len(losses):
        written.append(figures.curves(losses, out / "losses.png"))
    text = page(__file__, "results.md.j2", parts=parts, counted=counted, losses=len(losses) > 0)
    write_text(out / "README.md", text, out)
    return [*written, out / "README.md"]


def _stored(path: Path) -> pd.DataFrame | None:
    """One of the tables besides runs and spins."""
    return read_table(path, TABLES[path.stem], (*collect.CASE,)) if path.exists() else None


def _table(table: pd.DataFrame) -> str:
    shown = [name for name in HEADINGS if table[name].notna().any() and (table[name] != "").any()]
    cells: dict[str, Callable] = {
        "varied": lambda row: f"{row['varied']} = {row['parameter']:g}" if row["varied"] else ""
    }
    rows = [
        [cells.get(name, lambda row, n=name: _cell(n, row[n]))(row) for name in shown]
        for row in table.to_dict("records")
    ]
    return Grid([HEADINGS[name] for name in shown], rows).markdown()


def _cell(name: str, value: object) -> str:
    if isinstance(value, str):
        return markdown_cell(value)
    if pd.isna(value):
        return "–"
    if name in ("to t", "samples", "seeds", "cpu_s"):
        return f"{value:.3g}" if float(value) < 100 else f"{value:.0f}"  # type: ignore[arg-type]
    return f"{value:.1e}" if name in ("loss", "stderr", "exact_stderr") else f"{value:.4f}"


@app.command("figures")
def figures_(
    folder: Annotated[
        list[Path] | None, typer.Argument(help="Folders of `vanbench run luo2022-...` (default: use stored tables).")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = OUT,
    references: Annotated[Path, typer.Option(help="Folder of the exact curves and trajectories.")] = OUT,
    keep: Annotated[bool, typer.Option("--keep", help="Keep stored rows of tasks that the folders lack.")] = False,
) -> None:
    """Make tables from the records, then figures and README from the tables (without records: only these)."""
    for path in [*(collected(folder, out, references, keep) if folder else []), *drawn(out, references)]:
        common.say(path)


app.command("references")(references_.main)
