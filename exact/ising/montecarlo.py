"""Markov-chain Monte Carlo of the Ising model, where no closed form exists (e.g. <|M|> at 16 x 16).

Two independent algorithms: Wolff's single clusters (U. Wolff, Phys. Rev. Lett. 62, 361 (1989); no field, no
plaquettes) and Metropolis sweeps in site order (any coupling). Errors come from the integrated
autocorrelation time with Sokal's self-consistent window, so that correlated samples are not counted as
independent ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .lattice import FloatArray, bonds, check_couplings, check_temperatures, plaquettes, sides, site_tables

THERMALISE = 2000  # sweeps (or clusters) before the first sample, from a random start
WINDOW = 6.0  # Sokal's window in units of the autocorrelation time: bias e^-6, below 1 % of the error


@dataclass(frozen=True)
class Run:
    """One chain: total energy (n,), magnetization sum (n,), and configurations in {0, 1} (n, n_sites) when
    kept.
    """

    energy: FloatArray
    magnetization: FloatArray
    configurations: NDArray[np.int8] | None


@numba.njit(cache=True)
def _metropolis_sweep(s, neighbours, squares, K, H, Q, rng):
    """One sweep; K, H, Q are J/T, h/T, plaquette/T."""
    for i in range(len(s)):
        bond_sum, square_sum = 0, 0
        for k in range(neighbours.shape[1]):
            if neighbours[i, k, 0] >= 0:
                bond_sum += s[neighbours[i, k, 0]]
        if Q != 0.0:
            for k in range(squares.shape[1]):
                if squares[i, k, 0] >= 0:
                    square_sum += s[squares[i, k, 0]] * s[squares[i, k, 1]] * s[squares[i, k, 2]]
        cost = 2.0 * s[i] * (K * bond_sum + H + Q * square_sum)
        if cost <= 0.0 or rng.random() < np.exp(-cost):
            s[i] = -s[i]


@numba.njit(cache=True)
def _wolff_cluster(s, neighbours, K, stack, rng):
    """Flip one cluster; returns its size. Bonds join spins that lower the energy, so J < 0 works too."""
    join = 1.0 - np.exp(-2.0 * abs(K))
    sign = 1 if K > 0 else -1
    seed = rng.integers(0, len(s))
    stack[0] = seed
    s[seed] = -s[seed]
    depth, size = 1, 1
    while depth > 0:
        depth -= 1
        i = stack[depth]
        for k in range(neighbours.shape[1]):
            j = neighbours[i, k, 0]
            if j >= 0 and s[j] == -sign * s[i] and rng.random() < join:  # s[i] is flipped already
                s[j] = -s[j]
                stack[depth] = j
                depth += 1
                size += 1
    return size


@numba.njit(cache=True)
def _chain(s, neighbours, squares, pairs, quads, couplings, T, wolff, thermalise, stride, samples, keep, rng):
    """Thermalise, then record energy and magnetization (and spins, if `keep` is as long) every `stride`
    updates.
    """
    J, h, plaquette = couplings
    n = len(s)
    stack = np.empty(n, dtype=np.int64)
    sizes = 0
    for _ in range(thermalise):
        if wolff:
            sizes += _wolff_cluster(s, neighbours, J / T, stack, rng)
        else:
            _metropolis_sweep(s, neighbours, squares, J / T, h / T, plaquette / T, rng)
    if wolff:  # as many clusters as make `stride` sweeps on average: a number fixed before the first sample
        stride = max(1, int(np.ceil(stride * n * thermalise / sizes)))
    energy, magnetization = np.empty(samples), np.empty(samples)
    for t in range(samples):
        for _ in range(stride):
            if wolff:
                _wolff_cluster(s, neighbours, J / T, stack, rng)
            else:
                _metropolis_sweep(s, neighbours, squares, J / T, h / T, plaquette / T, rng)
        bond_sum, square_sum = 0, 0
        for k in range(len(pairs)):
            bond_sum += s[pairs[k, 0]] * s[pairs[k, 1]]
        for k in range(len(quads)):
            square_sum += s[quads[k, 0]] * s[quads[k, 1]] * s[quads[k, 2]] * s[quads[k, 3]]
        magnetization[t] = s.sum()
        energy[t] = -J * bond_sum - h * magnetization[t] - plaquette * square_sum
        if t < len(keep):
            for i in range(n):
                keep[t, i] = (s[i] + 1) // 2
    return energy, magnetization


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
    seed: int = 1,
) -> Run:
    """One Markov chain of `samples` samples, `sweeps` lattice sweeps (Wolff: as many flipped spins) apart.

    `algorithm` is "wolff" (h = plaquette = 0), "metropolis" or "auto" (Wolff where it holds). `keep` returns
    the configurations too. Raises InputError for bad arguments.
    """
    (T,) = check_temperatures([T])
    check_couplings(J=J, h=h, plaquette=plaquette)
    if samples < 1 or sweeps < 1 or thermalise < 1:
        raise InputError("samples, sweeps and thermalise must be at least 1")
    cluster = h == 0 and plaquette == 0 and J != 0
    if algorithm not in ("auto", "wolff", "metropolis"):
        raise InputError(f"unknown Monte Carlo algorithm {algorithm!r}: use auto, wolff or metropolis")
    if algorithm == "wolff" and not cluster:
        raise InputError("Wolff clusters need h = 0, plaquette = 0 and J != 0: use metropolis")
    wolff = cluster and algorithm != "metropolis"
    rows, columns = sides(shape)
    n = rows * columns
    rng = np.random.default_rng(seed)
    s = 2 * rng.integers(0, 2, n) - 1
    pairs, quads = bonds(shape), plaquettes(shape)
    kept = np.empty((samples if keep else 0, n), dtype=np.int8)
    energy, magnetization = _chain(
        s,
        site_tables(pairs, n),
        site_tables(quads, n),
        pairs,
        quads,
        (float(J), float(h), float(plaquette)),
        float(T),
        wolff,
        thermalise,
        sweeps,
        samples,
        kept,
        rng,
    )
    return Run(energy, magnetization, kept if keep else None)


def autocorrelation_time(series: ArrayLike) -> float:
    """Integrated autocorrelation time tau = 1/2 + sum_t rho(t), at least 1/2, of a series (n,).

    The sum stops at the first window W >= 6 tau(W) (A. Sokal, in Functional Integration (1997)). A constant
    series has 1/2.
    """
    x = np.asarray(series, dtype=float)
    x = x - x.mean()
    n = len(x)
    variance = x @ x
    if variance == 0:
        return 0.5
    spectrum = np.fft.rfft(x, 2 * n)
    correlation = np.fft.irfft(spectrum * spectrum.conj())[:n]
    tau = 0.5 + np.cumsum(correlation[1:] / variance)
    inside = np.arange(1, n) >= WINDOW * tau
    window = int(np.argmax(inside)) if inside.any() else n - 2
    return float(max(0.5, tau[window])) if n > 2 else 0.5


def mean_error(series: ArrayLike) -> tuple[float, float]:
    """Mean of a correlated series (n,) and its standard error sqrt(2 tau var / n)."""
    x = np.asarray(series, dtype=float)
    return float(x.mean()), float(np.sqrt(2 * autocorrelation_time(x) * x.var() / len(x)))


def averages(run: Run, T: float, n_sites: int) -> dict[str, tuple[float, float]]:
    """Energy, specific heat and |M| per site of one chain, each with its standard error."""
    centred = run.energy - run.energy.mean()
    heat, heat_error = mean_error(centred**2)  # the influence of each sample on the variance
    energy, energy_error = mean_error(run.energy)
    m, m_error = mean_error(np.abs(run.magnetization))
    return {
        "energy": (energy / n_sites, energy_error / n_sites),
        "specific_heat": (heat / (n_sites * T**2), heat_error / (n_sites * T**2)),
        "abs_magnetization": (m / n_sites, m_error / n_sites),
    }
