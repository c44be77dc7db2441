"""The time-dependent variational principle: the parameters flow along the best tangent vector, no inner training.

``theta' = F^-1 <O (E - <E>)>`` with ``E(x) = (W_s p)(x) / p(x)``, and ``d ln Z/dt = <E>``; explicit midpoint or
Runge-Kutta steps (`integrate`). ``E`` may be signed, so any generator of local terms will do, a Lindbladian in a POVM
basis too. In the symmetrised picture the networks hold the square of an `amplitude`.

``<(W_s p)(x) / p(x)> = <(W_s^T 1)(x)>`` over ``p``, but not on samples of a ``p`` that has lost configurations which
probability flows into. A step in which the two come to lie more than 6 standard errors apart is repeated with half of
``dt``; ``Diverged`` is raised where that does not help.

The standard error of ``ln Z`` adds up the noise of the rates. What the noise of a step changes in the later ones is not
in it: on the chain FA 6 at ``s = 0.3`` the scatter over seeds is three times as large.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from vanbench.exact.warning import RunWarning
from vanbench.neural.ensemble import Parameters
from vanbench.neural.run.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import BALANCE, Diverged, Problem, Step, Variant
from vanbench.neural.trackers.options import option
from vanbench.neural.trackers.proposal import Batch
from vanbench.neural.trackers.tangent import amplitude, integrate, limit
from vanbench.neural.trackers.tangent.limit import Recent
from vanbench.neural.trackers.tangent.regression import Velocity, regress, scores
from vanbench.neural.trackers.tangent.tangent import OVERFIT, Flow, Tangent, spread

ROUNDING = 1e-8  # of the local quantity, in units of the escape rates whose difference it is
MISSED = 6.0  # standard errors between two estimates of the growth: in healthy runs below 3
HALVINGS = 6  # of one step whose samples do not carry the growth
LEAST_DAMPED, MOST_DAMPED = 1e-6, 1e-2  # where a fit follows the noise of its samples, it is damped ten times more
RELAXED = 0.9  # of that damping, a step later
SYMMETRISED = {"picture": "symmetrised"}
MIDDLE = "ln Z and observables in the middle"


@dataclass(frozen=True)
class TDVP(Tangent):
    """Moves the parameters along the best tangent vector, by regressions on samples; for any generator."""

    name = "tdvp"
    variants = (
        Variant("a regression per stage, two or four stages per step", when={"picture": "forward"}),
        Variant(
            "a regression per stage, two or four stages per step", gives="observables of the steady state",
            when={"picture": "forward"}, target="steady", steady=True,
        ),
        Variant("the same, in half the steps", gives=MIDDLE, when=SYMMETRISED, needs=(BALANCE,), middle=True),
        Variant(
            "the same until the rate is constant, then nothing", gives="the scgf, ln Z at any time",
            when=SYMMETRISED, target="steady", needs=(BALANCE,), middle=True,
        ),
    )  # fmt: skip

    picture: str = option(
        "forward", "`forward` follows P; `symmetrised` the square of its amplitude, for half the time",
        among=("forward", "symmetrised"),
    )  # fmt: skip
    order: int = option(
        2, "2: midpoint rule, two stages; 4: classical Runge-Kutta rule, four stages, which is also stable for "
        "oscillations at frequencies up to 2.8 / dt, and averages the noise over its stages", among=(2, 4),
    )  # fmt: skip
    window: float = option(
        5.0, "target steady, symmetrised: time over which the rate is averaged and must not change; take it longer "
        "than the slowest relaxation", above=0,
    )  # fmt: skip
    still: float = option(
        1e-3, "target steady, symmetrised: relative change between two windows that counts as none", above=0
    )

    @property
    def path(self) -> Literal["", "P", "psi"]:
        return "psi" if self.picture == "symmetrised" else "P"

    @property
    def pace(self) -> float:
        return 0.5 if self.picture == "symmetrised" else 1.0

    @property
    def stable(self) -> float:
        return integrate.SCHEMES[self.order].stable

    def init(self, problem: Problem) -> Flow:
        state = super().init(problem)
        if self.picture == "symmetrised":
            amplitude.check_balance(problem)
            if problem.target == "steady":
                state.recent = Recent()
        return state

    @torch.no_grad()
    def step(self, problem: Problem, state: Flow, until: float) -> tuple[Flow, Step]:
        if state.recent is None:
            return self._flow(problem, state, until)
        if state.recent.reached:
            recent, step = limit.extrapolated(state.recent, self.window, until)
            return replace(state, recent=recent), step
        state, step = self._flow(problem, state, until)
        assert state.recent is not None
        recent, told = limit.followed(state.recent, step.dt, step.increments["regression"], self.window, self.still)
        step.diagnostics.update(told)
        return replace(state, recent=recent), step

    def local(self, problem: Problem, x: Tensor, log_prob: Tensor) -> Tensor:
        """The local quantity that is regressed, ``(W_s p)(x) / p(x)``, ``(R, batch)``."""
        if self.picture == "symmetrised":
            return amplitude.local(problem, x, log_prob)
        return problem.local_ratio(x, problem.ensemble.parameters, log_prob)

    def _flow(self, problem: Problem, state: Flow, until: float) -> tuple[Flow, Step]:
        dt, before = integrate.cut(state.next_dt, until), problem.ensemble.frozen()
        damping, first, halved = state.damping, state.ahead, 0
        while halved < HALVINGS:
            try:
                first = first or self._velocity(problem, state.batch, damping)
                stages, batches = self._stages(problem, dt, before, first, damping)
            except Diverged:
                problem.ensemble.load(before)
                dt, halved = dt / 2, halved + 1
                continue
            if _overfit(stages) and damping < MOST_DAMPED:
                problem.ensemble.load(before)
                damping, first = min(MOST_DAMPED, max(10 * damping, LEAST_DAMPED)), None
                continue
            missed = max(self._missed(problem, *pair) for pair in zip(stages[1:], batches)) > MISSED
            next_dt = dt
            if not missed and self.control == "path":
                error = self._error(problem, state.batch, dt, stages)
                next_dt = self.next_by_path(dt, error, integrate.SCHEMES[self.order].power)
                if float(error.max()) > integrate.REFUSED * self.allowed and next_dt < dt:
                    dt = next_dt
                    continue
            if not missed:
                after, step = self._taken(problem, state, before, dt, stages, next_dt, batches[-1])
                after = replace(after, damping=max(self.damping, RELAXED * damping))
                if halved:
                    text = f"the samples did not show the growth of ln Z, and the step was cut to {dt:.2g}: they miss "
                    text += "configurations into which probability flows; take more samples, or a smaller dt"
                    step.warnings.append(RunWarning("growth", text))
                return after, step
            dt, halved = dt / 2, halved + 1
        raise Diverged(
            f"the samples no longer show the growth, and steps down to dt = {2 * dt:.2g} do not help; the last good "
            "networks were kept: take a smaller dt from the start, or more samples."
        )

    def _stages(
        self, problem: Problem, dt: float, before: Parameters, first: Velocity, damping: float
    ) -> tuple[list[Velocity], list[Batch]]:
        """Velocities at the stages of a step and where it ends, and the batches of all but the first; moves there."""
        scheme = integrate.SCHEMES[self.order]
        stages, batches = [first], []
        for node in (*scheme.nodes, 1.0):
            ends, own = len(stages) == len(scheme.weights), [stage.direction for stage in stages]
            direction = integrate.weighted(scheme.weights, own) if ends else own[-1]
            problem.ensemble.move(before, direction, node * dt)
            batches.append(self.draw(problem))
            stages.append(self._velocity(problem, batches[-1], damping, direction))
        return stages, batches

    def _error(self, problem: Problem, start: Batch, dt: float, stages: list[Velocity]) -> Tensor:
        """The distance to the solution of one order less in the Fisher norm, beyond twice its noise, ``(R,)``.

        A velocity from ``n`` samples is off by ``residual sqrt(P / (n - P))`` of its length.
        """
        ensemble, scheme = problem.ensemble, integrate.SCHEMES[self.order]
        here = ensemble.frozen()
        ensemble.move(here, integrate.weighted(scheme.apart, [stage.direction for stage in stages]), -dt)
        other = ensemble.frozen()
        ensemble.load(here)
        distance = spread(start, problem.log_prob(start.x) - problem.log_prob(start.x, other)).double()
        distance = distance.nan_to_num(nan=torch.inf)
        if start.exact:
            return distance
        n = start.x.shape[1]
        parameters = min(ensemble.n_parameters, n // 2)
        lengths = [stage.residual * stage.speed * (parameters / (n - parameters)) ** 0.5 for stage in stages]
        noise = integrate.noise(scheme, dt, lengths)
        return (distance.square() - 4 * noise.square()).clamp_min(0).sqrt()

    def _taken(
        self, problem: Problem, state: Flow, before: Parameters, dt: float, stages: list[Velocity], next_dt: float,
        batch: Batch,
    ) -> tuple[Flow, Step]:  # fmt: skip
        weights = integrate.SCHEMES[self.order].weights
        value = integrate.weighted(weights, [stage.mean.value for stage in stages])
        covariance = integrate.weighted([w**2 for w in weights], [stage.mean.covariance for stage in stages])
        fit = {"residual": stages[1].residual, "unseen": stages[1].unseen, "path": dt * stages[1].speed}
        rates = stages[0].mean, Increment(value, covariance)
        after, step = self.finish(problem, state, before, dt, rates, next_dt, fit, batch)
        return replace(after, ahead=stages[-1]), step

    def _missed(self, problem: Problem, velocity: Velocity, batch: Batch) -> float:
        """How far ``<(W_s p)(x) / p(x)>`` is from ``<(W_s^T 1)(x)>``, in standard errors; the most of all fields.

        The error has the largest escape rate once in the batch added, for what no sample has shown. 0 for an amplitude,
        for which this does not hold.
        """
        if batch.exact or self.picture == "symmetrised":
            return 0.0
        connections, n = problem.connections, batch.x.shape[1]
        growth = connections.column_sum(batch.x).double()
        mean = (batch.mean * growth).sum(1)
        noise = covariance_of_means(n * batch.mean * (growth - mean[:, None])) + velocity.mean.covariance
        unseen = connections.diagonal(batch.x).abs().amax(1).double() / n
        error = (noise.diagonal() + unseen.square()).sqrt().clamp_min(1e-300)
        return float(((velocity.mean.value - mean).abs() / error).max())

    def _velocity(self, problem: Problem, batch: Batch, damping: float, other: Tensor | None = None) -> Velocity:
        local = self.local(problem, batch.x, batch.log_prob)
        velocity = regress(scores(problem.ensemble, batch.x), local, batch, damping, other)
        rounding = local.std(1) <= ROUNDING * problem.connections.diagonal(batch.x).abs().amax(1)
        velocity.unseen[rounding] = 0.0  # the start is stationary: nothing there to explain
        return velocity


def _overfit(stages: list[Velocity]) -> bool:
    return max(float(stage.unseen.max()) for stage in stages[1:]) > OVERFIT
