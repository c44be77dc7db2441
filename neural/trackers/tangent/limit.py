"""The long-time limit by the variational principle: follow the symmetric flow until its rate stands still.

``<(H psi)(x) / psi(x)>`` over ``phi = psi^2`` is a Rayleigh quotient: never above the scaled cumulant generating
function ``theta = lim ln Z_t / t``, and second-order in what the network lacks. The imaginary-time flow of the
amplitude raises it; once the mean rates of two windows agree, ``ln Z`` grows at that rate, and the rest of the run is
extrapolated. A metastable plateau longer than two windows is taken for the limit.

The log holds ``scgf``, the mean rate of the last window, its ``scgf_stderr``, and ``reached``, 1 where it stands still.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vanbench.neural.run.estimators import Increment
from vanbench.neural.trackers.base import Step


@dataclass
class Recent:
    """The last steps, ``spans`` and ``rates``; whether the limit is ``reached``, and the time ``beyond`` that."""

    spans: list[float] = field(default_factory=list)
    rates: list[Increment] = field(default_factory=list)
    reached: bool = False
    beyond: float = 0.0

    def mean(self, first: int, last: int | None = None) -> Increment:
        spans, rates = self.spans[first:last], self.rates[first:last]
        total = sum(spans)
        value = sum(span * rate.value for span, rate in zip(spans, rates)) / total
        covariance = sum(span**2 * rate.covariance for span, rate in zip(spans, rates)) / total**2
        return Increment(torch.as_tensor(value), torch.as_tensor(covariance))

    def begin(self, window: float) -> int:
        """Where the last window begins."""
        first, span = len(self.spans), 0.0
        while first > 0 and span < window * (1 - 1e-9):
            first -= 1
            span += self.spans[first]
        return first

    def stands_still(self, window: float, still: float) -> bool:
        first = self.begin(window)
        if sum(self.spans[:first]) < 0.9 * window:
            return False
        new, old = self.mean(first), self.mean(0, first)
        noise = (new.covariance + old.covariance).diagonal().clamp_min(0).sqrt()
        change = (new.value - old.value).abs()
        return bool((change <= still * new.value.abs() + 2 * noise + 1e-12).all())

    def told(self, window: float) -> dict[str, Tensor]:
        rate = self.mean(self.begin(window))
        stderr = rate.covariance.diagonal().clamp_min(0).sqrt()
        return {"scgf": rate.value, "scgf_stderr": stderr, "reached": torch.full_like(stderr, float(self.reached))}


def followed(
    recent: Recent, dt: float, increment: Increment, window: float, still: float
) -> tuple[Recent, dict[str, Tensor]]:
    """With one more step, two windows at most, and what the log says."""
    spans = [*recent.spans, dt]
    rates = [*recent.rates, Increment(increment.value / dt, increment.covariance / dt**2)]
    while sum(spans[1:]) >= 2 * window:
        spans.pop(0)
        rates.pop(0)
    recent = replace(recent, spans=spans, rates=rates)
    told = recent.told(window)
    return replace(recent, reached=recent.stands_still(window, still)), told


def extrapolated(recent: Recent, window: float, limit: float) -> tuple[Recent, Step]:
    """One step to the next time asked for; the error of the rate is one error for all of them."""
    rate = recent.mean(recent.begin(window))
    beyond = recent.beyond + limit
    growth = beyond**2 - recent.beyond**2
    zero = torch.zeros_like(rate.value)
    told = {"ess": zero + 1, "residual": zero, "dt": zero + limit, **recent.told(window)}
    step = Step(limit, {"regression": Increment(limit * rate.value, growth * rate.covariance)}, "regression", told)
    return replace(recent, beyond=beyond), step
