"""Networks that minimise the Ising free energy, beside the exact one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from vanbench.compare.declare.digests import derived_seed
from vanbench.compare.declare.task import Architecture
from vanbench.exact import InputError
from vanbench.exact.ising import solve
from vanbench.exact.ising.lattice import abs_magnetization, check_couplings, check_temperatures, energy, sides
from vanbench.exact.warning import RunWarning
from vanbench.neural import architectures
from vanbench.neural.learning.free_energy import Minimum, Schedule, minimise
from vanbench.neural.run.checks import few_effective

QUANTITIES = ("free_energy", "energy", "abs_magnetization")
REWEIGHTED = "free_energy_reweighted"


def compare(
    shape: tuple[int, ...],
    temperatures: Sequence[float],
    networks: Sequence[Architecture],
    couplings: dict[str, Any] | None = None,
    schedule: Schedule = Schedule(),  # noqa: B008 (frozen)
    seeds: int = 1,
    seed: int = 1,
    report: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """A row for each network, temperature, seed and quantity: ``value, stderr, exact, error, effective, cpu_s``.

    All per site, of the periodic lattice with ``couplings`` ``J, h, plaquette``. ``free_energy`` is the network's own,
    an upper bound in expectation whose excess is ``T KL(q | p) / N``; ``free_energy_reweighted`` corrects it.
    Where no exact method reaches, Monte Carlo stands in for energy and magnetisation. Raises ``InputError``, before
    anything is trained, for a network or a lattice that does not fit.
    """
    given = couplings or {}
    sides(shape)
    check_couplings(**given)
    ts = check_temperatures(temperatures).tolist()
    if seeds < 1:
        raise InputError("at least one seed is needed.")
    make = {
        network.label: partial(architectures.build, network.name, shape, 2, **network.options) for network in networks
    }
    for net in make.values():
        architectures.check_dtype(net(), "float64")
    exact = solve(shape, ts, **given, quantities=QUANTITIES, seed=seed)
    known = {(row["quantity"], row["T"]): row["value"] for row in exact.to_dict("records")}
    rows = []
    for label, net in make.items():
        for T in ts:
            for replica in range(seeds):
                report(f"{label}: T = {T:g}, seed {replica + 1} of {seeds}")
                own = derived_seed(f"ising/{T!r}", shape, seed, replica)
                torch.manual_seed(own)
                began = time.process_time()
                minimum = minimise(net().double(), partial(energy, shape=shape, **given), T, schedule, own)
                head = {"network": label, "T": T, "seed": replica + 1}
                cost = {"effective": minimum.effective, "cpu_s": time.process_time() - began}
                rows += [{**head, **row, **cost} for row in _rows(minimum, known, shape, given)]
    return pd.DataFrame(rows)


def warned(table: pd.DataFrame) -> tuple[pd.DataFrame, list[RunWarning]]:
    """``table`` of ``compare`` with a column ``warning``, and its warnings: where few samples carry the weight."""
    told: dict[tuple, RunWarning] = {}
    for row in table.itertuples():
        if text := few_effective(row.effective):
            key = row.network, row.T, row.seed
            told[key] = RunWarning("ess", f"{row.network}, T = {row.T:g}, seed {row.seed}: {text}")
    if not told:
        return table, []
    rows = table[["network", "T", "seed"]].itertuples(index=False, name=None)
    cells = [f"{told[key].kind}: {told[key].sentence}" if key in told else "" for key in rows]
    return table.assign(warning=cells), list(told.values())


def _rows(
    minimum: Minimum, known: dict[tuple, float], shape: tuple[int, ...], given: dict[str, Any]
) -> list[dict[str, Any]]:
    n = minimum.x.shape[1]
    values = {
        "free_energy": (minimum.free_energy(), n, "free_energy"),
        REWEIGHTED: (minimum.reweighted(), n, "free_energy"),
        "energy": (minimum.average(energy(minimum.x, shape, **given)), n, "energy"),
        "abs_magnetization": (minimum.average(abs_magnetization(minimum.x)), 1, "abs_magnetization"),
    }
    rows = []
    for name, ((value, stderr), per, of) in values.items():
        exact = known.get((of, minimum.T), np.nan)
        value, stderr = value / per, stderr / per
        rows.append({"quantity": name, "value": value, "stderr": stderr, "exact": exact, "error": value - exact})
    return rows
