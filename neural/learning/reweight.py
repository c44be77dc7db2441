"""Sampling p(x)^b, b = T0/T: the equilibrium that a network learned at T0 predicts for another temperature T.

Three moves, each exact for p^b, on chains that are vectorised over chains and temperatures at once:

- `independence`: a proposal drawn site by site from the network's own conditionals, each raised to b and normalised,
  q(x) = prod_i p(x_i|x_<i)^b / z_i(x_<i), accepted as Metropolis-Hastings asks, with weight p^b / q = prod_i z_i. At
  T0 every proposal is accepted; it stays good while ln(p^b / q) varies by a few units.
- `metropolis`: a sweep of changes of one site. One pass of the network a site, no difficulty far from T0.
- `exchange`: configurations swapped between neighbouring temperatures (replica exchange).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vanbench.exact.errors import InputError, unknown
from vanbench.exact.ising.lattice import check_temperatures
from vanbench.neural.autoregressive import Autoregressive, inverted

Observable = Callable[[NDArray], NDArray]  # (batch, n_sites) integers -> (batch,)
MOVES = ("independence", "metropolis", "exchange")
BATCH = 2048  # configurations in one pass: a 16 x 16 pass then stays in the processor's cache


@dataclass
class Samples:
    """What the chains gave.

    `series`: `ln_p` and each observable, (n_temperatures, chains, length); `acceptance`: of each move,
    (n_temperatures,), where entry k of "exchange" is between temperature k and k + 1 and the last is zero;
    `x`: last configurations, (n_temperatures, chains, n_sites). Chains are independent of each other, so
    their spread gives the errors.
    """

    temperatures: NDArray[np.float64]
    series: dict[str, NDArray[np.float64]]
    acceptance: dict[str, NDArray[np.float64]]
    x: NDArray[np.int8]


def check_one_order(net: Autoregressive) -> None:
    """Raises InputError for a network whose conditionals cannot be sharpened."""
    if not net.one_order:
        raise InputError(
            f"{type(net).__name__} has no conditionals of one order that could be sharpened: use chains with the "
            "moves metropolis,exchange (predict --method chains --moves metropolis,exchange)"
        )


@torch.no_grad()
def tempered(net: Autoregressive, b: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """One draw for each b (n,) from the network with every conditional raised to b: x (n, n_sites), ln
    p(x), ln q(x).
    """
    n = len(b)
    x = torch.zeros(n, net.n_sites, dtype=torch.int8, device=net.site_bias.device)
    ln_p, ln_q = torch.zeros_like(b), torch.zeros_like(b)
    cache = net.start(n)
    for k, site in enumerate(net.order):
        logits, cache = net.step(k, x, cache)
        logs = torch.log_softmax((logits + net.site_bias[site]).to(b.dtype), -1)
        sharp = torch.log_softmax(logs * b[:, None], -1)
        value = inverted(sharp.exp(), torch.rand(n, generator=rng, dtype=b.dtype)).long()
        x[:, site] = value.to(torch.int8)
        ln_p += logs.gather(1, value[:, None])[:, 0]
        ln_q += sharp.gather(1, value[:, None])[:, 0]
    return x, ln_p, ln_q


@torch.no_grad()
def log_proposal(net: Autoregressive, x: Tensor, b: Tensor) -> Tensor:
    """ln q(x) of `tempered` for given configurations x (n, n_sites) and powers b (n,)."""
    logs = net.conditionals(x).to(b.dtype)
    sharp = torch.log_softmax(logs * b[:, None, None], -1)
    return sharp.gather(-1, x.long()[..., None]).sum((-2, -1))


class _Replicas:
    """All chains at all temperatures as one batch, temperature-major, temperatures in the caller's order."""

    def __init__(self, net: Autoregressive, b: NDArray, chains: int, seed: int):
        self.net, self.chains, self.rungs = net, chains, len(b)
        self.rng = torch.Generator().manual_seed(seed)
        self.b = torch.as_tensor(b, dtype=torch.float64).repeat_interleave(chains)
        self.parts = [slice(k, k + BATCH) for k in range(0, len(self.b), BATCH)]
        self.x, self.ln_p = self._propose()[:2] if net.one_order else self._as_learned()

    def _as_learned(self) -> tuple[Tensor, Tensor]:
        x = self.net.sample(len(self.b), self.rng)
        return x, torch.cat([self.net.log_prob(x[part]) for part in self.parts]).double()

    def _propose(self) -> tuple[Tensor, Tensor, Tensor]:
        drawn = [tempered(self.net, self.b[part], self.rng) for part in self.parts]
        x, ln_p, ln_q = zip(*drawn)
        return torch.cat(x), torch.cat(ln_p), torch.cat(ln_q)

    def _uniform(self, n: int) -> Tensor:
        return torch.rand(n, generator=self.rng, dtype=torch.float64)

    def _accept(self, x: Tensor, ln_p: Tensor, ln_ratio: Tensor) -> Tensor:
        """Metropolis-Hastings with the full logarithm of the ratio; returns who accepted, (n,)."""
        accept = self._uniform(len(x)).log() < ln_ratio
        self.x = torch.where(accept[:, None], x, self.x)
        self.ln_p = torch.where(accept, ln_p, self.ln_p)
        return accept.double()

    def independence(self) -> Tensor:
        x, ln_p, ln_q = self._propose()
        own_ln_q = torch.cat([log_proposal(self.net, self.x[part], self.b[part]) for part in self.parts])
        return self._accept(x, ln_p, self.b * (ln_p - self.ln_p) - (ln_q - own_ln_q))

    def metropolis(self) -> Tensor:
        """One proposal a site, in random order; every other value is proposed with equal probability."""
        d, accepted = self.net.local_dim, torch.zeros_like(self.b)
        for site in torch.randperm(self.net.n_sites, generator=self.rng).tolist():
            new = self.x.clone()
            change = torch.randint(1, d, (len(new),), generator=self.rng)
            new[:, site] = ((new[:, site] + change) % d).to(new.dtype)
            ln_p = torch.cat([self.net.log_prob(new[part]) for part in self.parts]).double()
            accepted += self._accept(new, ln_p, self.b * (ln_p - self.ln_p))
        return accepted / self.net.n_sites

    def exchange(self) -> Tensor:
        """Swaps between temperature k and k + 1, at all even k and at all odd k in turn."""
        accepted = torch.zeros_like(self.b)
        for parity in (0, 1):
            for k in range(parity, self.rungs - 1, 2):
                low = torch.arange(k * self.chains, (k + 1) * self.chains)
                high = low + self.chains
                gain = (self.b[low] - self.b[high]) * (self.ln_p[high] - self.ln_p[low])
                swap = self._uniform(self.chains).log() < gain
                accepted[low] = swap.double()
                left, right = torch.cat([low[swap], high[swap]]), torch.cat([high[swap], low[swap]])
                self.x[left], self.ln_p[left] = self.x[right], self.ln_p[right]
        return accepted


