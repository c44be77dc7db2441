"""What parts of the study read back, of runs under `work` and tables in `out`: a file that is damaged is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from vanbench.compare.learn.ising.learning import Spec
from vanbench.compare.learn.ising.predict import COLUMNS, Sampling, saved
from vanbench.compare.run.stored import damaged, read_json, read_table

FIT = ("configurations", "best_epoch", "nll", "nll_error", "training_seconds", "training_cpu_seconds")
AGREEMENT = ("r2", "slope", "free_energy", "free_energy_error")
COUPLING = ("value", "stderr")
LIKELIHOODS = ("train_nll", "validation_nll")


def fit(folder: Path, spec: Spec) -> dict[str, Any]:
    """``fit.json`` of a run; of spins, not blocks, with its agreement and its couplings."""
    path = folder / "fit.json"
    held = read_json(path)
    _require(held, FIT, path)
    if not spec.stride:
        _require(held.get("agreement"), AGREEMENT, path)
        couplings = held.get("couplings")
        for coupling in couplings.values() if isinstance(couplings, dict) else [None]:
            _require(coupling, COUPLING, path)
    return held


def _require(held: Any, numbers: tuple[str, ...], path: Path) -> None:
    for name in numbers:
        if not isinstance(held, dict) or type(held.get(name)) not in (int, float):
            raise damaged(path, f"has no number {name!r}")


def predictions(folder: Path, spec: Spec, temperatures: Sequence[float], sampling: Sampling) -> pd.DataFrame | None:
    """What was predicted before with the same settings, if anything was."""
    table = saved(folder, temperatures, sampling)
    wanted = ("block_magnetization",) if spec.stride else ("energy", "abs_magnetization")
    if table is not None and not set(wanted) <= set(table.quantity):
        raise damaged(folder, f"holds predictions without {' or '.join(wanted)}")
    return table


def energies(folder: Path, most: int) -> pd.DataFrame:
    """The first ``most`` held-out configurations: true and learned."""
    path = folder / "energies.csv"
    table = read_table(path, ("true", "learned")).head(most)
    if table.empty:
        raise damaged(path, "has no rows")
    return table


def likelihoods(folder: Path, epoch: int) -> dict[str, float]:
    """Of an epoch of the training."""
    path = folder / "history.csv"
    history = read_table(path, ("epoch", *LIKELIHOODS), keys=["epoch"]).set_index("epoch")
    if epoch not in history.index:
        raise damaged(path, f"lacks the epoch {epoch}")
    return history.loc[epoch, [*LIKELIHOODS]].to_dict()


def curves(out: Path) -> list[pd.DataFrame]:
    """Those of the published network, where the part ``main`` was run."""
    path = out / "main-curves.csv"
    if not path.exists():
        return []
    table = read_table(path, (*COLUMNS[1:7], "quality"), ("quantity", "method", "run"), ["run", "quantity", "T"])
    if "main" not in set(table.run):
        raise damaged(path, "has no rows of the run 'main'")
    return [table[table.run == "main"]]
