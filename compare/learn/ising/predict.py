"""Thermodynamics at other temperatures from a Hamiltonian learned at one, beside exact or Monte Carlo values."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vanbench.compare.learn.ising.learning import Spec
from vanbench.compare.run.stored import damaged, read_table
from vanbench.exact import ising
from vanbench.exact.definitions.quantities import given
from vanbench.exact.definitions.quantity import EQUILIBRIUM, MONTECARLO
from vanbench.exact.errors import InputError, unknown
from vanbench.exact.files import write_text
from vanbench.exact.ising import coarse, montecarlo
from vanbench.exact.seeds import Seed, stream
from vanbench.exact.statistics import all_but_one, jackknife_error, standard_error
from vanbench.exact.warning import RunWarning
from vanbench.neural import Autoregressive
from vanbench.neural.learning import mixture, reweight

COLUMNS = [
    "quantity",
    "T",
    "value",
    "stderr",
    "reference",
    "reference_stderr",
    "difference",
    "method",
    "quality",
]
REFERENCE_SAMPLES = 20000
FEW = 100  # effective draws: five in each of the twenty groups whose scatter is the standard error
STUCK = 10  # accepted moves of a chain; with fewer, the chain hardly leaves its start


@dataclass(frozen=True)
class Sampling:
    """How p^(T0/T) is averaged:

    "mixture" of `draws` independent draws a temperature (`neural.learning.mixture`), or "chains".

    The other settings are those of the chains (`neural.learning.reweight.sample`).
    """

    method: str = "mixture"
    draws: int = 1000
    chains: int = 32
    length: int = 150
    thermalise: int = 50
    moves: tuple[str, ...] = ("independence", "exchange")
    seed: int = 1

    def __post_init__(self) -> None:
        if self.method not in ("mixture", "chains"):
            raise unknown("sampling method", self.method, ["mixture", "chains"])


def predict(
    spec: Spec,
    net: Autoregressive,
    fit: dict[str, Any],
    temperatures: Sequence[float],
    sampling: Sampling = Sampling(),
    on_step: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Sample p^(T0/T) and average; tidy with COLUMNS, per site, `difference` = value - reference.

    energy, specific_heat, abs_magnetization: observables of the sampled configurations. learned_energy,
    learned_specific_heat: of -T0 ln p itself, its constant fixed by the held-out configurations at T0. For blocks:
    block_magnetization, and learned_specific_heat (per block), which has no reference. `quality` is the
    effective sample size (mixture) or the acceptance of the first move (chains). Raises InputError for bad arguments.
    """
    n_sites = int(np.prod(spec.field_shape))
    observables: dict[str, reweight.Observable] = {"block_magnetization": coarse.block_magnetization}
    if not spec.stride:
        observables = {
            "energy": lambda x: ising.energy(x, spec.shape, *spec.couplings),
            "abs_magnetization": ising.abs_magnetization,
        }
    values = sorted(float(T) for T in ising.lattice.check_temperatures(temperatures))
    averages = _AVERAGES[sampling.method](spec, net, values, sampling, observables, on_step)
    rows = []
    for k, T in enumerate(values):
        ln_p = averages.variance("ln_p", k)
        averaged = {"learned_specific_heat": _scaled(ln_p, spec.T0**2 / (n_sites * T**2))}
        if spec.stride:
            averaged["block_magnetization"] = averages.mean("block_magnetization", k)
        else:
            averaged["energy"] = _scaled(averages.mean("energy", k), 1 / n_sites)
            averaged["specific_heat"] = _scaled(averages.variance("energy", k), 1 / (n_sites * T**2))
            averaged["abs_magnetization"] = averages.mean("abs_magnetization", k)
            if "agreement" in fit:
                mean, error = averages.mean("ln_p", k)
                free_energy = fit["agreement"]["free_energy"]
                averaged["learned_energy"] = (free_energy - spec.T0 * mean) / n_sites, spec.T0 * error / n_sites
        quality = float(averages.quality[k])
        rows += [(name, T, value, error, quality) for name, (value, error) in averaged.items()]
    frame = pd.DataFrame(rows, columns=["quantity", "T", "value", "stderr", "quality"])
    joined = frame.merge(_reference(spec, values, sampling.seed), how="left", on=["quantity", "T"])
    joined["difference"] = joined["value"] - joined["reference"]
    return joined.sort_values(["quantity", "T"], ignore_index=True)[COLUMNS]


def doubts(frame: pd.DataFrame, sampling: Sampling) -> dict[float, RunWarning]:
    """Warnings by temperature, where the averages cannot be trusted."""
    warnings = {}
    for T, quality in frame.groupby("T").quality.first().items():
        if sampling.method == "mixture" and not quality >= FEW:
            text = f"only {quality:.3g} draws count: the network says too little here; take more --draws"
        elif sampling.method == "chains" and not quality * sampling.length >= STUCK:
            text = f"{quality:.2g} of the moves {sampling.moves[0]} are accepted, fewer than {STUCK} in a chain: take "
            text += "a larger --length, or other --moves"
        else:
            continue
        warnings[float(T)] = RunWarning("effective samples", f"T = {T:g}: {text}")
    return warnings


def _scaled(pair: tuple[float, float], factor: float) -> tuple[float, float]:
    return pair[0] * factor, pair[1] * factor


