"""The study of Wang, Jiang, Zhou (arXiv:2007.01037) redone against exact references.

Every run is a folder under `work` that is taken up where it was left; tables and figures go to `out`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.learn.ising import data as ising_data
from vanbench.compare.learn.ising import plots as ising_plots
from vanbench.compare.learn.ising import predict as ising_predict
from vanbench.compare.learn.ising.learning import SCATTER, Spec, kl_divergence, load, run
from vanbench.compare.learn.ising.predict import Sampling
from vanbench.compare.studies.wang2020 import kept
from vanbench.compare.studies.wang2020.causes import causes
from vanbench.exact import ising
from vanbench.exact.errors import unknown
from vanbench.exact.files import write_text
from vanbench.exact.ising import coarse, montecarlo
from vanbench.exact.seeds import stream
from vanbench.neural.learning import hamiltonian
from vanbench.neural.learning import likelihood as learn

Say = Callable[[str], None]
T0, N = 2.5, 60000
BASE = Spec(shape=(16, 16), T0=T0, dtype="float32", training=learn.Training(epochs=40))
SYMMETRIC = replace(BASE, training=replace(BASE.training, symmetries=("translations", "flip")))
VARIANTS = {
    "main": BASE,
    "main-decay": replace(BASE, training=replace(BASE.training, weight_decay=0.3)),
    "main-symmetric": SYMMETRIC,
    "main-no-skip": replace(BASE, options={"hidden": [180, 120], "skip": False}),
}
# every site teaches the same kernels, so that rare neighbourhoods are learned too, and sooner
CIRCULANT = replace(
    BASE,
    architecture="circulant",
    options={"units": 8},
    training=replace(SYMMETRIC.training, epochs=10, learning_rate=5e-3),
)
SHARED = {
    "main-circulant": CIRCULANT,
    "main-circulant-16": replace(CIRCULANT, options={"units": 16}, training=replace(CIRCULANT.training, epochs=20)),
    "main-circulant-fast": replace(CIRCULANT, training=replace(CIRCULANT.training, learning_rate=1e-2)),
}
# without the linear part the logits are bounded
BOUNDED = replace(
    CIRCULANT, options={"units": 16, "linear": False}, training=replace(CIRCULANT.training, learning_rate=2e-2)
)
MIDDLE = replace(BOUNDED, shape=(8, 8))  # a tenth of the cost
SEEDS = {  # of data, split, start and batches
    "main-bounded": BOUNDED,
    "main-bounded-2": replace(BOUNDED, training=replace(BOUNDED.training, seed=2)),
    "main-bounded-3": replace(BOUNDED, training=replace(BOUNDED.training, seed=3)),
}
UNASSUMING = {"main-bounded-plain": replace(BOUNDED, training=replace(BOUNDED.training, symmetries=()))}
CURVES = ("main", "main-decay", "main-symmetric")
GRID = [round(1 + 0.1 * k, 1) for k in range(31)]
PROBE = [1.0, 1.4, 1.8, 2.0, 2.2, 2.4, 2.6, 2.8, 3.2, 3.6, 4.0]
FULL = Sampling(draws=1000)
SHORT = Sampling(draws=1000)
COARSER = Sampling(draws=400)


def _fitted(work: Path, name: str, spec: Spec, n: int, say: Say) -> dict[str, Any]:
    """Train in work/name unless it is done."""
    folder = work / name
    if not (folder / "fit.json").exists():
        say(f"training {name}: {n} configurations")
        x = ising_data.generate(n, spec.shape, spec.T0, spec.couplings, spec.stride, spec.training.seed)
        run(spec, x, folder)
    return kept.fit(folder, spec)


def _predicted(
    work: Path, name: str, spec: Spec, temperatures: list[float], sampling: Sampling, say: Say
) -> pd.DataFrame:
    folder = work / name
    frame = kept.predictions(folder, spec, temperatures, sampling)
    if frame is None:
        say(f"sampling {name} at {len(temperatures)} temperatures")
        spec, net, fit = load(folder)
        frame = ising_predict.predict(spec, net, fit, temperatures, sampling)
        ising_predict.save(folder, frame, temperatures, sampling)
    return frame


def _summary(spec: Spec, fit: dict[str, Any], frame: pd.DataFrame) -> dict[str, Any]:
    """One line of every table: how good the network is at T0 and how wrong the prediction elsewhere."""
    kl, kl_error = kl_divergence(spec, fit)
    energy, magnetization = ising_predict.worst(frame, "energy"), ising_predict.worst(frame, "abs_magnetization")
    return {
        "L": spec.shape[0],
        "T0": spec.T0,
        "n": fit["configurations"],
        "best_epoch": fit["best_epoch"],
        "kl_per_site": kl,
        "kl_error": kl_error,
        "r2": fit["agreement"]["r2"],
        "slope": fit["agreement"]["slope"],
        "energy_error": energy[0],
        "magnetization_error": magnetization[0],
        "energy_error_transition": energy[1],
        "magnetization_error_transition": magnetization[1],
        "lowest_ess": float(frame.quality.min()),
        "training_seconds": fit["training_seconds"],
        "training_cpu_seconds": fit["training_cpu_seconds"],
    }


def part_main(out: Path, work: Path, say: Say) -> None:
    """16x16, T0 = 2.5, 60000 configurations: as measured, and what regularisation, symmetry and skip change."""
    fits = {name: _fitted(work, name, spec, N, say) for name, spec in VARIANTS.items()}
    lines = []
    for name, spec in VARIANTS.items():
        frame = _predicted(work, name, spec, PROBE, SHORT, say)
        lines.append({"run": name, **_summary(spec, fits[name], frame)})
        _table(pd.DataFrame(lines), out / "main.csv")
    frames = {name: _predicted(work, name, VARIANTS[name], GRID, FULL, say) for name in CURVES}
    everything = pd.concat([frame.assign(run=name) for name, frame in frames.items()], ignore_index=True)
    write_text(out / "main-curves.csv", everything.to_csv(index=False, float_format="%.6g"), out)
    ising_plots.curves(everything, BASE, out / "main.png", title="16x16, 60000 configurations at $T_0=2.5$")
    shown = ("main", "main-symmetric", "main-no-skip")
    energies = {name: kept.energies(work / name, SCATTER) for name in shown}
    ising_plots.scatter(energies, fits, 256, out / "scatter.png")
    _table(_deviations(work), out / "deviations.csv")
    terms = [
        {"run": name, "term": term, "coupling": value["value"], "stderr": value["stderr"]}
        for name, fit in fits.items()
        for term, value in fit["couplings"].items()
    ]
    _table(pd.DataFrame(terms), out / "couplings.csv")


def part_shared(out: Path, work: Path, say: Say) -> None:
    """The main run with kernels shared between the sites; the published network's rows are in main.csv."""
    lines, frames = [], []
    for name, spec in SHARED.items():
        fit = _fitted(work, name, spec, N, say)
        frames.append(_predicted(work, name, spec, PROBE, SHORT, say).assign(run=name))
        lines.append({"run": name, **_summary(spec, fit, frames[-1])})
        _table(pd.DataFrame(lines), out / "shared.csv")
    frame = pd.concat(frames, ignore_index=True)
    write_text(out / "shared-curves.csv", frame.to_csv(index=False, float_format="%.6g"), out)
    frame = pd.concat([*kept.curves(out), frame], ignore_index=True)
    ising_plots.curves(frame, BASE, out / "shared.png", title="16x16, 60000 configurations at $T_0=2.5$")


