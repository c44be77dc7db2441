"""What a tracker becomes where nothing moves from the start: the start, weighed by what waiting adds to ``ln Z``."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch

from vanbench.exact import InputError, System
from vanbench.neural.run.estimators import Increment
from vanbench.neural.trackers.base import Observed, Problem, Step, Tracker, Variant

MOST = 4096  # configurations of a start that are looked at one by one
DRAWN = 20000  # of them for observables


@dataclass
class Waited:
    """The time since the start."""

    now: float = 0.0


@dataclass(frozen=True)
class Rest:
    """The configurations ``x`` of the start ``(n, n_sites)``, their ``log_start``, and ``growth``, ``k_s`` of them,
    ``(R, n)``."""

    x: np.ndarray
    log_start: np.ndarray
    growth: np.ndarray

    def ln_z(self, t: float) -> np.ndarray:
        return np.logaddexp.reduce(self.log_start + t * self.growth, axis=1)


@dataclass(frozen=True)
class Still(Tracker[Waited]):
    """``P_t(x) = P_0(x) exp(t k_s(x)) / Z_t`` for configurations without a way out, ``k_s = W_s^T 1``."""

    name = "still"
    variants = (Variant("nothing"), Variant("nothing", target="steady"))
    saved = (Waited,)

    def init(self, problem: Problem) -> Waited:
        return Waited()

    def step(self, problem: Problem, state: Waited, limit: float) -> tuple[Waited, Step]:
        """To ``limit`` at once."""
        rest = problem.derived(at_rest)
        assert rest is not None
        now = state.now + limit
        told = {"scgf": torch.from_numpy(rest.growth.max(1)), "scgf_stderr": torch.zeros(len(rest.growth))}
        grown = Increment.certain(torch.from_numpy(rest.ln_z(now) - rest.ln_z(state.now)))
        return Waited(now), Step(limit, {"still": grown}, "still", told)

    def observe(self, problem: Problem, state: Waited) -> Observed:
        """Independent configurations of ``P_t``."""
        rest = problem.derived(at_rest)
        assert rest is not None
        p = np.exp(rest.log_start + state.now * rest.growth - rest.ln_z(state.now)[:, None])
        generator = problem.generator
        seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        rows = [
            np.random.default_rng([seed, r]).choice(len(rest.x), DRAWN, p=row / row.sum()) for r, row in enumerate(p)
        ]
        return Observed(torch.from_numpy(rest.x[np.stack(rows)]).to(problem.ensemble.device))


def at_rest(problem: Problem) -> Rest | None:
    """The start where nothing moves from it; None where something does, or where there is too much to see.

    Raises ``InputError`` for a start that has nothing on the support.
    """
    system, connections = problem.system, problem.connections
    begun = starts(system)
    if begun is None:
        return None
    x, start = begun
    batch = np.broadcast_to(x, (len(problem.s), *x.shape))
    if connections.n_moves and connections.outgoing_rates(batch).any():
        return None
    growth = np.asarray(connections.column_sum(batch), dtype=float)
    return Rest(x, np.log(start), growth)


def starts(system: System) -> tuple[np.ndarray, np.ndarray] | None:
    """The configurations of the start ``(n, n_sites)`` with their probabilities ``(n,)``; None for more than `MOST`.

    Raises ``InputError`` for a start that has nothing on the support.
    """
    values = [np.flatnonzero(row) for row in system.initial]
    if math.prod(map(len, values)) > MOST:
        return None
    x = np.array(list(itertools.product(*values)), dtype=np.int8)
    x = x if system.support is None else x[system.support.contains(x)]
    if not len(x):
        raise InputError("the start gives no weight to the allowed support: give another initial.")
    start = np.asarray(system.initial)[np.arange(system.n_sites), x].prod(1)
    return x, start / start.sum()
