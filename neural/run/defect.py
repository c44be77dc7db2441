"""How far tracked values lie from continuous time, without an exact reference: the dual-weighted residual.

Networks leave a path ``Q = Z p`` of unnormalised distributions. Each of its steps misses the equation ``dQ/dt = W_s Q``
by a defect ``d``, relative to ``Q`` at its end,

    d(x) = 1 - Q_0(x) / Q_1(x) - sum_k w_k (Q_k(x) / Q_1(x)) E_k(x),    E = (W_s p) / p

whatever made it: the time step, the network, or the noise of a fit. The weights integrate the cubic through the
start of the step, its end and the starts of two steps before (Adams and Moulton): the trapezoidal rule is not enough,
as its own error is that of a second-order step. To first order the defects of all steps put
``ln Z_T`` off by ``sum <l d> / <l>`` over samples of the networks, with the left vector ``l = exp((T - t) W_s^T) 1``
(Becker and Rannacher, Acta Numerica 10, 1 (2001)), which is the mean weight that walkers from ``x`` carry to ``T``:
Gillespie trajectories with tilted rates (`exact.trajectories`). Where they end gives the same for observables. Beyond
the time in which their weights become uneven, ``l / <l>`` is taken to have converged. Where configurations
are few, they are summed over, and ``exp((T - t) W_s)`` itself carries the defects, without noise; a signed generator
has no walkers, and where it is sampled, only a bound.

Of a symmetrised amplitude ``psi``, ``P = sqrt(pi) psi`` obeys the same equation for half the time, and
``Z = |psi|^2`` counts its defects twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import expm_multiply
from torch import Tensor

from vanbench.exact.seeds import number
from vanbench.exact.sparse.generator import generator
from vanbench.exact.statistics import effective_fraction, relative_weights
from vanbench.exact.trajectories.jumptables import JumpTables, advance, compile_moves
from vanbench.neural.ensemble import Parameters
from vanbench.neural.trackers.base import MAX_SUMMED, Problem, Step, few
from vanbench.neural.trackers.tangent import amplitude

SHARE = 8  # of the samples of a step, one in so many: two local quantities at each, below a tenth of the cost
LEAST, MOST = 50, 250  # configurations a step
KEPT = 20_000  # walkers of a field; with more, every second one of each step is dropped
SUMMED = 4  # times as many configurations as a step looks at are summed over: once a step, below a tenth of the cost
FEWEST = 8  # that are left of a step
EVEN = 0.3  # effective part of the walkers down to which their weights are followed
SPAN = 0.25  # time between two looks at it
BOUND = 0.5  # of the bound, what is seen of it
PAST = 2  # steps before this one, through whose starts the quadrature goes
LARGEST = 3.0  # of a defect: what is larger is no small error
ENDLESS = 1e30  # of a defect where the network has next to no weight
SAMPLED, CARRIED, WATCHED = range(3)  # streams of random numbers
TINY = 1e-300  # instead of a probability that is zero
LEFT = 1e-12  # of Z, at least, when what is wrong is taken away: no logarithm of less than zero
Held = Mapping[str, Tensor]


@dataclass
class Part:
    """A step's end ``t``, its samples ``x`` ``(R, m, n_sites)``, and of each ``(R, m)`` the ``log_weight`` with which
    it stands for ``P`` and the defect ``d``."""

    t: float
    x: np.ndarray
    log_weight: np.ndarray
    defect: np.ndarray

    def thinned(self) -> Part:
        if self.x.shape[1] < 2 * FEWEST:
            return self
        return Part(self.t, self.x[:, ::2], self.log_weight[:, ::2], self.defect[:, ::2])


@dataclass
class Node:
    """Networks of an earlier time: how long ago, ``dt``, and the ``growth`` ``(R,)`` of ``ln Z`` since; ``held``:
    their parameters, or what they are at all configurations."""

    held: Held
    dt: float
    growth: Tensor

    def before(self, later: Node) -> Node:
        return Node(self.held, self.dt + later.dt, self.growth + later.growth)


@dataclass
class Defects:
    """Of the steps so far; ``length`` ``(R,)`` adds up their spreads; ``older``: where the last
    steps began, as seen from its start."""

    symmetric: bool
    seed: int
    sharp: bool = False  # as many configurations as the steps take: up to twice the cost of the run
    parts: list[Part] = field(default_factory=list)
    length: np.ndarray | float = 0.0
    steps: int = 0
    older: list[Node] = field(default_factory=list)
    latest: Held | None = None  # of all configurations, now
    error: np.ndarray | None = None  # of what is followed there, relative to it, and what the quadrature leaves out of
    # that, ``(R, n_states, 2)``

    def add(self, problem: Problem, before: Parameters, step: Step, t: float, samples: int) -> None:
        """Of the step from the networks with the parameters ``before`` to those of now, at ``t``; ``samples``: how
        many configurations the step looked at."""
        self.steps += 1
        seed = number(self.seed, SAMPLED, self.steps) % 2**63
        if self.starting:
            self.length, self.parts = 0.0, []
        if problem.derived(few, MAX_SUMMED if self.sharp else min(SUMMED * samples, MAX_SUMMED)):
            spread = self._all(problem, before, step)
        else:
            part, spread = self._some(problem, before, step, t, self._number(samples), seed)
            if (problem.connections.tables()["outgoing"] >= 0).all():  # else there are no walkers
                self.parts.append(part)
        self.length = self.length + spread
        step.diagnostics["defect"] = torch.from_numpy(spread)
        kept = KEPT * (SHARE if self.sharp else 1)
        while sum(part.x.shape[1] for part in self.parts) > kept and self.parts[0].x.shape[1] >= 2 * FEWEST:
            self.parts = [part.thinned() for part in self.parts]

    def _number(self, samples: int) -> int:
        return max(samples, MOST) if self.sharp else int(np.clip(samples // SHARE, LEAST, MOST))

    def _some(
        self, problem: Problem, before: Parameters, step: Step, t: float, drawn: int, seed: int
    ) -> tuple[Part, np.ndarray]:
        """Of ``drawn`` samples."""
        ensemble, now = problem.ensemble, problem.ensemble.frozen()
        x = ensemble.sample(drawn, torch.Generator(ensemble.device).manual_seed(seed))
        nodes = self._nodes(before, step)
        here = self._local(problem, x)
        try:
            there = []
            for node in nodes:
                ensemble.load(node.held)
                there.append(self._local(problem, x))
        finally:
            ensemble.load(now)
        defect = np.clip(np.sum(self._defects(here, there, nodes)[0], 0), -LARGEST, LARGEST)
        t -= step.dt / 2 * (len(nodes) if self.starting else 1)  # on average
        part = Part(t, x.cpu().numpy().astype(np.int8), self._log_weight(problem, x, here["log_p"]), defect)
        return part, defect.std(1)

    def _all(self, problem: Problem, before: Parameters, step: Step) -> np.ndarray:
        """Of all configurations: ``error`` goes on to the end of the step. Returns the spread."""
        ensemble, now, states = problem.ensemble, problem.ensemble.frozen(), problem.summed_states()
        if self.latest is None:
            ensemble.load(before)
            self.latest = self._table(problem, states)
            ensemble.load(now)
        nodes, here = self._nodes(self.latest, step), self._table(problem, states)
        defects, changes = self._defects(here, [node.held for node in nodes], nodes)
        p = here["log_p"].exp().cpu().numpy()
        followed = [self._followed(problem, states, held).cpu().numpy() for held in (here, self.latest)]
        self.latest = here
        if self.starting or self.error is None:
            self.error = np.zeros((*followed[1].shape, 2))
        left = [_left_out(change, p) for change in changes]
        lasted = -np.diff([node.dt for node in reversed(nodes[: len(defects)])] + [0.0])
        for r, matrix in enumerate(problem.derived(_generators)):
            # relative to the end of the step, from its start or that of the first
            error = self.error[r] * followed[1][r][:, None] * np.exp(-float(nodes[0].growth[r]))
            for defect, last, dt in zip(defects, left, lasted):
                new = np.stack([defect[r], last[r]], 1) * followed[0][r][:, None]
                error = expm_multiply(dt / 2 * matrix, expm_multiply(dt / 2 * matrix, error) + new)
            self.error[r] = error / np.maximum(followed[0][r], TINY)[:, None]
        whole = np.clip(np.sum(defects, 0), -LARGEST, LARGEST)
        return np.sqrt(np.maximum(0.0, (p * whole**2).sum(1) - (p * whole).sum(1) ** 2))

    def _nodes(self, held: Held, step: Step) -> list[Node]:
        """Where the step began, and the step before it."""
        half = 0.5 if self.symmetric else 1.0
        begun = Node(held, half * step.dt, half * step.increments[step.default].value.cpu())
        nodes = [begun, *(node.before(begun) for node in self.older)]
        self.older = nodes[:PAST]
        return nodes

    def _defects(self, here: Held, there: list[Held], nodes: list[Node]) -> tuple[list[np.ndarray], list[list[Tensor]]]:
        """Of the step, relative to its end, and what the last two nodes change of each; of the first steps together,
        those of all of them: of the first there is no past to go by."""
        half, growth = 0.5 if self.symmetric else 1.0, [node.growth.to(here["log_p"])[:, None] for node in nodes]
        ratios = [(half * (old["log_p"] - here["log_p"]) - gone).exp() for old, gone in zip(there, growth)]
        ratios = [torch.ones_like(here["log_p"]), *ratios]
        flows = [ratio * held["flow"] for ratio, held in zip(ratios, [here, *there])]
        times, out, changes = np.array([0.0, *(-node.dt for node in nodes)]), [], []
        for start in range(len(nodes) if self.starting else 1, 0, -1):
            integrals = [
                sum(weight * flow for weight, flow in zip(weights.tolist(), flows)) for weights in nested(times, start)
            ]
            out.append(_plain(ratios[start - 1] - ratios[start] - integrals[0]))
            changes.append([more - less for more, less in pairwise(integrals)])
        return out, changes

    @property
    def starting(self) -> bool:
        return self.steps <= PAST + 1

    @torch.no_grad()
    def _local(self, problem: Problem, x: Tensor) -> Held:
        """``ln p`` and ``(W_s p) / p`` at ``x`` of the networks as they are, or of the amplitude."""
        log_p = problem.log_prob(x)
        if self.symmetric:
            return {"log_p": log_p, "flow": amplitude.local(problem, x, log_p)}
        return {"log_p": log_p, "flow": problem.local_ratio(x, problem.ensemble.parameters, log_p)}

    @torch.no_grad()
    def _table(self, problem: Problem, states: Tensor) -> Held:
        """The same at all configurations, by sums over the generator's matrix."""
        held = {"log_p": problem.log_prob_all(states).double()}
        q = self._followed(problem, states, held).cpu().numpy()
        image = np.stack([matrix @ row for matrix, row in zip(problem.derived(_generators), q)])
        return {**held, "flow": torch.from_numpy(image / np.maximum(q, TINY)).to(held["log_p"].device)}

    def _followed(self, problem: Problem, states: Tensor, held: Held) -> Tensor:
        """``p``, or ``sqrt(pi) psi``: what obeys the equation, at all configurations."""
        log_p = held["log_p"]
        return ((log_p + amplitude.log_equilibrium(problem, states)) / 2 if self.symmetric else log_p).exp()

    def _log_weight(self, problem: Problem, x: Tensor, log_p: Tensor) -> np.ndarray:
        weight = (amplitude.log_equilibrium(problem, x) - log_p) / 2 if self.symmetric else torch.zeros_like(log_p)
        return weight.double().cpu().numpy()

    def bound(self, r: int, spread: float) -> float:
        """Of a mean of values with this ``spread``, without a left vector: by Cauchy and Schwarz no step's defect moves
        it by more than the two spreads multiplied."""
        return BOUND * spread * float(np.atleast_1d(self.length)[r])

    def score(self, r: int, t: float, n_sites: int) -> float:
        """The length in the Fisher metric by which the path misses the equation, a unit of time and root of a site."""
        return float(np.atleast_1d(self.length)[r] / (t * np.sqrt(n_sites)))

    def carried(self, problem: Problem, r: int, t: float) -> list[Carried]:
        """What walkers from the samples of each step of field ``r`` carry to ``t``; nothing where there are none."""
        half, out = 0.5 if self.symmetric else 1.0, []
        if self.error is not None and self.latest is not None:
            p, x = self.latest["log_p"][r].exp().cpu().numpy(), problem.summed_states()[r].cpu().numpy()
            off, left = self.error[r].T
            shift = p * (2 * off - off**2 if self.symmetric else off)  # of Z = |psi|^2, psi - off being the right one
            return [Carried(x, p, shift / max(1.0 - shift.sum(), LEFT)), Carried(x, p, p * left / half)]
        if not self.parts:
            return []
        tables = problem.derived(_tables)[r]
        longest = self._memory(tables, r, t)
        for k, part in enumerate(self.parts):
            walkers, log_w = part.x[r].copy(), part.log_weight[r].copy()
            advance(tables, walkers, np.zeros(0), log_w, min(longest, t - half * part.t), number(self.seed, CARRIED, k))
            weight = np.exp(log_w - np.logaddexp.reduce(log_w))
            out.append(Carried(walkers, weight, weight * part.defect[r] / half))
        return out

    def _memory(self, tables: JumpTables, r: int, t: float) -> float:
        """How long walkers of the first step keep weights that are even enough."""
        walkers, log_w, now = self.parts[0].x[r].copy(), self.parts[0].log_weight[r].copy(), 0.0
        first = effective_fraction(relative_weights(torch.from_numpy(log_w)[None]))[0]
        while now < t:
            advance(tables, walkers, np.zeros(0), log_w, SPAN, number(self.seed, WATCHED, round(now / SPAN)))
            now += SPAN
            if effective_fraction(relative_weights(torch.from_numpy(log_w)[None]))[0] < EVEN * first:
                break
        return now

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        held = [(float(p.t), *map(torch.tensor, (p.x, p.log_weight, p.defect))) for p in self.parts]
        older = [(node.held, node.dt, node.growth) for node in self.older]
        return {
            "parts": held,
            "length": torch.as_tensor(self.length),
            "steps": self.steps,
            "older": older,
            "latest": self.latest,
            "error": None if self.error is None else torch.from_numpy(self.error),
        }

    def load(self, stored: dict[str, Any]) -> None:
        self.parts = [Part(t, *(value.numpy() for value in values)) for t, *values in stored["parts"]]
        self.latest, self.error = stored["latest"], None if stored["error"] is None else stored["error"].numpy()
        self.length, self.steps = stored["length"].numpy(), stored["steps"]
        self.older = [Node(*entry) for entry in stored["older"]]