class _Mixture:
    """Averages from `neural.learning.mixture`; quality: effective sample size."""

    def __init__(self, spec, net, values, sampling, observables, on_step):
        self.learned = mixture.draw(
            net,
            spec.T0,
            values,
            draws=sampling.draws,
            observables=observables,
            seed=sampling.seed,
            on_step=on_step,
        )
        self.mean, self.variance, self.quality = self.learned.mean, self.learned.variance, self.learned.effective()


class _Chains:
    """Averages from `neural.learning.reweight`, errors from the spread over chains; quality: first acceptance."""

    def __init__(self, spec, net, values, sampling, observables, on_step):
        settings = {name: getattr(sampling, name) for name in ("chains", "length", "thermalise", "moves", "seed")}
        sampled = reweight.sample(net, spec.T0, values, observables=observables, on_step=on_step, **settings)
        self.series, self.quality = sampled.series, sampled.acceptance[sampling.moves[0]]

    def mean(self, name: str, k: int) -> tuple[float, float]:
        chains = self.series[name][k].mean(axis=1)
        return float(chains.mean()), standard_error(chains)

    def variance(self, name: str, k: int) -> tuple[float, float]:
        return _variance(self.series[name][k])


_AVERAGES: dict[str, Any] = {"mixture": _Mixture, "chains": _Chains}


def _variance(series: NDArray) -> tuple[float, float]:
    """Variance over all of (chains, length), with the jackknife over chains as its error."""
    series = series - series.mean()
    first, second = series.mean(axis=1), (series**2).mean(axis=1)
    rest = len(first) - 1
    without = all_but_one(second) / rest - (all_but_one(first) / rest) ** 2
    return float(series.var()), float(jackknife_error(without))


def _reference(spec: Spec, values: list[float], seed: int) -> pd.DataFrame:
    """The exact values of the predicted quantities, with a standard error where they are sampled."""
    if spec.stride:
        rows = [("block_magnetization", T, *_block_reference(spec, T, stream(seed, k))) for k, T in enumerate(values)]
        return pd.DataFrame(rows, columns=["quantity", "T", "reference", "reference_stderr", "method"])
    names = given(MONTECARLO, EQUILIBRIUM)
    exact = ising.solve(spec.shape, values, *spec.couplings, quantities=names, seed=seed, samples=REFERENCE_SAMPLES)
    exact = exact.rename(columns={"value": "reference", "stderr": "reference_stderr"}).drop(
        columns=["bound", "bound_kind", "note"]
    )
    copies = [exact[exact.quantity == name].assign(quantity=f"learned_{name}") for name in ("energy", "specific_heat")]
    return pd.concat([exact, *copies], ignore_index=True)


def _block_reference(spec: Spec, T: float, seed: Seed) -> tuple[float, float, str]:
    run = montecarlo.simulate(spec.shape, T, REFERENCE_SAMPLES, *spec.couplings, keep=True, seed=seed)
    assert run.configurations is not None
    blocks = coarse.coarse_configurations(run.configurations, spec.shape, spec.stride)
    return *montecarlo.mean_error(coarse.block_magnetization(blocks), run.chains), "Monte Carlo"


def worst(frame: pd.DataFrame, quantity: str, transition: tuple[float, float] = (2.2, 2.6)) -> tuple[float, float]:
    """Largest |difference| outside and inside the open interval `transition` (NaN where it holds no temperature)."""
    rows = frame[frame.quantity == quantity]
    if rows.empty:
        raise InputError(f"the table holds no {quantity}")
    inside = (rows["T"] > transition[0] + 1e-9) & (rows["T"] < transition[1] - 1e-9)
    return float(rows[~inside].difference.abs().max()), float(rows[inside].difference.abs().max())


def _settings(temperatures: Sequence[float], sampling: Sampling) -> str:
    return json.dumps({"temperatures": list(temperatures), **asdict(sampling)})


def _paths(folder: Path, settings: str) -> tuple[Path, Path]:
    stem = f"predict-{zlib.crc32(settings.encode()):08x}"
    return folder / f"{stem}.csv", folder / f"{stem}.json"


def save(folder: Path, frame: pd.DataFrame, temperatures: Sequence[float], sampling: Sampling) -> Path:
    """Write the table and, beside it, its settings as JSON, which also name the files; returns the table's path."""
    settings = _settings(temperatures, sampling)
    table, description = _paths(Path(folder), settings)
    write_text(table, frame.to_csv(index=False, float_format="%.8g"), Path(folder))
    write_text(description, settings + "\n", Path(folder))
    return table


def saved(folder: Path, temperatures: Sequence[float], sampling: Sampling) -> pd.DataFrame | None:
    """The table that `save` wrote with the same settings, if there is one. Raises ``InputError`` for a damaged one."""
    path, _ = _paths(Path(folder), _settings(temperatures, sampling))
    if not path.exists():
        return None
    table = read_table(path, [*COLUMNS[1:7], "quality"], ["quantity", "method"], COLUMNS[:2])
    wanted = sorted(float(T) for T in temperatures)
    if table.empty or any(sorted(own) != wanted for _, own in table.groupby("quantity")["T"]):
        raise damaged(path, "lacks some of its temperatures")
    return table
