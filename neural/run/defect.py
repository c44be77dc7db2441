"""How far tracked values lie from continuous time, without an exact reference: the dual-weighted residual.

Networks leave a path ``Q = Z p`` of unnormalised distributions. Each of its steps misses the equation ``dQ/dt = W_s Q``
by a defect ``d``, relative to ``Q`` at its end, by the trapezoidal rule

    d(x) = 1 - (Q_0(x) / Q_1(x)) (1 + dt/2 E_0(x)) - dt/2 E_1(x),    E = (W_s p) / p

whatever made it: the time step, the network, or the noise of a fit. To first order the defects of all steps put
``ln Z_T`` off by ``sum <l d> / <l>`` over samples of the networks, with the left vector ``l = exp((T - t) W_s^T) 1``
(Becker and Rannacher, Acta Numerica 10, 1 (2001)), which is the mean weight that walkers from ``x`` carry to ``T``:
Gillespie trajectories with tilted rates (`exact.trajectories`). Where they end gives the same for observables. Beyond
the time in which their weights become uneven, ``l / <l>`` is taken to have converged.

Of a symmetrised amplitude ``psi``, ``P = sqrt(pi) psi`` obeys the same equation for half the time, and
``Z = |psi|^2`` counts its defects twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact.statistics import effective_fraction, relative_weights
from vanbench.exact.trajectories.jumptables import JumpTables, advance, compile_moves
from vanbench.neural.ensemble import Parameters
from vanbench.neural.trackers.base import Problem, Step
from vanbench.neural.trackers.tangent import amplitude

SHARE = 8  # of the samples of a step, one in so many: two local quantities at each, below a tenth of the cost
LEAST, MOST = 50, 250  # configurations a step
KEPT = 20_000  # walkers of a field; with more, every second one of each step is dropped
FEWEST = 8  # that are left of a step
EVEN = 0.3  # effective part of the walkers down to which their weights are followed
SPAN = 0.25  # time between two looks at it
BOUND = 0.5  # of the bound, what is seen of it
LARGEST = 3.0  # of a defect: what is larger is no small error


@dataclass
class Part:
    """A step's end ``t``, its samples ``x`` ``(R, m, n_sites)``, and of each ``(R, m)`` the ``log_weight`` with which
    it stands for ``P`` and the defect ``d``."""

    t: float
    x: np.ndarray
    log_weight: np.ndarray
    defect: np.ndarray


@dataclass
class Defects:
    """Of the steps so far; ``length`` ``(R,)`` adds up their spreads."""

    symmetric: bool
    seed: int
    parts: list[Part] = field(default_factory=list)
    length: np.ndarray | float = 0.0
    steps: int = 0

    def add(self, problem: Problem, before: Parameters, step: Step, t: float, samples: int) -> None:
        """Of the step from the networks with the parameters ``before`` to those of now, at ``t``."""
        number = int(np.clip(samples // SHARE, LEAST, MOST))
        x, defect, log_weight = self._defect(problem, before, step, number)
        defect = np.clip(defect, -LARGEST, LARGEST)
        spread = defect.std(1)
        self.length = self.length + spread
        step.diagnostics["defect"] = torch.from_numpy(spread)
        if (problem.connections.tables()["outgoing"] < 0).any():
            return  # a signed generator has no walkers
        self.parts.append(Part(t, x.astype(np.int8), log_weight, defect))
        while sum(part.x.shape[1] for part in self.parts) > KEPT and self.parts[0].x.shape[1] >= 2 * FEWEST:
            self.parts = [
                Part(part.t, part.x[:, ::2], part.log_weight[:, ::2], part.defect[:, ::2])
                if part.x.shape[1] >= 2 * FEWEST
                else part
                for part in self.parts
            ]

    @torch.no_grad()
    def _defect(
        self, problem: Problem, before: Parameters, step: Step, number: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ensemble, now = problem.ensemble, problem.ensemble.frozen()
        self.steps += 1
        seed = self.seed + 1_000_003 * self.steps
        x = ensemble.sample(number, torch.Generator(ensemble.device).manual_seed(seed % 2**63))
        growth = step.increments[step.default].value.to(x.device)[:, None]
        log_p, flow = self._local(problem, x)
        ensemble.load(before)
        try:
            log_old, old_flow = self._local(problem, x)
        finally:
            ensemble.load(now)
        part = 0.5 if self.symmetric else 1.0
        dt = part * step.dt
        ratio = (part * (log_old - log_p - growth)).exp()
        defect = torch.nan_to_num(1 - ratio * (1 + dt / 2 * old_flow) - dt / 2 * flow, LARGEST, LARGEST, -LARGEST)
        log_weight = (amplitude.log_equilibrium(problem, x) - log_p) / 2 if self.symmetric else torch.zeros_like(log_p)
        return tuple(value.double().cpu().numpy() for value in (x, defect, log_weight))  # type: ignore[return-value]

    def _local(self, problem: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
        log_p = problem.log_prob(x)
        if self.symmetric:
            return log_p, amplitude.local(problem, x, log_p)
        return log_p, problem.local_ratio(x, problem.ensemble.parameters, log_p)

    def bound(self, r: int, spread: float) -> float:
        """Of a mean of values with this ``spread``, without a left vector: by Cauchy and Schwarz no step's defect moves
        it by more than the two spreads multiplied."""
        return BOUND * spread * float(np.atleast_1d(self.length)[r])

    def score(self, r: int, t: float, n_sites: int) -> float:
        """The length in the Fisher metric by which the path misses the equation, a unit of time and root of a site."""
        return float(np.atleast_1d(self.length)[r] / (t * np.sqrt(n_sites)))

    def carried(self, problem: Problem, r: int, t: float) -> list[Carried]:
        """What walkers from the samples of each step of field ``r`` carry to ``t``."""
        tables, half, out = problem.derived(_tables)[r], 0.5 if self.symmetric else 1.0, []
        longest = self._memory(tables, r, t)
        for k, part in enumerate(self.parts):
            walkers, log_w = part.x[r].copy(), part.log_weight[r].copy()
            advance(tables, walkers, np.zeros(0), log_w, min(longest, t - half * part.t), self.seed % 2**31 + k)
            weight = np.exp(log_w - np.logaddexp.reduce(log_w))
            out.append(Carried(walkers, weight, weight * part.defect[r] / half))
        return out

    def _memory(self, tables: JumpTables, r: int, t: float) -> float:
        """How long walkers of the first step keep weights that are even enough."""
        walkers, log_w, now = self.parts[0].x[r].copy(), self.parts[0].log_weight[r].copy(), 0.0
        first = effective_fraction(relative_weights(torch.from_numpy(log_w)[None]))[0]
        while now < t:
            advance(tables, walkers, np.zeros(0), log_w, SPAN, self.seed % 2**31 + round(now / SPAN))
            now += SPAN
            if effective_fraction(relative_weights(torch.from_numpy(log_w)[None]))[0] < EVEN * first:
                break
        return now

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        held = [(float(p.t), *map(torch.tensor, (p.x, p.log_weight, p.defect))) for p in self.parts]
        return {"parts": held, "length": torch.as_tensor(self.length), "steps": self.steps}

    def load(self, stored: dict[str, Any]) -> None:
        self.parts = [Part(entry[0], *(value.numpy() for value in entry[1:])) for entry in stored["parts"]]
        self.length, self.steps = stored["length"].numpy(), stored["steps"]


@dataclass
class Carried:
    """Of a step: where its walkers ended ``(m, n_sites)``, their weights, which add up to 1, and what each puts
    ``ln Z`` off by."""

    x: np.ndarray
    weight: np.ndarray
    shift: np.ndarray


def distance(parts: list[np.ndarray]) -> float:
    """What the steps' samples ``(m,)`` add up to, and the noise of that: the root of the sum of their squares."""
    bias = sum(float(part.sum()) for part in parts)
    noise = sum(len(part) * float(part.var()) for part in parts)
    return float(np.sqrt(bias**2 + noise))


def of_mean(carried: list[Carried], values: list[np.ndarray]) -> np.ndarray:
    """The distance of means over the distribution at the end of ``values``, each ``(m,)`` or ``(m, n_sites)``, at
    where the walkers ended."""
    shifts = []
    for part, here in zip(carried, values):
        mean = part.weight @ here
        shifts.append((part.shift * (here - mean).T).T)
    columns = zip(*(part.reshape(len(part), -1).T for part in shifts))
    return np.array([distance(list(column)) for column in columns])


def _tables(problem: Problem) -> list[JumpTables]:
    return [compile_moves(problem.system, s, problem.observable) for s in problem.s]
