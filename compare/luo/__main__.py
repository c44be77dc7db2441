"""``python -m compare.luo RUNS... --out results/luo2022``: figures, tables and README from the suites' records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tabulate import tabulate

from exact import InputError

from ..record import Record, records
from . import collect, figures
from .notes import HEAD

OUT = Path("results/luo2022")
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
            *(f"steady-{method}{wide}" for method in ("var", "dyn", "var-dyn") for wide in ("", "-wide")),
            "steady-mix",
            "steady-gates",
            "steady-strings",
            "lattice-steady",
        ),
    ),
    "energy": (
        "(e) The ring at ten times the energy",
        ("large-energy-short", "large-energy-long", "large-energy-trapezoid"),
    ),
    "repeats": (
        "(f) Repeated runs, their average, and interpolated objectives",
        ("objective", "objective-norms", "objective-residuals"),
    ),
}
DRAWN = {"ring": "dynamics", "lattice": "dynamics", "energy": "dynamics", "ising": "steady", "steady": "steady"}
HEADINGS = {
    "task": "task", "shape": "shape", "varied": "", "tracker": "tracker", "network": "network", "samples": "samples",
    "to t": "to t", "seeds": "seeds", "sigma_x": "error x", "sigma_y": "error y", "sigma_z": "error z",
    "of_average": "of the average", "stderr": "stderr", "exact_stderr": "stderr of reference",
    "total_variation": "total variation", "eigenvalue": "smallest eigenvalue",
    "eigenvalue_two_sites": "of two sites", "loss": "objective", "cpu_s": "CPU s",
}  # fmt: skip


def write(folders: list[Path], out: Path, references: Path) -> list[Path]:
    """Everything under ``out``; returns the files. Raises ``InputError`` where there are no records."""
    frame = collect.values(folders, references)
    table = collect.summary(frame)
    out.mkdir(parents=True, exist_ok=True)
    found = {
        (collect.base_name(r.task)[0], "x".join(map(str, r.shape))): r for folder in folders for _, r in records(folder)
    }
    written = [_csv(out / "spins.csv", frame.drop(columns=["system"])), _csv(out / "errors.csv", table)]
    text = [HEAD]
    for name, (title, tasks) in PARTS.items():
        own = frame[frame.task.isin(tasks)]
        if own.empty:
            text.append(f"## {title}\n\nNot run yet.\n")
            continue
        picture = out / f"{name}.png"
        _draw(name, own, found, picture)
        written.append(picture)
        text.append(f"## {title}\n\n{_markdown(table[table.task.isin(tasks)])}\n![{title}]({picture.name})\n")
    counted = collect.counts(folders)
    if len(counted):
        written += [_csv(out / "jumps.csv", counted), out / "jumps.png"]
        figures.counting(counted, written[-1])
        text.append(f"## Quantum jumps counted\n\n{_of_counts(collect.counting(counted))}\n![ln Z](jumps.png)\n")
    loss = collect.losses(folders)
    if len(loss):
        written += [_csv(out / "losses.csv", loss), out / "losses.png"]
        figures.curves(loss[loss.tracker == "steady"] if (loss.tracker == "steady").any() else loss, written[-1])
        text.append("## Loss curves\n\n![Objective over iterations](losses.png)\n\nData: `losses.csv`\n")
    (out / "README.md").write_text("\n".join(text))
    return [*written, out / "README.md"]


def _draw(name: str, own: pd.DataFrame, found: dict[tuple[str, str], Record], path: Path) -> None:
    if DRAWN.get(name) == "dynamics":
        figures.dynamics(own, found, path)
    elif DRAWN.get(name) == "steady" and own.parameter.notna().any():
        figures.steady(own[own.parameter.notna()], path)
    else:
        figures.repeated(own, path)


def _csv(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path, index=False, float_format="%.7g")
    return path


def _markdown(table: pd.DataFrame) -> str:
    shown = [name for name in HEADINGS if table[name].notna().any() and (table[name] != "").any()]
    cells: dict[str, Callable] = {
        "varied": lambda row: f"{row['varied']} = {row['parameter']:g}" if row["varied"] else ""
    }
    rows = [
        [cells.get(name, lambda row, n=name: _cell(n, row[n]))(row) for name in shown]
        for row in table.to_dict("records")
    ]
    return tabulate(rows, [HEADINGS[name] for name in shown], tablefmt="pipe", disable_numparse=True) + "\n"


def _of_counts(table: pd.DataFrame) -> str:
    """``ln Z`` of the jump count over a range of ``s``."""
    names = {"error": "error of ln Z", "rate": "over N t", "cpu_s": "CPU s"}
    table = table.drop(columns="n_sites").rename(columns=names)
    return tabulate(table, "keys", tablefmt="pipe", showindex=False, floatfmt=".3g") + "\n"


def _cell(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "–"
    if name in ("to t", "samples", "seeds", "cpu_s"):
        return f"{value:.3g}" if float(value) < 100 else f"{value:.0f}"  # type: ignore[arg-type]
    return f"{value:.1e}" if name in ("loss", "stderr", "exact_stderr") else f"{value:.4f}"


def main(
    folder: Annotated[list[Path], typer.Argument(help="Folders that `vanbench run luo2022-... --out` wrote.")],
    out: Annotated[Path, typer.Option(help="Where the files go.")] = OUT,
    references: Annotated[Path, typer.Option(help="Where tfim-16-steady.csv stands.")] = OUT,
) -> None:
    """Figures, tables and README of the open-system study."""
    try:
        for path in write(folder, out, references):
            typer.echo(path)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error


if __name__ == "__main__":
    typer.run(main)
