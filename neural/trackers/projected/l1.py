"""The published methods of open systems, fitted in the L1 norm: Luo et al., Phys. Rev. Lett. 128, 090501 (2022).

In time ("dyn"): ``(1 - dt L/2) p_{t+dt} = (1 + dt L/2) p_t``, implicit trapezoidal steps, second order and stable for
any step; ``dt`` is twice the published ``tau``. The steady state ("var"): ``min |L p|_1``, whose time counts
iterations; or that first, and from its network steps in time ("var+dyn").

Of the supplement's interpolations, with ``C = |p - p_0 - dt L (p + p_0)/2|_1`` of a step from ``p_0``:

- S23: ``lambda C + (1 - lambda) |L p|_1``, ``lambda`` raised from 0 to 1 over the time ``ramp`` while the dynamics
  go on (``dynamics``, ``iterations = 0``): wrong on the way, accurate in the steady state. To change at once is
  "var+dyn".
- S25: ``lambda |L p|_1 - (1 - lambda) sum_x p(x) sgn (L p)(x)``, the sign held constant in the gradient: ``between =
  "signs"``, ``lambda = 1 - mix``. Where ``p = p_0``, the gradient of ``C`` is of this form (S24), ``lambda / (1 -
  lambda) = dt / 2``.

With the other values of ``between``, ours, ``mix = w`` lies between the steady objective, ``w = 0``, and a step of
length ``span``, ``w = 1``, from ``p_0``, the network as it was at the last multiple of ``refresh`` iterations; both
are zero in the steady state:

- ``"norms"``: ``(1 - w) |L p|_1 + w C / span``, which is S23 at a constant ``lambda = w / (w + (1 - w) span)``;
- ``"residuals"``: ``|(w/span) (p - p_0) - L ((1 - w/2) p + (w/2) p_0)|_1``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.backend.adam import Moments
from vanbench.neural.ensemble import Parameters
from vanbench.neural.run.estimators import Increment
from vanbench.neural.trackers.base import PLAIN, Observed, Problem, Step, Tracker, Variant
from vanbench.neural.trackers.options import SUMMED, option
from vanbench.neural.trackers.projected.residual import L1Fit, Residual, cooled, table


@dataclass
class Descent:
    """Moments of Adam in time steps; for the steady state its own, its iterations so far, and ``p_0``; the time."""

    moments: Moments
    steady: Moments
    iterations: int = 0
    before: Parameters | None = None
    t: float = 0.0  # of the steps in time so far


@dataclass(frozen=True)
class L1(Tracker[Descent]):
    """Minimises the L1 norm of the equation's residual, for time steps or the steady state; for signed generators."""

    name = "l1"
    variants = (
        Variant("hundreds of iterations of Adam per step, each with neighbours of its samples", needs=(PLAIN,)),
        Variant(
            "hundreds of iterations of Adam, and then as in time", gives="observables of the steady state",
            when={"dynamics": True}, target="steady", needs=(PLAIN,), steady=True,
        ),
        Variant(
            "hundreds of iterations of Adam, which are its time", gives="observables of the steady state",
            target="steady", needs=(PLAIN,), steady=True, iterations=True,
        ),
    )  # fmt: skip
    saved = (Descent, Moments)

    samples: int = option(1000, "configurations drawn per iteration (published: 12000)", least=2)
    learning_rate: float = option(1e-2, "learning rate of Adam in time steps", above=0)
    neighbours: int = option(
        8, "neighbours of each configuration that are differentiated, drawn by their share of the gradient; 0: all, as "
        "published (costly)",
    )  # fmt: skip
    measure: int = option(0, "samples for the observables; 0: four times `samples`")
    full_summation: bool | None = option(None, SUMMED.format(18))
    dt: float = option(0.016, "longest time step; equal shorter steps are taken to meet a report time", above=0)
    epochs: int = option(120, "iterations per time step", least=1)
    decay: float = option(
        0.05, "the learning rate falls to this fraction in the second half of each step; 1 keeps it", above=0, most=1
    )
    window: float = option(0.2, "last fraction of a step's iterations, whose loss is reported", above=0, most=1)
    dynamics: bool = option(False, "target steady: after the steady objective, continue with steps in time")
    iterations: int = option(
        500, "target steady: iterations over which the learning rate falls; with `dynamics`, all iterations"
    )
    steady_rate: float = option(1e-2, "target steady: learning rate of Adam", above=0)
    steady_decay: float = option(
        0.02, "target steady: the rate falls to this fraction in the second half of the iterations", above=0, most=1
    )
    ramp: float = option(
        0.0, "with `dynamics`: time over which the objective changes from the steady state's to that of a step (S23)",
        least=0,
    )  # fmt: skip
    mix: float = option(
        0.0,
        "target steady: 0 minimises the norm of L p, 1 the objective of a time step, see `between`",
        least=0,
        most=1,
    )
    between: str = option(
        "norms", "target steady: mix L p with a time step as two norms, in one norm, or with signs of L p (S25)",
        among=("norms", "residuals", "signs"),
    )  # fmt: skip
    span: float = option(0.1, "target steady: length of the time step in `between`", above=0)
    refresh: int = option(
        10, "target steady: iterations after which this step restarts from the present network", least=1
    )

    @property
    def path(self) -> Literal["", "P", "psi"]:
        return "P"

    @property
    def longest_step(self) -> float:
        return self.dt

    def init(self, problem: Problem) -> Descent:
        if list(problem.s) != [0.0]:
            raise InputError("the L1 objectives follow the plain evolution: take --s 0, or tdvp for a counting field.")
        if self.ramp and not self.dynamics:
            raise InputError("ramp applies to steps in time towards the steady state: set dynamics = true as well.")
        if problem.target == "steady" and not (self.dynamics or self.iterations):
            raise InputError("iterations = 0: the steady objective needs at least 1.")
        if self.summed(problem):
            problem.derived(table)
        parameters = list(problem.ensemble.parameters.values())
        return Descent(Moments.of(parameters), Moments.of(parameters))

    def step(self, problem: Problem, state: Descent, limit: float) -> tuple[Descent, Step]:
        """In time, or one iteration towards the steady state."""
        if problem.target == "steady" and not self.dynamics:
            state, loss = self._descend(problem, state, 1)
            return state, _conserved(1.0, problem, loss)
        if problem.target == "steady" and state.iterations < self.iterations:
            state, _ = self._descend(problem, state, self.iterations)
        step = self._in_time(problem, state, limit)
        return replace(state, t=state.t + step.dt), step

    def observe(self, problem: Problem, state: Descent) -> Observed:
        if self.summed(problem):
            states = problem.derived(table)
            return Observed(states, problem.log_prob_all(states).double().exp())
        return Observed(problem.sample(self.measure or 4 * self.samples))

    def _fit(self, problem: Problem, moments: Moments, rate: float) -> L1Fit:
        return L1Fit(problem, moments, self.samples, self.neighbours, rate, self.summed(problem))

    def _in_time(self, problem: Problem, state: Descent, limit: float) -> Step:
        """Whatever stops the iterations, the networks of before come back."""
        dt = limit / max(1, math.ceil(limit / self.dt - 1e-9))
        before, fit = problem.ensemble.frozen(), self._fit(problem, state.moments, self.learning_rate)
        residuals, losses = ramped(dt, min(1.0, state.t / self.ramp) if self.ramp else 1.0), []
        try:
            for epoch in range(self.epochs):
                losses.append(fit.iterate(residuals, before, cooled(epoch / self.epochs, self.decay)))
        except Exception:
            problem.ensemble.load(before)
            raise
        last = max(1, round(self.window * self.epochs))
        loss, path = torch.stack(losses[-last:]).mean(0), losses[0]
        step = _conserved(dt, problem, loss)
        # the first objective is the length |dt L p|_1 of a step; near a steady state there is nothing to follow
        if problem.target == "time" and not self.ramp:
            step.diagnostics |= {"path": path, "residual": loss / path.clamp_min(1e-300)}
        return step

    def _descend(self, problem: Problem, state: Descent, iterations: int) -> tuple[Descent, Tensor]:
        """Iterations towards the steady state, and the objective before the last of them."""
        residuals = interpolated(self.mix, self.between, self.span)
        fit, done, before = self._fit(problem, state.steady, self.steady_rate), state.iterations, state.before
        for _ in range(iterations):
            if done % self.refresh == 0 or before is None:
                before = problem.ensemble.frozen()
            loss = fit.iterate(residuals, before, cooled(done / max(1, self.iterations), self.steady_decay))
            done += 1
        return replace(state, iterations=done, before=before), loss


