"""Why a learned Hamiltonian is wrong at other temperatures, told apart without its own sampler.

Configurations drawn at T by Monte Carlo, weighted with exp(-(H_learned - H)/T), give the average that the learned
Hamiltonian predicts at T: no chain of the network takes part, so what is left of an error is the Hamiltonian's. There
the deviation D = H_learned - H is replaced by parts of itself: its mean over the symmetries of the torus, its mean at
each energy, and the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vanbench.exact import ising
from vanbench.exact.ising import montecarlo
from vanbench.exact.seeds import stream
from vanbench.exact.statistics import all_but_one, effective_fraction, jackknife_error
from vanbench.neural import Autoregressive
from vanbench.neural.learning import likelihood as learn

SAMPLES = 3000  # configurations a temperature, five sweeps apart
IMAGES = 8  # random translations and spin flips averaged over
BINS = 40  # of energy, equally filled
GROUPS = 20  # of the jackknife; each then spans hundreds of sweeps


def causes(
    nets: Mapping[str, Autoregressive], shape: Sequence[int], T0: float, temperatures: Sequence[float]
) -> pd.DataFrame:
    """Energy error a spin of each network at each temperature, of D and of its parts; columns as below.

    `learned`: D itself; `images`: averaged over symmetry images; `by_energy`: only the mean of D at each energy;
    `rest`: D without that mean; `stderr`: of `learned`; `effective`: share of the configurations that count.
    """
    n_sites, rng = int(np.prod(shape)), np.random.default_rng(1)
    runs = [
        montecarlo.simulate(shape, T, SAMPLES, sweeps=5, keep=True, seed=stream(100, k))
        for k, T in enumerate(temperatures)
    ]
    x = np.concatenate([run.configurations for run in runs if run.configurations is not None])
    energy = np.concatenate([run.energy for run in runs])
    exact = ising.solve(shape, temperatures, quantities=["energy"]).value.to_numpy()
    rows = []
    for name, net in nets.items():
        deviation = -T0 * learn.log_prob(net, x) - energy
        images = np.mean([-T0 * learn.log_prob(net, _image(x, shape, rng)) for _ in range(IMAGES)], axis=0) - energy
        smooth = _by_energy(deviation, energy)
        for k, T in enumerate(temperatures):
            part = slice(k * SAMPLES, (k + 1) * SAMPLES)
            parts = {"learned": deviation, "images": images, "by_energy": smooth, "rest": deviation - smooth}
            shifts = {column: _shift(d[part], energy[part], T) for column, d in parts.items()}
            w = _weights(deviation[part], T)
            control = energy[part].mean() / n_sites - exact[k]
            rows.append(
                {
                    "run": name,
                    "T": T,
                    **{column: value / n_sites for column, (value, _) in shifts.items()},
                    "stderr": shifts["learned"][1] / n_sites,
                    "true_H": control,
                    "effective": float(effective_fraction(w)),
                }
            )
    return pd.DataFrame(rows)


def _image(x: NDArray, shape: Sequence[int], rng: np.random.Generator) -> NDArray:
    moved = np.roll(x.reshape(-1, *shape), [int(rng.integers(n)) for n in shape], (1, 2)).reshape(len(x), -1)
    return moved if rng.random() < 0.5 else 1 - moved


def _by_energy(deviation: NDArray, energy: NDArray) -> NDArray:
    """Mean deviation as a piecewise linear function of the energy, over all temperatures together."""
    edges = np.unique(np.quantile(energy, np.linspace(0, 1, BINS + 1)))
    place = np.clip(np.searchsorted(edges, energy, side="right") - 1, 0, len(edges) - 2)
    count = np.bincount(place, minlength=len(edges) - 1)
    used = count > 0
    centre, mean = (np.bincount(place, f, len(edges) - 1)[used] / count[used] for f in (energy, deviation))
    return np.interp(energy, centre, mean)


def _weights(deviation: NDArray, T: float) -> NDArray:
    return np.exp(-(deviation - deviation.min()) / T)


def _shift(deviation: NDArray, energy: NDArray, T: float) -> tuple[float, float]:
    """What a deviation does to the average energy at T, with its jackknife error; the same configurations in both."""
    w = _weights(deviation, T)
    sums = np.stack([part.reshape(GROUPS, -1).sum(1) for part in (w, w * energy, energy)])
    without = all_but_one(sums)
    kept = len(energy) * (1 - 1 / GROUPS)
    left = without[1] / without[0] - without[2] / kept
    return float(w @ energy / w.sum() - energy.mean()), float(jackknife_error(left))
