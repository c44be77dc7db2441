"""Networks that minimise the Ising free energy, beside the exact one: a table of several temperatures and seeds."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from vanbench.compare.declare.digests import derived_seed
from vanbench.compare.declare.task import Architecture
from vanbench.exact import InputError, System, build
from vanbench.exact.definitions.quantities import FREE_ENERGY
from vanbench.exact.definitions.system import ENERGY
from vanbench.exact.ising.gibbs import BY_TEMPERATURE, free_energy
from vanbench.exact.ising.lattice import check_temperatures
from vanbench.exact.ising.solve import solve
from vanbench.exact.warning import AccuracyWarning, RunWarning
from vanbench.neural import Track, architectures, track
from vanbench.neural.run.estimators import REWEIGHTED
from vanbench.neural.trackers import make

METHOD = "free-energy"


def compare(
    shape: tuple[int, ...],
    temperatures: Sequence[float],
    networks: Sequence[Architecture],
    couplings: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    seeds: int = 1,
    seed: int = 1,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[pd.DataFrame, list[RunWarning]]:
    """A row for each network, temperature, seed and quantity: ``value, stderr, exact, error, effective, cpu_s`` (of all
    temperatures, which are trained side by side), and ``warning`` where there is one; with the warnings.

    All per site, of the periodic lattice with ``couplings`` ``J, h, plaquette``, by the tracker ``free-energy`` with
    its ``options``. ``free_energy`` is the network's own, an upper bound in expectation whose excess is
    ``T KL(q | p) / N``; ``free_energy_reweighted`` corrects it. Where no exact method reaches, Monte Carlo stands in
    for the energy and the magnetisation. Raises ``InputError``, before anything is trained, for a network or a lattice
    that does not fit.
    """
    ts = check_temperatures(temperatures).tolist()
    if repeated := next((T for T in ts if ts.count(T) > 1), None):
        raise InputError(f"T = {repeated:g} is given twice.")
    system = build("ising", shape, **(couplings or {}))
    make(METHOD, options or {})
    if seeds < 1:
        raise InputError("at least one seed is needed.")
    for network in networks:
        architectures.check_dtype(architectures.build(network.name, shape, 2, **network.options), "float64")
    exact = solve(shape, ts, **system.params, quantities=BY_TEMPERATURE, seed=seed)
    known = {(row["quantity"], row["T"]): row["value"] for row in exact.to_dict("records")}
    rows: list[dict[str, Any]] = []
    all_told: list[RunWarning] = []
    for network in networks:
        for replica in range(seeds):
            report(f"{network.label}: seed {replica + 1} of {seeds}")
            began = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AccuracyWarning)  # the result has them
                ran = track(
                    system,
                    [1 / T for T in ts],
                    observable=ENERGY,
                    architecture=network.name,
                    architecture_options=network.options,
                    tracker=METHOD,
                    tracker_options=options,
                    seed=derived_seed("ising", shape, seed, replica),
                    project=False,
                )
            cost = time.process_time() - began
            told = _warnings(ran, ts)
            all_told += [
                RunWarning(w.kind, f"{network.label}, T = {T:g}, seed {replica + 1}: {w.text}") for T, w in told.items()
            ]
            for row in _rows(ran, system, ts):
                value = known.get((row["quantity"].removesuffix(f"_{REWEIGHTED}"), row["T"]), math.nan)
                compared = {"exact": value, "error": row["value"] - value, "effective": row.pop("effective")}
                said = told.get(row["T"])
                note = {"warning": f"{said.kind}: {said.sentence}"} if said else {}
                rows.append({"network": network.label, **row, "seed": replica + 1, **compared, "cpu_s": cost, **note})
    table = pd.DataFrame(rows)
    return (table.fillna({"warning": ""}) if all_told else table), all_told


def _warnings(ran: Track, ts: Sequence[float]) -> dict[float, RunWarning]:
    """Of each temperature the last."""
    return {T: w for w in ran.warnings for T in ts if w.s == 1 / T}


def _rows(ran: Track, system: System, ts: Sequence[float]) -> list[dict[str, Any]]:
    rows = []
    records = ran.records.to_dict("records")
    ess = dict(zip(ran.log.s, ran.log.ess))  # of the last step
    for T in ts:
        own = {row["quantity"]: row for row in records if row["s"] == 1 / T}
        other = own[f"ln_Z:{REWEIGHTED}"]
        own[f"{FREE_ENERGY}_{REWEIGHTED}"] = {
            "value": free_energy(system, other["value"], 1 / T, 1.0),
            "sampling_stderr": other["sampling_stderr"] * T / system.n_sites,
        }
        for name in (FREE_ENERGY, f"{FREE_ENERGY}_{REWEIGHTED}", ENERGY, "abs_magnetization"):
            cell = own[name]
            rows.append(
                {"T": T, "quantity": name, "value": cell["value"], "stderr": cell["sampling_stderr"],
                 "effective": ess[1 / T]}
            )  # fmt: skip
    return rows