@dataclass
class Carried:
    """Of a step: where its walkers ended ``(m, n_sites)``, their weights, which add up to 1, and what each puts
    ``ln Z`` off by. Or of all steps together, every configuration: by what each puts ``Z`` off relative to the right
    ``Z``, and the same of what the quadrature leaves out."""

    x: np.ndarray
    weight: np.ndarray
    shift: np.ndarray


def integral(times: np.ndarray, start: int, stop: int = 0) -> np.ndarray:
    """Weights of the values at ``times`` that integrate the polynomial through them from ``times[start]`` to
    ``times[stop]``."""
    origin, scale = times[stop], times[stop] - times[start]
    powers = np.arange(len(times))[:, None]
    moments = -((-1.0) ** (powers[:, 0] + 1)) / (powers[:, 0] + 1)  # of x^k from -1 to 0
    return scale * np.linalg.solve(((times - origin) / scale) ** powers, moments)


def nested(times: np.ndarray, start: int) -> list[np.ndarray]:
    """Weights of `integral` over the step from ``times[start]`` to the time before it in the list: of all, without the
    node that is farthest, and without the two farthest."""
    near, out = sorted(range(len(times)), key=lambda k: abs(k - start + 0.5)), []
    for left_out in range(3):
        kept = sorted(near[: max(2, len(times) - left_out)])
        out.append(np.zeros(len(times)))
        out[-1][kept] = integral(times[kept], kept.index(start), kept.index(start - 1))
    return out


