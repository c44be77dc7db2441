"""Markov-chain Monte Carlo of the Ising model, where no closed form exists (e.g. <|M|> at 16 x 16).

Several independent chains from over-dispersed starts (all up, all down, staggered, random), each with a stream of
random numbers of its own; `updates` has the moves and `series` the errors. Where J != 0 an update is a sweep over
single spins and one over clusters, which carry the chain from one phase to another; either alone can be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vanbench.exact.errors import InputError
from vanbench.exact.ising import updates
from vanbench.exact.ising.lattice import (
    FloatArray,
    IntArray,
    bonds,
    check_couplings,
    check_temperatures,
    plaquettes,
    sides,
    site_tables,
)
from vanbench.exact.ising.series import Estimate, autocorrelation_time, estimate, mean_error
from vanbench.exact.seeds import Seed, stream

__all__ = ["Run", "autocorrelation_time", "averages", "estimates", "mean_error", "simulate"]

THERMALISE = 2000  # updates of each chain before its first sample
CHAINS = 10  # their scatter then gives the error to a quarter of itself


@dataclass(frozen=True)
class Run:
    """Chains one after the other: total energy (n,), magnetization sum (n,), and configurations in {0, 1} (n, n_sites)
    when kept. `np.array_split(energy, chains)` are the chains.
    """

    energy: FloatArray
    magnetization: FloatArray
    configurations: NDArray[np.int8] | None
    chains: int


def simulate(
    shape: Sequence[int],
    T: float,
    samples: int,
    J: float = 1.0,
    h: float = 0.0,
    plaquette: float = 0.0,
    *,
    algorithm: str = "auto",
    sweeps: int = 1,
    thermalise: int = THERMALISE,
    keep: bool = False,
    seed: Seed = 1,
    progress: Callable[[str], None] | None = None,
) -> Run:
    """`samples` samples in CHAINS chains (one each if fewer), `sweeps` lattice sweeps apart.

    `algorithm`: "metropolis" turns single spins; "wolff" single clusters, as many as make a sweep (h = plaquette = 0);
    "auto" both, spins and clusters, with any coupling. Each chain starts with `thermalise` updates. `keep` returns
    the configurations too. Raises InputError for bad arguments.
    """
    (T,) = check_temperatures([T])
    check_couplings(J=J, h=h, plaquette=plaquette)
    if samples < 1 or sweeps < 1 or thermalise < 1:
        raise InputError("samples, sweeps and thermalise must be at least 1")
    moves = _moves(algorithm, J, h, plaquette)
    rows, columns = sides(shape)
    n = rows * columns
    pairs, quads = bonds(shape), plaquettes(shape)
    tables = site_tables(pairs, n), site_tables(quads, n), pairs, quads
    point = (float(J), float(h), float(plaquette)), float(T), moves, thermalise, sweeps
    chains = min(CHAINS, samples)
    kept = np.empty((samples if keep else 0, n), dtype=np.int8)
    series, first = [], 0
    for number in range(chains):
        rng = np.random.default_rng(stream(seed, number))
        length = samples // chains + (number < samples % chains)
        start = _start(number, rows, columns, rng)
        series.append(updates.chain(start, *tables, *point, length, kept[first : first + length], rng))
        first += length
        if progress:
            progress(f"T = {T:g}: chain {number + 1} of {chains}")
    energy, magnetization = (np.concatenate(part) for part in zip(*series))
    return Run(energy, magnetization, kept if keep else None, chains)


def _moves(algorithm: str, J: float, h: float, plaquette: float) -> int:
    if algorithm == "metropolis":
        return updates.SINGLE
    if algorithm == "auto":
        return updates.BOTH if J else updates.SINGLE
    if algorithm != "wolff":
        raise InputError(f"unknown Monte Carlo algorithm {algorithm!r}: use auto, wolff or metropolis")
    if h or plaquette or not J:
        raise InputError("Wolff clusters need h = 0, plaquette = 0 and J != 0: use metropolis")
    return updates.ONE_CLUSTER


def _start(chain: int, rows: int, columns: int, rng: np.random.Generator) -> IntArray:
    """Spins (n_sites,): all up, all down, staggered or random, in turn."""
    n = rows * columns
    if chain % 4 == 3:
        return 2 * rng.integers(0, 2, n) - 1
    staggered = 1 - 2 * ((np.arange(n) // columns + np.arange(n) % columns) % 2)
    return (np.ones(n, dtype=np.int64), -np.ones(n, dtype=np.int64), staggered)[chain % 4]


def estimates(run: Run, T: float, n_sites: int) -> dict[str, Estimate]:
    """Energy, specific heat and |M| per site."""
    centred = run.energy - run.energy.mean()
    return {
        "energy": _scaled(estimate(run.energy, run.chains), 1 / n_sites),
        # each sample's influence on the variance
        "specific_heat": _scaled(estimate(centred**2, run.chains, run.energy), 1 / (n_sites * T**2)),
        "abs_magnetization": _scaled(estimate(np.abs(run.magnetization), run.chains), 1 / n_sites),
    }


def _scaled(result: Estimate, factor: float) -> Estimate:
    return Estimate(result.value * factor, result.stderr * factor, result.note)


def averages(run: Run, T: float, n_sites: int) -> dict[str, tuple[float, float]]:
    """Value and standard error of `estimates`."""
    return {name: result[:2] for name, result in estimates(run, T, n_sites).items()}
