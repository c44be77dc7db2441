"""What a tracker becomes where nothing moves from the start: the start, weighed by what waiting adds to ``ln Z``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.estimators import Increment
from vanbench.neural.trackers.base import Problem, Step

MOST = 4096  # configurations of a start that are looked at one by one
DRAWN = 20000  # of them for observables


class Still:
    """``P_t(x) = P_0(x) exp(t k_s(x)) / Z_t`` for configurations without a way out, ``k_s = W_s^T 1``.

    x, start, growth
        the configurations of the start ``(n, n_sites)``, their probabilities ``(n,)``, and ``k_s`` of them ``(R, n)``.
    """

    def __init__(self, problem: Problem, x: np.ndarray, start: np.ndarray, growth: np.ndarray):
        self.problem, self.x, self.now = problem, x, 0.0
        self.log_start, self.growth = np.log(start), growth

    def step(self, limit: float) -> Step:
        """To ``limit`` at once."""
        before, self.now = self._ln_z(), self.now + limit
        told = {"scgf": torch.from_numpy(self.growth.max(1)), "scgf_stderr": torch.zeros(len(self.growth))}
        return Step(limit, {"still": Increment.certain(torch.from_numpy(self._ln_z() - before))}, "still", told)

    def _ln_z(self) -> np.ndarray:
        return np.logaddexp.reduce(self.log_start + self.now * self.growth, axis=1)

    @property
    def measured(self) -> Tensor:
        """Independent configurations of ``P_t``, ``(R, n, n_sites)``."""
        p = np.exp(self.log_start + self.now * self.growth - self._ln_z()[:, None])
        rows = [np.random.default_rng(0).choice(len(self.x), DRAWN, p=row / row.sum()) for row in p]
        return torch.from_numpy(self.x[np.stack(rows)]).to(self.problem.ensemble.device)

    def state(self) -> Mapping[str, Any]:
        return {"now": self.now}

    def load(self, state: Mapping[str, Any]) -> None:
        self.now = state["now"]


def still(problem: Problem) -> Still | None:
    """The tracker of a start from which nothing moves; None where something does, or where there is too much to see.

    Raises ``InputError`` for a start that has nothing on the support.
    """
    system, connections = problem.system, problem.connections
    values = [np.flatnonzero(row) for row in system.initial]
    if math.prod(map(len, values)) > MOST:
        return None
    x = np.array(list(itertools.product(*values)), dtype=np.int8)
    x = x if system.support is None else x[system.support.contains(x)]
    if not len(x):
        raise InputError("the start gives no weight to the allowed support: give another initial.")
    batch = np.broadcast_to(x, (len(problem.s), *x.shape))
    if connections.n_moves and connections.outgoing_rates(batch).any():
        return None
    start = np.asarray(system.initial)[np.arange(system.n_sites), x].prod(1)
    return Still(problem, x, start / start.sum(), np.asarray(connections.column_sum(batch), dtype=float))