def part_bounded(out: Path, work: Path, say: Say) -> None:
    """Kernels shared and logits bounded: three seeds, the mean over them at each temperature, and the causes."""
    lines, frames = [], []
    for name, spec in {**SEEDS, **UNASSUMING}.items():
        fit = _fitted(work, name, spec, N, say)
        sampling = replace(SHORT, seed=spec.training.seed)
        frames.append(_predicted(work, name, spec, PROBE, sampling, say).assign(run=name))
        lines.append({"run": name, **_summary(spec, fit, frames[-1])})
        _table(pd.DataFrame(lines), out / "bounded.csv")
    frame = pd.concat(frames, ignore_index=True)
    write_text(out / "bounded-curves.csv", frame.to_csv(index=False, float_format="%.6g"), out)
    over = (
        frame[frame.run.isin(SEEDS)].groupby(["quantity", "T"]).difference.agg(["mean", "std", "count"]).reset_index()
    )
    over["stderr"] = over["std"] / np.sqrt(over["count"])
    chosen = over[over.quantity.isin(["energy", "abs_magnetization"])]
    _table(chosen[["quantity", "T", "mean", "stderr"]], out / "bounded-seeds.csv")
    frame = pd.concat([*kept.curves(out), frame], ignore_index=True)
    ising_plots.curves(frame, BASE, out / "bounded.png", title="16x16, 60000 configurations at $T_0=2.5$")
    nets = {name: load(work / name)[1] for name in (*SEEDS, *UNASSUMING)}
    _table(causes(nets, BASE.shape, T0, [1.4, 1.8, 2.0, 2.2, 2.6, 3.0]), out / "bounded-causes.csv")


