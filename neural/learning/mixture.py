"""Averages over p(x)^b, b = T0/T, at many temperatures from one set of independent draws of the network.

The draws come in equal numbers from the sharpened networks q_k of all temperatures (`reweight.tempered`), and every
draw serves every temperature: with q = mean_k q_k the weight p^b / q makes sum w f / sum w a consistent estimate, the
balance heuristic of E. Veach, L. Guibas, SIGGRAPH (1995). No chain, so no thermalisation and no autocorrelation; what
can go wrong shows in the effective sample size (sum w)^2 / sum w^2 of each temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vanbench.exact.errors import InputError
from vanbench.exact.ising.lattice import check_temperatures
from vanbench.exact.statistics import all_but_one, effective_fraction, jackknife_error
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.learning.reweight import Observable, check_one_order, tempered


@dataclass
class Draws:
    """`values`: ln_p and observables, (groups, n); `ln_weights` (n_temperatures, groups, n), largest 0 at each
    temperature.

    The groups are independent and alike: their jackknife gives the errors.
    """

    temperatures: NDArray[np.float64]
    values: dict[str, NDArray[np.float64]]
    ln_weights: NDArray[np.float64]

    def effective(self) -> NDArray[np.float64]:
        """Effective sample size of each temperature, (n_temperatures,)."""
        w = np.exp(self.ln_weights.reshape(len(self.temperatures), -1))
        return w.shape[1] * effective_fraction(w)

    def mean(self, name: str, k: int) -> tuple[float, float]:
        """Average of a value at temperature k, and its standard error."""
        w = np.exp(self.ln_weights[k])
        return _jackknife(lambda m: m[1] / m[0], _sums(w, w * self.values[name]))

    def variance(self, name: str, k: int) -> tuple[float, float]:
        """Variance of a value at temperature k, and its standard error."""
        w, f = np.exp(self.ln_weights[k]), self.values[name]
        f = f - f.mean()  # near the mean the difference below keeps its digits
        return _jackknife(lambda m: m[2] / m[0] - (m[1] / m[0]) ** 2, _sums(w, w * f, w * f**2))


def _sums(*parts: NDArray) -> NDArray:
    return np.stack([part.sum(axis=1) for part in parts])  # (n_parts, groups)


def _jackknife(function: Callable[[NDArray], NDArray], sums: NDArray) -> tuple[float, float]:
    return float(function(sums.sum(axis=1))), float(jackknife_error(function(all_but_one(sums))))


@torch.no_grad()
def _log_mixture(net: Autoregressive, x: Tensor, b: Tensor) -> Tensor:
    """ln of the mean over k of q_k(x), (n,), for the different powers b (n_temperatures,): one pass of the network."""
    logs = net.conditionals(x).to(b.dtype)
    taken = logs.gather(-1, x.long()[..., None])[..., 0]
    ln_q = torch.stack([(power * taken - torch.logsumexp(power * logs, -1)).sum(-1) for power in b])
    return torch.logsumexp(ln_q, 0) - np.log(len(b))


def draw(
    net: Autoregressive,
    T0: float,
    temperatures: Sequence[float] | NDArray,
    *,
    draws: int = 400,
    groups: int = 20,
    observables: Mapping[str, Observable] | None = None,
    seed: int = 1,
    on_step: Callable[[int, int], None] | None = None,
) -> Draws:
    """`draws` draws from each temperature's sharpened network, in `groups` groups; InputError for bad arguments."""
    (T0,), temperatures = check_temperatures([T0]), check_temperatures(temperatures)
    check_one_order(net)
    if groups < 2 or draws < groups:
        raise InputError("the errors need at least two groups, with a draw per temperature in each: raise --draws")
    observables = dict(observables or {})
    rng = torch.Generator().manual_seed(seed)
    powers = torch.as_tensor(T0 / temperatures, dtype=torch.float64)
    b = powers.repeat_interleave(draws // groups)
    rows: dict[str, list[NDArray]] = {name: [] for name in ("ln_p", *observables)}
    ln_q = []
    for group in range(groups):
        x, ln_p, _ = tempered(net, b, rng)
        ln_q.append(_log_mixture(net, x, powers).numpy())
        rows["ln_p"].append(ln_p.numpy())
        for name, function in observables.items():
            rows[name].append(np.asarray(function(x.numpy()), dtype=float))
        if on_step is not None:
            on_step(group + 1, groups)
    values = {name: np.stack(parts) for name, parts in rows.items()}
    ln_weights = (T0 / temperatures)[:, None, None] * values["ln_p"] - np.stack(ln_q)
    top = np.max(ln_weights, axis=(1, 2), keepdims=True)
    return Draws(np.asarray(temperatures, dtype=np.float64), values, ln_weights - top)
