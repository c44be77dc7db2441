"""The time-dependent variational principle: the parameters flow along the best tangent vector, no inner training.

``theta' = F^-1 <O (E - <E>)>`` with ``E(x) = (W_s p)(x) / p(x)``, and ``d ln Z/dt = <E>``; explicit midpoint or
Runge-Kutta steps. ``E`` may be signed, so any generator of local terms will do, a Lindbladian in a POVM basis too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.statistics import effective_fraction
from vanbench.exact.warning import RunWarning
from vanbench.neural.ensemble import Parameters
from vanbench.neural.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import MAX_SUMMED, Diverged, Problem, Step
from vanbench.neural.trackers.proposal import Batch, checked, draw
from vanbench.neural.trackers.regression import Velocity, regress, scores

# where the stages after the first stand in the step, each reached along the velocity before it, and all their weights
STAGES = {2: ((0.5,), (0.0, 1.0)), 4: ((0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6))}
STABLE = {2: 2.0, 4: 2.785}  # by order: explicit steps amplify what decays faster than this divided by dt

ROUNDING = 1e-8  # of the local quantity, in units of the escape rates whose difference it is
OVERFIT = 8.0  # of ``unseen``: in healthy runs it is about 1, at times 5
MISSED = 6.0  # standard errors between two estimates of the growth: in healthy runs below 3
HALVINGS = 6  # of one step whose samples do not carry the growth


class TDVP:
    """Follows ``dP/dt = W_s P`` with ``samples`` fresh configurations a stage.

    ``<(W_s p)(x) / p(x)> = <(W_s^T 1)(x)>`` over ``p``, but not on samples of a ``p`` that has lost configurations
    which probability flows into. A step in which the two come to lie more than 6 standard errors apart is repeated with
    half of ``dt``; ``Diverged`` is raised where that does not help.

    The standard error of ``ln Z`` adds up the noise of the rates. What the noise of a step changes in the later ones is
    not in it: on the chain FA 6 at ``s = 0.3`` the scatter over seeds is three times as large.

    dt
        the largest time step.
    order
        2: the midpoint rule, two stages; 4: the classical Runge-Kutta rule, four stages. It also holds for
        oscillations, those of a Lindbladian, up to ``dt |lambda| = 2.8``, and averages the noise over its stages.
    tolerance
        the step is chosen so that the Euler and the midpoint increment of ``ln Z`` differ by less than this fraction of
        ``ln Z``, or by less than the noise; steps start at ``dt / 16``. At ``s = 0``, where ``ln Z`` stays zero, they
        only grow to ``dt``.
    samples
        configurations a stage.
    measure
        configurations that the observables are measured on; those of the next stage where that is no more than them.
    damping
        of the Fisher matrix, in units of its mean diagonal.
    tilts, share
        a ``share`` of the samples comes from the network tilted towards value 0 by each of ``tilts`` (see `proposal`);
        1, 2 and 4 by default, none where the values are measurement outcomes.
    full_summation
        sum over all configurations instead of sampling (up to 2^16 states).
    """

    pace = 1.0  # of what is stepped, in units of the generator

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.2,
        tolerance: float = 2e-2,
        samples: int = 2000,
        order: int = 2,
        measure: int = 0,
        damping: float = 1e-5,
        tilts: tuple[float, ...] | float | None = None,
        share: float = 0.1,
        full_summation: bool = False,
    ):
        if tilts is None:
            tilts = (1.0, 2.0, 4.0) if problem.system.quantum is None else ()
        self.tilts = checked(tilts)
        if not (dt > 0 and tolerance > 0 and damping >= 0 and 0 < share < 1):
            raise InputError("dt and tolerance must be positive, damping not negative, share between 0 and 1.")
        if order not in (2, 4):
            raise InputError(f"order = {order}: it must be 2 (midpoint) or 4 (Runge-Kutta).")
        if samples < 10:
            raise InputError(f"samples = {samples}: tdvp needs at least 10 for its regression.")
        self.problem, self.dt, self.tolerance, self.samples = problem, dt, tolerance, samples
        self.damping, self.share, self.order, self.measure = damping, share, order, measure
        self.states = problem.all_states() if full_summation else None
        if self.states is not None and self.states.shape[1] > MAX_SUMMED:
            raise InputError(f"full summation is for at most {MAX_SUMMED} states; this system has more.")
        self.controlled = torch.tensor([value != 0 for value in problem.s], device=problem.ensemble.device)
        self.next_dt, self.ln_z = dt / 16, torch.zeros(len(problem.s), device=problem.ensemble.device)
        self.batch = self._draw()
        self.ahead: Velocity | None = None  # on this batch, where the last step has found it
        self._measured: Tensor | None = None

    @property
    def measured(self) -> Tensor:
        """Configurations of the network as it is, for observables."""
        if self.measure <= self.batch.plain:
            return self.batch.x[:, : self.batch.plain]
        if self._measured is None:
            self._measured = self.problem.sample(self.measure)
        return self._measured

    def state(self) -> Mapping[str, Any]:
        own = {"next_dt": self.next_dt, "ln_z": self.ln_z, "measured": self._measured}
        return {**own, "batch": vars(self.batch)}

    def load(self, state: Mapping[str, Any]) -> None:
        self.next_dt, self.ln_z, self.batch = state["next_dt"], state["ln_z"], Batch(**state["batch"])
        self._measured, self.ahead = state["measured"], None

    def local(self, x: Tensor, log_prob: Tensor) -> Tensor:
        """The local quantity that is regressed, ``(W_s p)(x) / p(x)``, ``(R, batch)``."""
        return self.problem.local_ratio(x, self.problem.ensemble.parameters, log_prob)

    @torch.no_grad()
    def step(self, limit: float) -> Step:
        dt, before = self._span(limit), self.problem.ensemble.frozen()
        first = self.ahead or self._velocity(self.batch)
        for halved in range(HALVINGS):
            stages, batches = self._stages(dt, before, first)
            if max(map(self._missed, stages[1:], batches)) <= MISSED:
                step = self._taken(dt, before, stages, batches[-1])
                if halved:
                    text = f"the samples did not carry the growth of ln Z, and the step was cut to {dt:.2g}: they miss "
                    text += "configurations that probability flows into; take more samples, or a smaller dt"
                    step.warnings.append(RunWarning("growth", text))
                return step
            dt /= 2
        raise Diverged(
            f"the samples no longer carry the growth, and steps down to dt = {2 * dt:.2g} do not help; the last good "
            "networks were kept: take a smaller dt from the start, or more samples."
        )

    def _stages(self, dt: float, before: Parameters, first: Velocity) -> tuple[list[Velocity], list[Batch]]:
        """Velocities at the stages of a step and where it ends, and the batches of all but the first; moves there."""
        nodes, weights = STAGES[self.order]
        stages, batches = [first], []
        for node in (*nodes, 1.0):
            ends = len(stages) == len(weights)
            direction = _weighted(weights, [stage.direction for stage in stages]) if ends else stages[-1].direction
            self.problem.ensemble.move(before, direction, node * dt)
            batches.append(self._draw())
            stages.append(self._velocity(batches[-1], direction))
        return stages, batches

    def _taken(self, dt: float, before: Parameters, stages: list[Velocity], batch: Batch) -> Step:
        weights = STAGES[self.order][1]
        value = _weighted(weights, [stage.mean.value for stage in stages])
        covariance = _weighted([w**2 for w in weights], [stage.mean.covariance for stage in stages])
        fit = {"residual": stages[1].residual, "unseen": stages[1].unseen, "path": dt * stages[1].speed}
        step = self._finish(dt, before, stages[0].mean, Increment(value, covariance), fit, batch)
        self.ahead = stages[-1]
        return step

    def _span(self, limit: float) -> float:
        """The next step: what error control allows, cut so that ``limit`` is met."""
        pieces = max(1, math.ceil(limit / self.next_dt - 1e-9))
        return limit / pieces if pieces < 3 else self.next_dt

    def _missed(self, velocity: Velocity, batch: Batch) -> float:
        """How far ``<(W_s p)(x) / p(x)>`` is from ``<(W_s^T 1)(x)>``, in standard errors; the most of all fields.

        The error has the largest escape rate once in the batch added, for what no sample has shown. 0 where the local
        quantity is another, for which this does not hold.
        """
        if batch.exact or type(self).local is not TDVP.local:
            return 0.0
        connections, n = self.problem.connections, batch.x.shape[1]
        growth = connections.column_sum(batch.x).double()
        mean = (batch.mean * growth).sum(1)
        noise = covariance_of_means(n * batch.mean * (growth - mean[:, None])) + velocity.mean.covariance
        unseen = connections.diagonal(batch.x).abs().amax(1).double() / n
        error = (noise.diagonal() + unseen.square()).sqrt().clamp_min(1e-300)
        return float(((velocity.mean.value - mean).abs() / error).max())

    def _finish(
        self,
        dt: float,
        before: Parameters,
        euler: Increment,
        rate: Increment,
        diagnostics: dict[str, Tensor],
        batch: Batch | None = None,
    ) -> Step:
        """Bank the increment ``dt * rate``, take the ``batch`` of the next step or draw it, and choose its length."""
        if not torch.isfinite(rate.value).all():
            self.problem.ensemble.load(before)
            raise Diverged("the step is not finite; the last good networks were kept: take more damping or samples.")
        stiffness = self._stiffness(dt)
        ess = effective_fraction(self.batch.mean)
        self.batch, self._measured = batch or self._draw(), None
        increment = Increment(dt * rate.value, dt**2 * rate.covariance)
        self.ln_z = self.ln_z + increment.value
        self._adapt(dt, euler, rate)
        warnings = self._warnings(dt, stiffness, diagnostics.get("unseen", self.ln_z * 0))
        diagnostics = {"ess": ess, **diagnostics, "dt": torch.full_like(self.ln_z, dt), "stiffness": stiffness}
        return Step(dt, {"regression": increment}, "regression", diagnostics, warnings=warnings)

    def _stiffness(self, dt: float) -> Tensor:
        """``dt`` times the largest rate that the samples show, ``(R,)``: of a classical generator the largest escape
        rate, which where detailed balance holds no decay rate of the whole falls short of; 0 of an open system."""
        if self.problem.system.quantum is not None:
            return torch.zeros_like(self.ln_z)
        return -dt * self.pace * self.problem.connections.diagonal(self.batch.x).amin(1).double()

    def _warnings(self, dt: float, stiffness: Tensor, unseen: Tensor) -> list[RunWarning]:
        largest, most, off = float(stiffness.max()), STABLE[self.order], float(unseen.max())
        found = []
        if largest > most:
            text = f"dt = {dt:.3g} times the largest rate seen is {largest:.2g}: explicit steps are unstable above "
            text += f"{most:.2g} and may go wrong without another sign; take dt below {dt * most / largest:.2g}"
            found.append(RunWarning("time step", text))
        if off > OVERFIT:
            text = f"on fresh samples a velocity fitted on {self.samples} is off by {off:.2g} times what it should "
            text += "explain: it follows their noise; take more samples than the network has parameters, "
            found.append(RunWarning("noise", f"{text}{self.problem.ensemble.n_parameters}, or more damping"))
        return found

    def _adapt(self, dt: float, euler: Increment, rate: Increment) -> None:
        """The next step: the difference between the Euler and the second-order increment grows like its square."""
        if not self.controlled.any():
            self.next_dt = min(self.dt, 1.5 * dt)
            return
        noise = dt * (euler.covariance + rate.covariance).diagonal().sqrt()
        error = ((dt * (rate.value - euler.value)).abs() - 2 * noise).clamp_min(1e-300)
        allowed = self.tolerance * self.ln_z.abs().clamp_min(1e-6)
        factor = float((allowed / error)[self.controlled].min()) ** 0.5
        self.next_dt = min(self.dt, dt * min(1.5, max(0.5, factor)))

    def _draw(self) -> Batch:
        if self.states is not None:
            return Batch.of_all(self.problem, self.states)
        return draw(self.problem, self.samples, self.tilts, self.share)

    def _velocity(self, batch: Batch, other: Tensor | None = None) -> Velocity:
        local = self.local(batch.x, batch.log_prob)
        found = regress(scores(self.problem.ensemble, batch.x), local, batch, self.damping, other)
        rounding = local.std(1) <= ROUNDING * self.problem.connections.diagonal(batch.x).abs().amax(1)
        found.unseen[rounding] = 0.0  # the start is stationary: nothing there to explain
        return found


def _weighted(weights: Sequence[float], values: list[Tensor]) -> Tensor:
    return torch.stack([weight * value for weight, value in zip(weights, values)]).sum(0)


class SteadyTDVP(TDVP):
    """The steady state as where `TDVP` in time ends: report times are compared with the steady state.

    The noise of a step is that of ``(L p)/p``, which vanishes there.
    """

    stationary = True