def part_causes(out: Path, work: Path, say: Say) -> None:
    """The cause of the energy's error just below T_c: the sampler, noise, or a bias for order."""
    specs = {"main": BASE, **SHARED}
    lines = []
    for name, spec in specs.items():
        fit = _fitted(work, name, spec, N, say)
        lines.append({"run": name, **kept.likelihoods(work / name, fit["best_epoch"])})
    _table(pd.DataFrame(lines), out / "likelihoods.csv")
    nets = {name: load(work / name)[1] for name in specs}
    _table(causes(nets, BASE.shape, T0, [1.4, 1.8, 2.0, 2.2, 2.6, 3.0]), out / "causes.csv")


def _deviations(work: Path) -> pd.DataFrame:
    """Learned minus true energy, its mean removed, by |M| over fresh configurations at T0 and 2.2."""
    runs = [
        montecarlo.simulate(BASE.shape, T, 4000, sweeps=4, keep=True, seed=stream(5, k))
        for k, T in enumerate((T0, 2.2))
    ]
    x = np.concatenate([r.configurations for r in runs if r.configurations is not None])
    m, true = ising.abs_magnetization(x), np.concatenate([r.energy for r in runs])
    edges = [0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.001]
    rows = []
    for name in CURVES:
        rest = hamiltonian.learned_energy(load(work / name)[1], x, T0) - true
        rest -= rest.mean()
        for low, high in pairwise(edges):
            inside = (m >= low) & (m < high)
            share = float(inside[:4000].mean())
            rows.append((name, low, min(high, 1.0), share, rest[inside].mean(), rest[inside].std()))
    return pd.DataFrame(rows, columns=["run", "M from", "to", "share_at_T0", "mean_deviation", "spread"])


def _sweep(runs: list[tuple[str, Spec, int]], out: Path, work: Path, say: Say, by: str, label: str, log: bool) -> None:
    """Train, predict at PROBE, and tabulate runs that differ in one thing, after each run."""
    lines = []
    for name, spec, n in runs:
        fit = _fitted(work, name, spec, n, say)
        frame = _predicted(work, name, spec, PROBE, COARSER, say)
        lines.append({"run": name, "units": spec.options["units"], **_summary(spec, fit, frame)})
        _table(pd.DataFrame(lines), out / f"by-{by}.csv")
    ising_plots.against(pd.DataFrame(lines), by, label, out / f"by-{by}.png", log)


def part_samples(out: Path, work: Path, say: Say) -> None:
    """Error against the number of training configurations."""
    runs = [(f"n{n}", BOUNDED, n) for n in (1000, 3000, 10000, 30000)]
    _sweep([*runs, ("main-bounded", BOUNDED, N)], out, work, say, "n", "training configurations", True)


def part_sizes(out: Path, work: Path, say: Say) -> None:
    """Error against the linear size."""
    runs = [(f"L{L}", replace(BOUNDED, shape=(L, L)), N) for L in (4, 6, 8, 12)]
    _sweep([*runs, ("main-bounded", BOUNDED, N)], out, work, say, "L", "linear size $L$", False)


def part_temperatures(out: Path, work: Path, say: Say) -> None:
    """Error against the training temperature."""
    runs = [(f"T{T:g}", replace(MIDDLE, T0=T), N) for T in (2.0, 2.25, 3.0, 4.0)]
    _sweep([*runs[:2], ("L8", MIDDLE, N), *runs[2:]], out, work, say, "T0", "training temperature $T_0$", False)


def part_width(out: Path, work: Path, say: Say) -> None:
    """Error against the number of units."""
    runs = [(f"units{units}", replace(MIDDLE, options={"units": units, "linear": False}), N) for units in (4, 8, 32)]
    _sweep([*runs[:2], ("L8", MIDDLE, N), runs[2]], out, work, say, "units", "tanh units a site", True)


def part_coarse(out: Path, work: Path, say: Say) -> None:
    """16x16 measured as blocks instead of spins."""
    exact = ising.solve(BASE.shape, [T0], quantities=["energy", "free_energy"]).set_index("quantity").value
    entropy = (exact.energy - exact.free_energy) / T0 * np.prod(BASE.shape)
    lines = []
    for stride in (2, 1):
        name = f"coarse{stride}"
        training = replace(BASE.training, epochs=20)
        if stride == 1:  # overlapping blocks pin each other down: slower to learn, and a pass costs six times as much
            training = replace(training, epochs=12, learning_rate=1e-2)
        spec = replace(BASE, stride=stride, training=training)
        fit = _fitted(work, name, spec, N, say)
        lines.append({"run": name, "nll": fit["nll"], "nll_error": fit["nll_error"], "entropy_of_spins": entropy})
        _table(pd.DataFrame(lines), out / "coarse-likelihoods.csv")
        frame = _predicted(work, name, spec, PROBE, COARSER, say)
        write_text(out / f"{name}.csv", frame.to_csv(index=False, float_format="%.6g"), out)
        title = f"16x16 measured as 2x2 blocks, stride {stride}"
        ising_plots.curves(frame, spec, out / f"{name}.png", title=title)


