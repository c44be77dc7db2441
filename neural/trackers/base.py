"""What every tracker is: options, and functions that take a state and an ensemble of networks one time step further."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import torch
from torch import Tensor

from vanbench.exact import Connections, InputError, StateSpace, System
from vanbench.exact.warning import RunWarning
from vanbench.neural.backend.distributed import mine, whole
from vanbench.neural.ensemble import Ensemble, Parameters
from vanbench.neural.run.estimators import Increment
from vanbench.neural.trackers import options

MAX_SUMMED = 1 << 16  # states over which sums over all configurations are affordable
Target = Literal["time", "steady"]
S = TypeVar("S")
T = TypeVar("T")
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
    off: Tensor | None = None  # (R,): how far ``ln Z`` is off so far, beside its standard error
    summed: Tensor | None = None  # (R,): the increment without sampling noise, summed over all configurations

    def negative_targets(self, t: float) -> str:
        """What is told of them, for a step from ``t``."""
        return f"{self.negative} negative targets at t = {t:.4g}: dt below {1 / self.steepest:.4g} avoids them"


class Saved:
    """Of a state, the fields are saved; what is cached beside them is not."""

    def __getstate__(self) -> dict[str, Any]:
        return {option.name: self.__dict__[option.name] for option in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Variant:
    """What a tracker needs, gives and costs, for the options in ``when`` and the ``target``: a row of the map."""

    costs: str  # a sentence
    gives: str = "ln Z and observables at the final time"
    when: Mapping[str, Any] = field(default_factory=dict)
    target: Target = "time"
    needs: tuple[str, ...] = ()  # of `NEEDS`
    network: str = "any"  # or matrix-product; none
    middle: bool = False  # observables are of the middle of the trajectory in the s-ensemble, not of its end
    noiseless: bool = False  # ``ln Z`` has no noise of sampling
    steady: bool = False  # every report is of the steady state, and compared with that
    iterations: bool = False  # its time counts iterations


BALANCE, PAIRS, POSITIVE, PLAIN = "detailed balance", "terms on one site or two", "a positive generator", "s = 0"
STATIC = "no moves"
NEEDS = {
    BALANCE: "every move has its reverse, and the run starts from equilibrium",
    PAIRS: "each term of the generator acts on one site or two",
    POSITIVE: "a classical generator: no rate is negative",
    PLAIN: "the plain evolution, without a counting field",
    STATIC: "only a potential `energy`: equilibrium at the inverse temperature s t",
}


@dataclass(frozen=True)
class Tracker(ABC, Generic[S]):
    """Options are fields (`options.option`). What changes from step to step is in the state, of type ``S``, the
    networks ``problem.ensemble`` and the random numbers ``problem.generator``: these three are a checkpoint."""

    name: ClassVar[str]
    variants: ClassVar[tuple[Variant, ...]]
    saved: ClassVar[tuple[type, ...]]  # classes that a state is made of
    begins: ClassVar[bool] = True  # whether the networks must be the system's start at first

    def __post_init__(self) -> None:
        options.check(self)

    def variant(self, target: Target) -> Variant:
        """What these options make it. Raises ``InputError`` for a target that it does not go for."""
        for variant in self.variants:
            if variant.target == target and all(getattr(self, name) == value for name, value in variant.when.items()):
                return variant
        raise InputError(f"{self.name} with these options has no target {target!r}: see vanbench list trackers.")

    def summed(self, problem: Problem) -> bool:
        """Whether averages are sums over all configurations: as its options say, or where that costs no more."""
        asked, samples = getattr(self, "full_summation", False), getattr(self, "samples", 0)
        return problem.derived(few, samples) if asked is None else asked

    def cost(self, problem: Problem) -> int:
        """Configurations that a step looks at, at least."""
        return problem.summed_states().shape[1] if self.summed(problem) else getattr(self, "samples", 0)

    @property
    def euler(self) -> bool:
        """Whether steps approximate ``(1 + dt W_s)``."""
        return False

    @property
    def path(self) -> Literal["", "P", "psi"]:
        """What the networks are at every step, so that their defects can be measured: ``P``, or the square of
        ``psi``; empty for what follows neither."""
        return ""

    def certified(self) -> Self:
        """With a sharper error estimate. Raises ``InputError`` for a tracker that has none."""
        if not self.path:
            raise InputError(
                f"certify sharpens the error estimates of networks that follow a distribution in time, and {self.name} "
                "with these options has none: leave it out."
            )
        return self

    @property
    def fixed_step(self) -> float | None:
        """The length of its steps where times must be multiples of it."""
        return None

    @property
    def longest_step(self) -> float:
        return math.inf

    @abstractmethod
    def init(self, problem: Problem) -> S:
        """The state at the start. Raises ``InputError`` for a problem it is not made for."""

    @abstractmethod
    def step(self, problem: Problem, state: S, limit: float) -> tuple[S, Step]:
        """Advance by one time step of its own choice, at most ``limit``; moves the networks in place."""

    @abstractmethod
    def observe(self, problem: Problem, state: S) -> Observed:
        """Configurations for observables, of the networks as they are."""


@dataclass
class Observed:
    """``x`` ``(R, n, n_sites)`` to average over; ``weights`` ``(R, n)`` where these are all configurations;
    ``effective`` ``(R,)``: the part that counted of those that ``x`` was picked from; ``certain``: where that is
    known, how many standard errors the error estimate of an average is, of each field."""

    x: Tensor
    weights: Tensor | None = None
    effective: Tensor | None = None
    certain: list[float] | None = None


@dataclass
class Problem:
    """What a tracker works on: the system at ``R`` counting fields, the networks, and the random numbers."""

    system: System
    s: list[float]
    observable: str
    ensemble: Ensemble
    generator: torch.Generator
    project: bool = False  # also sum each step's increment over all configurations
    target: Target = "time"
    opened: float = 0.0  # the time to which a start that is a point was carried exactly (`opening`)

    def __post_init__(self) -> None:
        self.connections = Connections(self.system, self.s, self.observable)
        self._derived: dict[Hashable, Any] = {}

    def derived(self, make: Callable[..., T], *arguments: Hashable) -> T:
        """``make(self, *arguments)``, made once: for what follows from the system and the options."""
        key = (make, *arguments)
        if key not in self._derived:
            self._derived[key] = make(self, *arguments)
        return self._derived[key]

    def sample(self, n: int) -> Tensor:
        return self.ensemble.sample(n, self.generator)

    def all_states(self) -> Tensor:
        """Every configuration, ``(R, n_states, n_sites)`` without a copy for each ``s``."""
        x = torch.as_tensor(StateSpace(self.system).configurations(), device=self.ensemble.device)
        return x.expand(len(self.s), *x.shape)

    def summed_states(self, most: int = MAX_SUMMED) -> Tensor:
        """`all_states`, where they are few enough to be summed over. Raises ``InputError`` where they are more."""
        if StateSpace(self.system).size > most:
            raise InputError(f"full summation is for at most {most} states; this system has more.")
        return self.derived(Problem.all_states)

    def everything(self) -> Observed:
        """All configurations with their probabilities."""
        states = self.derived(Problem.all_states)
        return Observed(states, self.log_prob_all(states).double().exp())

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


def few_states(system: System, most: int = MAX_SUMMED) -> bool:
    """Whether it has at most ``most`` configurations."""
    if system.local_dim ** len(system.free_sites) > 16 * MAX_SUMMED:
        return False
    return StateSpace(system).size <= most


def few(problem: Problem, most: int) -> bool:
    return few_states(problem.system, min(most, MAX_SUMMED))


def one_configuration(connections: Connections, x: Tensor) -> list[RunWarning]:
    """Where every sample ``(R, n, n_sites)`` of a field is the same, in a configuration that the dynamics leaves."""
    same = (x == x[:, :1]).flatten(1).all(1)
    if not same.any() or not (connections.diagonal(x[:, :1])[:, 0][same] < 0).any():
        return []
    text = (
        "all samples are one configuration, which the dynamics leaves: the effective sample size is 1, and standard "
        "errors of 0 mean nothing; start from more than one configuration, like --initial bernoulli:0.99"
    )
    return [RunWarning("effective samples", text)]
