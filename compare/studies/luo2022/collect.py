"""Spin averages of every run with their references, and one summary row for each task, size, network and method."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.run.record import Record, records
from vanbench.compare.run.stored import damaged, read_table
from vanbench.compare.show.escape import csv
from vanbench.exact import InputError
from vanbench.exact.definitions.quantities import SPINS
from vanbench.exact.files import write_text

CASE = ["task", "shape", "tracker", "network"]
STRINGS, LABEL = "steady-strings", r"strings=(\d+)"  # a task, and what its networks' labels have
COUNTING = ("jumps", "jumps-sampled")  # tasks that count quantum jumps
TRAJECTORIES = "tfim-16-steady.csv"
NUMBERS = ["n_sites", "parameter", "seed", "samples", "cpu_s", "loss", "total_variation", "eigenvalue",
           "eigenvalue_two_sites"]  # fmt: skip
OF_A_VALUE = ["quantity", "t", "value", "stderr", "exact", "exact_stderr"]


def values(folders: Sequence[Path], references: Path) -> pd.DataFrame:
    """One row a run, spin and report time: ``value, stderr, exact, exact_stderr, error`` and what was run.

    ``exact`` of the 16-spin Ising ring is the mean over the quantum trajectories stored in ``references``. Raises
    ``InputError`` where there are no records.
    """
    stored = [record for folder in folders for _, record in records(folder) if set(SPINS) & set(record.task.quantities)]
    if not stored:
        raise InputError("no records of spins in " + ", ".join(str(folder) for folder in folders) + ".")
    frame = pd.concat([_spins(record) for record in stored], ignore_index=True)
    return _with_trajectories(frame, references / TRAJECTORIES)


def _spins(record: Record) -> pd.DataFrame:
    errors = record.frame("errors", *OF_A_VALUE[:-1])
    errors = errors[errors.quantity.isin(SPINS)]
    if set(errors.quantity) != set(SPINS):
        raise record.unfit(f"has not all of {', '.join(SPINS)}")
    task, varied, parameter = _varied(record)
    distances = record.frame("distances")
    rows = record.frame("rows")
    smallest = rows[rows.quantity.str.startswith("smallest_eigenvalue")].groupby("quantity").value.last()
    loss = record.frame("log").get("loss")
    return errors[["quantity", "t", "value", "stderr", "exact"]].assign(
        exact_stderr=0.0,
        task=task,
        shape=shape_text(record.run.shape),
        n_sites=record.n_sites,
        system=record.system,
        tracker=record.task.method,
        network=record.label,
        varied=varied,
        parameter=parameter,
        seed=record.run.seed,
        samples=pd.to_numeric(record.task.tracker_options.get("samples"), errors="coerce"),
        cpu_s=record.cpu_s,
        loss=np.nan if loss is None or loss.empty else loss.iloc[-1],
        total_variation=distances.total_variation.iloc[0] if len(distances) else np.nan,
        eigenvalue=smallest.get("smallest_eigenvalue", np.nan),
        eigenvalue_two_sites=smallest.get("smallest_eigenvalue_two_sites", np.nan),
    )


def _varied(record: Record) -> tuple[str, str, float]:
    """The task without what is varied in it, the name of that, and its value; NaN where nothing is."""
    task, varied = base_name(record.task.name)
    value = record.params.get(varied) if varied else np.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise record.unfit(f"has no {varied} among its parameters")
    if task == STRINGS and not re.search(LABEL, record.label):
        raise record.unfit("is of a network without strings=")
    return task, varied, float(value)


def base_name(task: str) -> tuple[str, str]:
    """``"lattice-Jy1.8"`` -> ``("lattice", "Jy")``; ``"ring-large"`` -> ``("ring-large", "")``."""
    head, _, tail = task.rpartition("-")
    varied = next((key for key in ("Jy", "g") if re.fullmatch(rf"{key}-?[\d.e-]+", tail)), "")
    return (head, varied) if varied else (task, "")


def _with_trajectories(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if path.exists():
        for row in read_table(path, ("n_sites", "g", *SPINS, *(f"{spin}_stderr" for spin in SPINS))).to_dict("records"):
            own = (frame.system == "tfim") & (frame.n_sites == row["n_sites"]) & (frame.parameter == row["g"])
            for spin in SPINS:
                at = own & (frame.quantity == spin) & frame.exact.isna()
                frame.loc[at, ["exact", "exact_stderr"]] = row[spin], row[f"{spin}_stderr"]
    return frame.assign(error=(frame.value - frame.exact).abs())


def store(frame: pd.DataFrame, out: Path) -> list[Path]:
    """``frame`` as two small tables: ``runs.csv``, a row a run, and ``spins.csv`` with what each has at each time."""
    runs = [name for name in frame.columns if name not in [*OF_A_VALUE, "error"]]
    numbers = frame.groupby(runs, dropna=False, sort=False).ngroup()
    of_run = frame[runs].assign(run=numbers).drop_duplicates("run")
    return [
        write_csv(out / "runs.csv", of_run[["run", *runs]]),
        write_csv(out / "spins.csv", frame.assign(run=numbers)[["run", *OF_A_VALUE]]),
    ]


def stored(out: Path) -> pd.DataFrame:
    """What `store` wrote, as `values` returns it. Raises ``InputError`` where nothing is stored."""
    if not (out / "runs.csv").exists():
        raise InputError(f"no runs.csv in {out}: give the folders of the suites' records.")
    runs = read_table(out / "runs.csv", ("run", *NUMBERS), ("varied", "system", *CASE), ["run"])
    spins = read_table(out / "spins.csv", ("run", *OF_A_VALUE[1:]), OF_A_VALUE[:1], ["run", "quantity", "t"])
    frame = spins.merge(runs.fillna({"varied": ""}), on="run").drop(columns="run")
    if set(frame.quantity) != set(SPINS):
        raise damaged(out / "spins.csv", f"has not all of {', '.join(SPINS)} of its runs")
    if not frame.network[frame.task == STRINGS].map(lambda label: bool(re.search(LABEL, label))).all():
        raise damaged(out / "runs.csv", f"has rows of {STRINGS} whose network has no strings=")
    return frame.assign(error=(frame.value - frame.exact).abs())


def write_csv(path: Path, frame: pd.DataFrame) -> Path:
    write_text(path, csv(frame, float_format="%.7g"), path.parent)
    return path


def losses(folders: Sequence[Path]) -> pd.DataFrame:
    """The objective over time or iterations, one row a run and report time."""
    parts = []
    for folder in folders:
        for _, record in records(folder):
            log = record.frame("log")
            if "loss" in log:
                task, _, parameter = _varied(record)
                labels: dict = {"task": task, "shape": shape_text(record.run.shape), "network": record.label}
                labels["parameter"] = parameter
                parts.append(log[["t", "loss"]].assign(**labels, tracker=record.task.method, seed=record.run.seed))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["task", "t", "loss"])


def counts(folders: Sequence[Path]) -> pd.DataFrame:
    """``ln Z`` of the jump count, one row a run, ``s`` and report time, with what was run."""
    parts = []
    for folder in folders:
        for _, record in records(folder):
            if record.task.name in COUNTING:
                errors = record.frame("errors", *OF_A_VALUE[:-1])
                own = errors[errors.quantity == "ln_Z"][["s", "t", "value", "stderr", "exact"]]
                labels = {"task": record.task.name, "shape": shape_text(record.run.shape), "n_sites": record.n_sites}
                labels |= {"tracker": record.task.method, "network": record.label, "cpu_s": record.cpu_s}
                parts.append(own.assign(error=(own.value - own.exact).abs(), **labels))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def counting(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a run: the largest error over times and ``s`` of ``ln Z``, absolute and per spin and unit of time."""
    rows = []
    for key, group in frame.groupby([*CASE, "n_sites"], sort=True):
        row = dict(zip([*CASE, "n_sites"], key))
        row |= {"s": f"{group.s.min():g} to {group.s.max():g}", "to t": group.t.max()}
        rate = group.error / (group.t * group.n_sites)
        rows.append({**row, "error": group.error.max(), "rate": rate.max(), "cpu_s": group.cpu_s.median()})
    return pd.DataFrame(rows)