@torch.no_grad()
def sample(
    net: Autoregressive,
    T0: float,
    temperatures: Sequence[float] | NDArray,
    *,
    chains: int = 32,
    length: int = 200,
    thermalise: int = 50,
    moves: Sequence[str] = ("independence", "exchange"),
    observables: Mapping[str, Observable] | None = None,
    seed: int = 1,
    on_step: Callable[[int, int], None] | None = None,
) -> Samples:
    """Sample p^(T0/T) at all temperatures: `thermalise` unrecorded steps, then `length` recorded ones, each
    all `moves`.

    The chains start from the sharpened network (`tempered`; one over several orders starts as it is).
    `on_step(done, total)` reports progress. Raises InputError for bad arguments.
    """
    (T0,), values = check_temperatures([T0]), check_temperatures(temperatures)
    if chains < 2 or length < 1 or thermalise < 0:
        raise InputError("sampling needs at least two chains (errors come from their spread) and one recorded step")
    for move in moves:
        if move not in MOVES:
            raise unknown("move", move, list(MOVES))
    if "independence" in moves:
        check_one_order(net)
    if not set(moves) & {"independence", "metropolis"}:
        raise InputError(
            "sampling needs the move independence or metropolis: exchanges alone make no new configurations"
        )
    observables = dict(observables or {})
    grid = (len(values), chains)
    state = _Replicas(net, T0 / values, chains, seed)
    series = {name: np.empty((*grid, length)) for name in ("ln_p", *observables)}
    accepted = {move: torch.zeros_like(state.b) for move in moves}
    for t in range(thermalise + length):
        for move in moves:
            accepted[move] += getattr(state, move)()
        if t >= thermalise:
            series["ln_p"][..., t - thermalise] = state.ln_p.numpy().reshape(grid)
            for name, function in observables.items():
                series[name][..., t - thermalise] = np.asarray(function(state.x.numpy())).reshape(grid)
        if on_step is not None:
            on_step(t + 1, thermalise + length)
    rates = {move: total.numpy().reshape(grid).mean(axis=1) / (thermalise + length) for move, total in accepted.items()}
    return Samples(np.asarray(values, dtype=np.float64), series, rates, state.x.numpy().reshape(*grid, -1))
