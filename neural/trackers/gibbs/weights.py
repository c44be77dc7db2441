"""What the trackers of equilibrium share: ``ln`` of the unnormalised target, and ``ln Z`` from samples of a network.

aim(x) = ln P_0(x) - s t E(x),        <aim - ln q>_q = ln Z - KL(q | p),        <aim - ln q>_p = ln Z + KL(p | q)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction, relative_weights
from vanbench.neural.backend.adam import Moments
from vanbench.neural.run.estimators import REWEIGHTED, VARIATIONAL, Increment, from_loss, from_weights
from vanbench.neural.trackers.base import Observed, Problem


@dataclass
class Cooled:
    """The inverse temperature over ``s`` as it is, ``now``, and at the last report; ``ln Z`` there by each estimator,
    with its covariance, and summed over all configurations; the ``part`` of the way to the next report."""

    moments: Moments
    now: float = 0.0
    start: float = 0.0
    part: int = 0
    known: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    summed: Tensor | None = None

    def grown(self, known: Mapping[str, Increment]) -> dict[str, Increment]:
        """What ``known``, of the whole of ``ln Z``, adds to what was known: covariances add up to that of the whole."""
        steps = {}
        for name, whole in known.items():
            value, covariance = self.known.get(name, (0.0, 0.0))
            steps[name] = Increment(whole.value - value, whole.covariance - covariance)
        self.known = {name: (whole.value, whole.covariance) for name, whole in known.items()}
        return steps

    def added(self, summed: Tensor | None) -> Tensor | None:
        """The same of what has no noise."""
        before, self.summed = self.summed, summed
        return summed if summed is None or before is None else summed - before


def begin(problem: Problem) -> Cooled:
    """Raises ``InputError`` for a system that moves, or that has no equilibrium to go to."""
    if not problem.system.static:
        raise InputError(f"{problem.system.name} has moves: this tracker is for systems without moves.")
    if not all(problem.s):
        raise InputError("s = 0 is an infinite temperature: give inverse temperatures as s, at t = 1.")
    if problem.system.support is not None:
        raise InputError("a support is not possible here: all configurations of a system in equilibrium are allowed.")
    return Cooled(Moments.of(problem.ensemble.parameters.values()))


def aim(problem: Problem, x: Tensor, t: float) -> Tensor:
    """``ln P_0(x) - s t E(x)``, ``(R, n)`` of configurations ``(R, n, n_sites)``."""
    start = problem.derived(_log_start)
    sites = torch.arange(problem.system.n_sites, device=x.device)
    return start[sites, x.long()].sum(-1) + t * problem.connections.column_sum(x)


def _log_start(problem: Problem) -> Tensor:
    return torch.as_tensor(problem.system.initial, device=problem.ensemble.device).log()


def by_samples(problem: Problem, x: Tensor, t: float) -> tuple[dict[str, Increment], Tensor]:
    """``ln Z`` from samples ``x`` of the networks: from below, and reweighted; the effective part of the samples."""
    log_weights = aim(problem, x, t) - problem.log_prob(x).double()
    known = {VARIATIONAL: from_loss(log_weights), REWEIGHTED: from_weights(log_weights)}
    return known, effective_fraction(relative_weights(log_weights))


def summed_over(problem: Problem, t: float, data: bool) -> Tensor | None:
    """``<aim - ln q>`` over all configurations, of ``p`` with ``data``, else of ``q``; None where they are too many."""
    if not problem.project:
        return None
    aims = aim(problem, states := problem.summed_states(), t)
    log_q = problem.log_prob_all(states).double()
    log_p = aims - aims.logsumexp(1, keepdim=True)
    shares = (log_p if data else log_q).exp()
    return torch.where(shares > 0, shares * (aims - log_q), 0.0).sum(1)


def independent(problem: Problem, n: int) -> Observed:
    return Observed(problem.sample(n))


def heated(progress: float) -> float:
    """The inverse temperature over its last value: it rises fast, and slower and slower (``1 - exp(-5 progress)``)."""
    return math.expm1(-5.0 * progress) / math.expm1(-5.0)