def between_networks(frame: pd.DataFrame) -> pd.DataFrame:
    """Rings too large for exact values: how far each spin average of two networks is apart, at most over the times."""
    rows = []
    for (task, shape), group in frame[frame.exact.isna()].groupby(["task", "shape"]):
        wide = group.pivot_table(index=["quantity", "t"], columns="network", values="value")
        if wide.shape[1] == 2:
            apart = (wide.iloc[:, 0] - wide.iloc[:, 1]).abs()
            row = {"task": task, "shape": shape, "networks": " and ".join(wide.columns), "to t": group.t.max()}
            rows.append({**row, **apart.groupby("quantity").max()})
    return pd.DataFrame(rows)


def last_only(frame: pd.DataFrame) -> pd.DataFrame:
    """The last report of each run."""
    return frame[frame.t == frame.groupby([*CASE, "parameter", "seed"], dropna=False).t.transform("max")]


def is_steady(frame: pd.DataFrame) -> pd.Series:
    """Whether the result of a run is its end: steady states, by every method."""
    return frame.task.str.startswith(("steady", "ising", "objective")) | (frame.task == "lattice-steady")


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a case and varied parameter: largest error of each spin over the times (steady states: at the end).

    Medians over the seeds; ``of_average`` is the largest error of the average over the seeds, all spins.
    """
    measured = pd.concat([frame[~is_steady(frame)], last_only(frame[is_steady(frame)])])
    rows = []
    for key, group in measured.groupby([*CASE, "varied", "parameter"], dropna=False, sort=True):
        row = dict(zip([*CASE, "varied", "parameter"], key))
        worst = group.groupby(["quantity", "seed"]).error.max()
        mean = group.groupby(["quantity", "t"]).agg({"value": "mean", "exact": "first"})
        runs = group.groupby("seed").first()
        row |= {"to t": group.t.max(), "samples": group.samples.iloc[0], "seeds": len(runs)}
        row |= {name: worst.get(name, pd.Series([np.nan])).median() for name in SPINS}
        row["of_average"] = (mean.value - mean.exact).abs().max() if len(runs) > 1 else np.nan
        row["stderr"] = group.stderr.max()
        row["exact_stderr"] = group.exact_stderr.max() or np.nan
        for name in ("total_variation", "eigenvalue", "eigenvalue_two_sites", "loss", "cpu_s"):
            row[name] = runs[name].median()
        rows.append(row)
    return pd.DataFrame(rows)
