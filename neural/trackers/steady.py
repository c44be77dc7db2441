"""The published steady states: minimise the L1 norm of ``dp/dt = L p``. Luo et al., PRL 128, 090501 (2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vanbench.exact import InputError
from vanbench.neural.ensemble import Parameters
from vanbench.neural.trackers.base import Problem, Step
from vanbench.neural.trackers.l1 import L1Tracker, Residual, cooled
from vanbench.neural.trackers.trapezoid import Trapezoid, conserved

BETWEEN = ("norms", "residuals")


class Steady(L1Tracker):
    """``min |L p|_1`` by Adam. Its time counts iterations: ``--times 100,500`` reports after 100 and after 500.

    With ``mix = w > 0`` the objective lies between that of the steady state and that of a trapezoidal time step of
    length ``span`` from ``p_0``, the network as it was at the last multiple of ``refresh`` iterations:

    - ``between = "norms"``: ``(1 - w) |L p|_1 + w |p - p_0 - span L (p + p_0)/2|_1 / span``
    - ``between = "residuals"``: ``|(w/span) (p - p_0) - L ((1 - w/2) p + (w/2) p_0)|_1``

    Both are ``|L p|_1`` at ``w = 0`` and the step of `Trapezoid` at ``w = 1``, and zero at the steady state for all
    ``w``. (The supplement of the publication interpolates too, S23 and S25; its text could not be consulted, and
    these two are our own.)

    samples, learning_rate, neighbours, measure, full_summation
        as of `L1Tracker`; 12000 samples and 500 iterations are published.
    decay, horizon
        the learning rate falls to the fraction ``decay`` in the second half of ``horizon`` iterations and stays there.
    """

    stationary = True
    counts_iterations = True

    def __init__(
        self,
        problem: Problem,
        decay: float = 0.02,
        horizon: int = 500,
        mix: float = 0.0,
        between: str = "norms",
        span: float = 0.1,
        refresh: int = 10,
        **options: Any,
    ):
        if not (0 < decay <= 1 and horizon >= 1 and 0 <= mix <= 1 and span > 0 and refresh >= 1):
            raise InputError("decay must be in (0, 1], mix in [0, 1], span positive, horizon and refresh at least 1.")
        if between not in BETWEEN:
            raise InputError(f"between = {between!r}: take one of {', '.join(BETWEEN)}.")
        super().__init__(problem, **options)
        self.residuals = interpolated(mix, between, span)
        self.decay, self.horizon, self.refresh = decay, horizon, refresh
        self.iterations = 0
        self.before: Parameters = problem.ensemble.frozen()

    def state(self) -> Mapping[str, Any]:
        return {**super().state(), "iterations": self.iterations, "before": dict(self.before)}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        self.iterations, self.before = state["iterations"], state["before"]

    def step(self, limit: float) -> Step:
        """One iteration."""
        if self.iterations % self.refresh == 0:
            self.before = self.problem.ensemble.frozen()
        rate = cooled(self.iterations / self.horizon, self.decay)
        loss = self.fit.iterate(self.residuals, self.before, rate)
        self.iterations += 1
        self._measured = None
        return conserved(1.0, self.problem, {"loss": loss})


def interpolated(mix: float, between: str, span: float) -> list[Residual]:
    """The objective between ``|L p|_1`` (``mix`` 0) and a step (1)."""
    if mix == 0:
        return [Residual(1.0, 0.0, 1.0)]
    if between == "norms":
        step = Residual(mix, 1 / span, -0.5, -1 / span, -0.5)
        return [Residual(1 - mix, 0.0, 1.0), step] if mix < 1 else [step]
    return [Residual(1.0, mix / span, -(1 - mix / 2), -mix / span, -mix / 2)]


class SteadyDynamics(Trapezoid):
    """The steady state by `Steady` and from there `Trapezoid` in time ("var+dyn"); time counts from its beginning.

    iterations, steady_rate
        of the steady objective before the first step, and Adam's rate there (falling by ``steady_decay``).
    mix, between
        of that objective, as of `Steady`.
    """

    stationary = True
    scheme = "continuous"

    def __init__(
        self,
        problem: Problem,
        iterations: int = 500,
        steady_rate: float = 1e-2,
        steady_decay: float = 0.02,
        mix: float = 0.0,
        between: str = "norms",
        **options: Any,
    ):
        if iterations < 0:
            raise InputError("iterations must not be negative.")
        super().__init__(problem, **options)
        self.iterations = iterations
        self.steady = Steady(
            problem,
            decay=steady_decay,
            horizon=max(1, iterations),
            mix=mix,
            between=between,
            samples=self.fit.samples,
            learning_rate=steady_rate,
            neighbours=self.fit.neighbours,
            full_summation=self.states is not None,
        )
        self.prepared = False

    def state(self) -> Mapping[str, Any]:
        return {**super().state(), "prepared": self.prepared}

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        self.prepared = state["prepared"]

    def step(self, limit: float) -> Step:
        if not self.prepared:
            for _ in range(self.iterations):
                self.steady.step(1.0)
            self.prepared = True
        return super().step(limit)
