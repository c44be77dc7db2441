"""The long-time limit by the variational principle: follow the symmetric flow until its rate stands still.

``<(H psi)(x) / psi(x)>`` over ``phi = psi^2`` is a Rayleigh quotient: never above the scaled cumulant generating
function ``theta = lim ln Z_t / t``, and second-order in what the network lacks. The imaginary-time flow of
`SymmetricTDVP` raises it; once it stands still, ``ln Z`` grows at that rate, and the rest of the run is extrapolated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.estimators import Increment
from vanbench.neural.trackers.base import Problem, Step
from vanbench.neural.trackers.tdvp_symmetric import SymmetricTDVP


class SCGF(SymmetricTDVP):
    """As `SymmetricTDVP` until the mean rates of two windows agree; from there ``ln Z`` grows linearly.

    The log holds ``scgf``, the mean rate of the last window, its ``scgf_stderr``, and ``reached``, 1 where it stands
    still. A metastable plateau longer than two windows is taken for the limit: take a window longer than the slowest
    relaxation.

    window
        time over which the rate is averaged and must not change.
    still
        the relative change between two windows that counts as none, beside twice its noise.
    """

    def __init__(self, problem: Problem, window: float = 5.0, still: float = 1e-3, **options: Any):
        if not (window > 0 and still > 0):
            raise InputError("window and still must be positive.")
        super().__init__(problem, **options)
        self.window, self.still = window, still
        self.spans: list[float] = []
        self.rates: list[Increment] = []
        self.reached, self.beyond = False, 0.0

    def step(self, limit: float) -> Step:
        if self.reached:
            return self._extrapolate(limit)
        step = super().step(limit)
        increment = step.increments["regression"]
        self.spans.append(step.dt)
        self.rates.append(Increment(increment.value / step.dt, increment.covariance / step.dt**2))
        while sum(self.spans[1:]) >= 2 * self.window:
            self.spans.pop(0)
            self.rates.pop(0)
        step.diagnostics.update(self._told())
        self.reached = self._stands_still()
        return step

    def _extrapolate(self, limit: float) -> Step:
        """One step to the next time asked for; the error of the rate is one error for all of them."""
        rate = self._mean(self._recent())
        growth = (self.beyond + limit) ** 2 - self.beyond**2
        self.beyond += limit
        step = Step(limit, {"regression": Increment(limit * rate.value, growth * rate.covariance)}, "regression")
        still = torch.zeros_like(rate.value)
        step.diagnostics.update({"ess": still + 1, "residual": still, "dt": still + limit, **self._told()})
        return step

    def _recent(self) -> int:
        """Where the last window begins in the history."""
        first, span = len(self.spans), 0.0
        while first > 0 and span < self.window * (1 - 1e-9):
            first -= 1
            span += self.spans[first]
        return first

    def _mean(self, first: int, last: int | None = None) -> Increment:
        spans, rates = self.spans[first:last], self.rates[first:last]
        total = sum(spans)
        value = sum(span * rate.value for span, rate in zip(spans, rates)) / total
        covariance = sum(span**2 * rate.covariance for span, rate in zip(spans, rates)) / total**2
        return Increment(torch.as_tensor(value), torch.as_tensor(covariance))

    def _stands_still(self) -> bool:
        first = self._recent()
        if sum(self.spans[:first]) < 0.9 * self.window:
            return False
        new, old = self._mean(first), self._mean(0, first)
        noise = (new.covariance + old.covariance).diagonal().clamp_min(0).sqrt()
        change = (new.value - old.value).abs()
        return bool((change <= self.still * new.value.abs() + 2 * noise + 1e-12).all())

    def _told(self) -> dict[str, Tensor]:
        rate = self._mean(self._recent())
        stderr = rate.covariance.diagonal().clamp_min(0).sqrt()
        return {"scgf": rate.value, "scgf_stderr": stderr, "reached": torch.full_like(stderr, float(self.reached))}

    def state(self) -> Mapping[str, Any]:
        history = {
            "spans": list(self.spans),
            "rates": [rate.value for rate in self.rates],
            "covariances": [rate.covariance for rate in self.rates],
            "reached": self.reached,
            "beyond": self.beyond,
        }
        return {**super().state(), **history}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        self.spans, self.reached, self.beyond = list(state["spans"]), state["reached"], state["beyond"]
        self.rates = [Increment(value, c) for value, c in zip(state["rates"], state["covariances"])]