def _left_out(changes: list[Tensor], p: np.ndarray) -> np.ndarray:
    """The error of a quadrature from what its last two nodes change: smaller than the last change by as much as that
    is smaller than the one before."""
    last, before = map(_plain, changes)
    norms = [np.sqrt((p * change**2).sum(1, keepdims=True)) for change in (last, before)]
    return last * np.minimum(1.0, norms[0] / np.maximum(norms[1], TINY))


def _plain(defect: Tensor) -> np.ndarray:
    return torch.nan_to_num(defect, 0.0, ENDLESS, -ENDLESS).clamp(-ENDLESS, ENDLESS).double().cpu().numpy()


def distance(parts: list[np.ndarray], noise: bool = True) -> float:
    """What the steps' samples ``(m,)`` add up to, and the noise of that: the root of the sum of the squares. Without
    noise, the root of the squares of what each part adds up to."""
    sums = np.array([float(part.sum()) for part in parts])
    if not noise:
        return float(np.sqrt(np.sum(sums**2)))
    return float(np.sqrt(np.sum(sums) ** 2 + sum(len(part) * float(part.var()) for part in parts)))


def of_ln_z(carried: list[list[Carried]], weights: np.ndarray, noise: bool = True) -> float:
    """The distance of the combination with ``weights`` ``(R,)`` of ``ln Z`` of the fields."""
    own = [[part.shift for part in steps] for steps in carried]
    if not noise:
        own = [[np.log1p(np.maximum(shift.sum(keepdims=True), LEFT - 1)) for shift in steps] for steps in own]
    return distance([sum(w * shift for w, shift in zip(weights, step) if w) for step in zip(*own)], noise)


def of_mean(carried: list[Carried], values: list[np.ndarray], noise: bool = True) -> np.ndarray:
    """The distance of means over the distribution at the end of ``values``, each ``(m,)`` or ``(m, n_sites)``, at
    where the walkers ended."""
    shifts = []
    for part, here in zip(carried, values):
        mean = part.weight @ here
        shifts.append((part.shift * (here - mean).T).T)
    columns = zip(*(part.reshape(len(part), -1).T for part in shifts))
    return np.array([distance(list(column), noise) for column in columns])


def _generators(problem: Problem) -> list[sp.csr_array]:
    return [generator(problem.system, s, problem.observable) for s in problem.s]


def _tables(problem: Problem) -> list[JumpTables]:
    return [compile_moves(problem.system, s, problem.observable) for s in problem.s]
