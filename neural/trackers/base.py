"""What every tracker is: something that takes an ensemble of networks one time step further."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from vanbench.exact import Connections, StateSpace, System
from vanbench.exact.warning import RunWarning
from vanbench.neural.backend.distributed import mine, whole
from vanbench.neural.ensemble import Ensemble, Parameters
from vanbench.neural.estimators import Increment

MAX_SUMMED = 1 << 16  # states over which sums over all configurations are affordable
CHUNK = 1 << 14  # configurations a network sees in one call where no gradient is kept, on a CPU


class Diverged(RuntimeError):
    """A step gave values that are not finite; the parameters were put back to the last good ones.

    `neural.track` puts what the run has until then into ``so_far``.
    """

    so_far: Any = None  # a Track


@dataclass
class Step:
    """One time step: increments of ``ln Z`` by estimator, and what tells a good step from a bad one."""

    dt: float
    increments: dict[str, Increment]
    default: str
    diagnostics: dict[str, Tensor] = field(default_factory=dict)  # each (R,): loss, ess, ...
    negative: int = 0
    steepest: float = 0.0  # largest -(W_s p)(x)/p(x) seen: dt must stay below its inverse
    warnings: list[RunWarning] = field(default_factory=list)  # each kind is told once a run
    summed: Tensor | None = None  # (R,): the increment without sampling noise, summed over all configurations


class Measuring:
    """The ``measure`` configurations from which observables are estimated, where training left none that would do."""

    problem: Problem
    measure: int
    _measured: Tensor | None = None

    @property
    def measured(self) -> Tensor:
        """Fresh configurations of the network as it is, drawn when first asked for."""
        if self._measured is None:
            self._measured = self.problem.sample(self.measure)
        return self._measured


class Tracker(Protocol):
    """Made as ``MyTracker(problem, **options)``; ``step`` changes the ensemble in place."""

    def step(self, limit: float) -> Step:
        """Advance by one time step of its own choice, at most ``limit``."""
        ...

    @property
    def measured(self) -> Tensor:
        """Configurations of the networks as they are, ``(R, n, n_sites)``, for observables."""
        ...

    def state(self) -> Mapping[str, Any]:
        """Everything but the parameters that a resumed run needs to go on exactly."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """The inverse of ``state``."""
        ...


@dataclass
class Problem:
    """What a tracker works on: the system at ``R`` counting fields, the networks, and the random numbers."""

    system: System
    s: list[float]
    observable: str
    ensemble: Ensemble
    generator: torch.Generator
    project: bool = False  # also sum each step's increment over all configurations

    def __post_init__(self) -> None:
        self.connections = Connections(self.system, self.s, self.observable)

    def sample(self, n: int) -> Tensor:
        return self.ensemble.sample(n, self.generator)

    def all_states(self) -> Tensor:
        """Every configuration, ``(R, n_states, n_sites)`` without a copy for each ``s``."""
        x = torch.as_tensor(StateSpace(self.system).configurations(), device=self.ensemble.device)
        return x.expand(len(self.s), *x.shape)

    @torch.no_grad()
    def log_prob(self, x: Tensor, parameters: Parameters | None = None) -> Tensor:
        """``ln p`` without gradients, a chunk at a time."""
        parts = [self.ensemble.log_prob(part, parameters) for part in mine(x).split(self.ensemble.at_once(CHUNK), 1)]
        return whole(torch.cat(parts, 1), x.shape[1])

    @torch.no_grad()
    def log_prob_all(self, x: Tensor) -> Tensor:
        """``ln p`` of all configurations on the support, ``x`` as from `all_states`, without gradients."""
        if x.shape[1] == self.system.local_dim**self.system.n_sites:
            return self.ensemble.log_prob_all(x)
        return self.log_prob(x)

    @torch.no_grad()
    def local_ratio(self, x: Tensor, parameters: Parameters, log_prob: Tensor) -> Tensor:
        """``(W_s p)(x) / p(x)`` of the networks with ``parameters``, ``(R, batch)``, a chunk at a time.

        The networks evaluate the neighbours themselves, those with a rate of zero left out, reusing what they share.
        """
        c, parts = self.connections, []
        for part, here in self._chunks(mine(x), mine(log_prob)):
            rates = c.incoming_rates(part)
            there = self.ensemble.log_prob_moves(part, c.deltas, parameters, rates != 0)
            flow = torch.where(rates != 0, rates * (there - here[..., None]).exp(), 0.0)
            parts.append(c.diagonal(part) + flow.sum(-1))
        return whole(torch.cat(parts, 1), x.shape[1])

    @torch.no_grad()
    def local_ratio_of(self, x: Tensor, log_p: Callable[[Tensor], Tensor], log_p_x: Tensor) -> Tensor:
        """The same for any function ``ln p`` of configurations ``(R, batch, n_sites)``."""
        pairs = self._chunks(x, log_p_x)
        return torch.cat([self.connections.local_ratio(part, log_p, here) for part, here in pairs], 1)

    def _chunks(self, x: Tensor, log_p: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        size = self.with_neighbours()
        return zip(x.split(size, 1), log_p.split(size, 1))

    def with_neighbours(self) -> int:
        """Configurations of each field in one call on all their neighbours."""
        return max(1, self.ensemble.at_once(CHUNK) // max(1, self.connections.n_moves))

    @torch.no_grad()
    def summed_mean(self, local: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """``sum_x p(x) E(x)`` over all configurations for ``E = local(x, ln p(x))``, ``(R,)``."""
        total = torch.zeros(len(self.s), dtype=torch.float64, device=self.ensemble.device)
        for part in self.all_states().split(self.ensemble.at_once(CHUNK), 1):
            log_prob = self.log_prob(part)
            total += (log_prob.double().exp() * local(part, log_prob)).sum(1)
        return total


def one_configuration(connections: Connections, x: Tensor) -> list[RunWarning]:
    """Where every sample ``(R, n, n_sites)`` of a field is the same, in a configuration that the dynamics leaves."""
    same = (x == x[:, :1]).flatten(1).all(1)
    if not same.any() or not (connections.diagonal(x[:, :1])[:, 0][same] < 0).any():
        return []
    text = (
        "all samples are one configuration, which the dynamics leaves: an effective sample size of 1, and standard "
        "errors of 0 say nothing; start from a distribution that is not a point, like --initial bernoulli:0.99"
    )
    return [RunWarning("effective samples", text)]