def part_ceiling(out: Path, work: Path, say: Say) -> None:
    """Blocks at 4x4 against the exact ceiling of the method."""
    rows: list[dict[str, Any]] = []
    for stride in (1, 2):
        name = f"coarse{stride}-4x4"
        spec = replace(BASE, shape=(4, 4), stride=stride, training=replace(BASE.training, epochs=20))
        _fitted(work, name, spec, N, say)
        frame = (
            _predicted(work, name, spec, PROBE, SHORT, say).query("quantity == 'block_magnetization'").set_index("T")
        )
        net = load(work / name)[1]
        exact0 = coarse.distribution(spec.shape, stride, T0)
        kl = float(np.exp(exact0.log_p) @ (exact0.log_p - learn.log_prob(net, exact0.outcomes)))
        for T in PROBE:
            predicted = coarse.ceiling(spec.shape, stride, T0, T)
            rows.append(
                {
                    "stride": stride,
                    "T": T,
                    "exact": predicted["exact_abs_magnetization"],
                    "ceiling": predicted["predicted_abs_magnetization"],
                    "network": frame.value[T],
                    "network_stderr": frame.stderr[T],
                    "kl_of_the_ceiling": predicted["kl_divergence"],
                    "kl_of_the_network_at_T0": kl,
                }
            )
    _table(pd.DataFrame(rows), out / "coarse-ceiling.csv")
    ising_plots.ceiling(pd.DataFrame(rows), T0, out / "coarse-ceiling.png")


def part_small(out: Path, work: Path, say: Say) -> None:
    """4x4, all 65536 configurations summed: KL of each architecture, and a plaquette Hamiltonian."""
    lines = []
    for name, spec in _small_specs():
        fit = _fitted(work, f"small-{name}", spec, N, say)
        net = load(work / f"small-{name}")[1]
        exact = ising.enumeration.log_distribution(spec.shape, T0, *spec.couplings)
        ln_p = learn.log_prob(net, ising.enumeration.configurations(16))
        terms = {
            term: fit["couplings"].get(term, {}).get("value", np.nan) for term in ("nearest", "diagonal", "plaquette")
        }
        lines.append(
            {
                "run": name,
                "true_J": spec.J,
                "true_plaquette": spec.plaquette,
                "kl_exact_network": float(np.exp(exact) @ (exact - ln_p)),
                "kl_network_exact": float(np.exp(ln_p) @ (ln_p - exact)),
                "normalisation": float(np.exp(ln_p).sum()),
                "r2": fit["agreement"]["r2"],
                **terms,
                "training_seconds": fit["training_seconds"],
            }
        )
        _table(pd.DataFrame(lines), out / "small.csv")


def _small_specs() -> Iterator[tuple[str, Spec]]:
    base = replace(BASE, shape=(4, 4), training=replace(BASE.training, epochs=20))
    for architecture in ("bernoulli", "table", "made", "gru"):
        yield architecture, replace(base, architecture=architecture)
    yield "made-plaquette", replace(base, plaquette=0.5)
    yield "made-plaquette-only", replace(base, J=0.0, plaquette=1.0)


PARTS: dict[str, Callable[[Path, Path, Say], None]] = {
    "main": part_main,
    "shared": part_shared,
    "bounded": part_bounded,
    "causes": part_causes,
    "small": part_small,
    "samples": part_samples,
    "sizes": part_sizes,
    "ceiling": part_ceiling,
    "coarse": part_coarse,
    "temperatures": part_temperatures,
    "width": part_width,
}


def study(parts: list[str], out: Path, work: Path, say: Say) -> None:
    """Run the named parts (all without), then write out/README.md from the tables that exist."""
    for name in parts:
        if name not in PARTS:
            raise unknown("part of wang2020", name, list(PARTS))
    out.mkdir(parents=True, exist_ok=True)
    for name in parts or PARTS:
        PARTS[name](out, work, say)
    from vanbench.compare.studies.wang2020.readme import write

    write(out)


def _table(frame: pd.DataFrame, path: Path) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.6g"), path.parent)
