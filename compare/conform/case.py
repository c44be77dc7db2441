"""One setting in which a network is held to its contract: a lattice, a local dimension, what is pinned or excluded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import Excluding, FixedSum, InputError
from vanbench.neural import Autoregressive
from vanbench.neural.backend.seeds import seed_torch
from vanbench.neural.outside.probe import perturb

Make = Callable[[tuple[int, ...], int], Autoregressive]
KINDS = ("none", "pinned", "excluding", "fixed-sum", "pinned-fixed-sum", "pinned-excluding")
MAX_STATES = 1 << 16  # above it nothing is enumerated
ROUNDING = {  # between two orders of the same sums, logarithms of order ten; a wrong term is of order 0.1
    torch.float64: 1e-9,
    torch.float32: 1e-4,
}


class Violation(AssertionError):
    """A broken part of the contract: what was ``tried``, what was ``found``, and the ``likely`` mistake."""

    def __init__(self, tried: str, found: str, likely: str):
        super().__init__(f"{found} (tried: {tried}; likely: {likely})")
        self.tried, self.found, self.likely = tried, found, likely


class Skip(Exception):
    """A check that does not apply here, and why."""


@dataclass(frozen=True)
class Case:
    """``make(shape, local_dim)`` on one lattice. ``kind`` names the restriction, see ``restrict``."""

    make: Make
    shape: tuple[int, ...]
    d: int = 2
    kind: str = "none"
    seed: int = 0

    @property
    def n_sites(self) -> int:
        return math.prod(self.shape)

    @property
    def label(self) -> str:
        return f"{'x'.join(map(str, self.shape))}, d = {self.d}" + (f", {self.kind}" if self.kind != "none" else "")

    def net(self, seed: int | None = None, dtype: torch.dtype | None = None) -> Autoregressive:
        """A network far from its start: random numbers are added to every parameter. In training mode, as trackers
        leave it; float64 where it claims that. The global random generator is as it was afterwards. Raises ``Skip``
        for a restriction that it does not claim or that leaves nothing."""
        if self.kind != "none" and self.d**self.n_sites <= MAX_STATES and not self.allowed(self.states()).any():
            raise Skip("no configuration is left")
        with torch.random.fork_rng(devices=[]):
            seed_torch(self.seed if seed is None else seed)
            net = self.make(self.shape, self.d)
            net = net.to(dtype or claimed(net)[0])
            try:
                net = restrict(net, self.kind)
            except InputError as error:
                if net.pinning:
                    raise
                raise Skip("it claims neither pinned sites nor a fixed sum") from error
            perturb(net)
        return net

    def states(self) -> Tensor:
        """Every configuration, ``(d^n, n_sites)``, the last site fastest. Raises ``Skip`` where they are too many."""
        if self.d**self.n_sites > MAX_STATES:
            raise Skip(f"{self.d}^{self.n_sites} configurations are too many to enumerate")
        return torch.tensor(list(itertools.product(range(self.d), repeat=self.n_sites)), dtype=torch.int8)

    def configurations(self, n: int, seed: int = 3) -> Tensor:
        """``n`` uniformly random configurations, int8."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, self.d, (n, self.n_sites), generator=generator).to(torch.int8)

    def allowed(self, x: Tensor) -> Tensor:
        """The configurations that ``kind`` allows, computed without the networks."""
        keep = torch.ones(len(x), dtype=torch.bool)
        if "pinned" in self.kind:
            keep &= (x[:, 0] == 1) & (x[:, -1] == 0)
        if "fixed-sum" in self.kind:
            keep &= x.sum(1) == 2
        if "excluding" in self.kind:
            first = (x[:, 0] == 1) & (x[:, 2:] == 0).all(1)
            keep &= ~(first & ((x[:, 1] == 0) | (x[:, 1] == self.d - 1)))
        return keep


def claimed(net: Autoregressive) -> list[torch.dtype]:
    """The types that a network says it works in, the most precise first."""
    return [dtype for dtype in ROUNDING if str(dtype).removeprefix("torch.") in net.dtypes]


def rounding(net: Autoregressive) -> float:
    """By how much two ways to the same number may differ, in the network's type."""
    return ROUNDING[net.site_bias.dtype]


def restrict(net: Autoregressive, kind: str) -> Autoregressive:
    """``pinned``: the first site to 1, the last to 0. ``excluding``: two configurations. ``fixed-sum``: sum 2."""
    n, d = net.n_sites, net.local_dim
    pinned = {0: 1, n - 1: 0} if "pinned" in kind else None
    if "excluding" in kind:
        rows = np.zeros((2, n), dtype=np.int8)
        rows[:, 0], rows[1, 1] = 1, d - 1
        return net.restrict(pinned, Excluding(rows))
    return net.restrict(pinned, FixedSum(2) if "fixed-sum" in kind else None)


def require_one_order(net: Autoregressive, x: Tensor) -> None:
    """Raises ``Skip`` for a mixture over orders: it has a density and samples but no conditionals."""
    try:
        net.logits(x[:1])
    except InputError as error:
        raise Skip(f"logits says: {error}") from error


def site_name(shape: tuple[int, ...], site: int) -> str:
    """``5``; on a lattice of more dimensions ``5 (1, 2)``."""
    return str(site) if len(shape) == 1 else f"{site} {tuple(int(i) for i in np.unravel_index(site, shape))}"


def row_text(row: Tensor) -> str:
    """A configuration as its digits, ``0110``."""
    return "".join(str(int(value)) for value in row)