def step_residual(dt: float) -> Residual:
    """What a trapezoidal step of length ``dt`` makes zero."""
    return Residual(weight=1.0, own=1.0, flow=-dt / 2, old=-1.0, old_flow=-dt / 2)


def ramped(dt: float, share: float) -> list[Residual]:
    """``share`` of the objective of a step, the rest that of the steady state (S23)."""
    parts = [replace(step_residual(dt), weight=share), Residual(weight=1 - share, own=0.0, flow=1.0)]
    return [part for part in parts if part.weight]


def interpolated(mix: float, between: str, span: float) -> list[Residual]:
    """The objective between ``|L p|_1`` (``mix`` 0) and a step, or signs (1)."""
    if mix == 0:
        return [Residual(weight=1.0, own=0.0, flow=1.0)]
    if between == "signs":
        return [Residual(weight=1 - mix, own=0.0, flow=1.0, signs=-mix)]
    if between == "norms":
        step = Residual(weight=mix, own=1 / span, flow=-0.5, old=-1 / span, old_flow=-0.5)
        return [Residual(weight=1 - mix, own=0.0, flow=1.0), step] if mix < 1 else [step]
    return [Residual(weight=1.0, own=mix / span, flow=-(1 - mix / 2), old=-mix / span, old_flow=-mix / 2)]


def _conserved(dt: float, problem: Problem, loss: Tensor) -> Step:
    """A step that keeps the total probability: ``ln Z`` stays where it is."""
    zero = torch.zeros(len(problem.s), dtype=torch.float64, device=problem.ensemble.device)
    return Step(dt, {"conserved": Increment.certain(zero)}, "conserved", {"loss": loss})
