"""What `TDVP` and `LogRatio` share: samples, the choice of the step, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from vanbench.exact.statistics import effective_fraction
from vanbench.exact.warning import RunWarning
from vanbench.neural.ensemble import Parameters
from vanbench.neural.run.estimators import Increment
from vanbench.neural.trackers.base import Diverged, Observed, Problem, Step, Tracker
from vanbench.neural.trackers.options import SUMMED, Numbers, option
from vanbench.neural.trackers.proposal import Batch, draw
from vanbench.neural.trackers.tangent import integrate
from vanbench.neural.trackers.tangent.limit import Recent
from vanbench.neural.trackers.tangent.regression import Velocity

TOLERANCES = {"path": 1e-3, "ln_Z": 2e-2}
OVERFIT = 8.0  # of ``unseen``: in healthy runs it is about 1, at times 5


@dataclass
class Flow:
    """``batch``: samples of the networks as they are; ``ahead``: the velocity on it, where the last step knows it."""

    batch: Batch
    next_dt: float
    ln_z: Tensor
    damping: float
    ahead: Velocity | None = None
    recent: Recent | None = None


@dataclass(frozen=True)
class Tangent(Tracker[Flow]):
    """Each method says how far a step goes; the error of the step determines the next one."""

    saved = (Flow, Batch, Velocity, Increment, Recent)

    dt: float = option(0.2, "longest time step; the first step is a sixteenth of it", above=0)
    control: str = option(
        "path",
        "what controls the time step: `path`, its error in the Fisher norm, for every generator; or `ln_Z`, the "
        "difference of the Euler and the second-order increment relative to ln Z, which has no effect at s = 0",
        among=("path", "ln_Z"),
    )
    tolerance: float = option(
        0.0, "error of a step that `control` allows besides the noise; 0: 0.001 for path, 0.02 for ln_Z", least=0
    )
    samples: int = option(2000, "configurations per stage", least=10)
    measure: int = option(0, "samples for the observables; those of the next stage are used if they are enough")
    damping: float = option(1e-5, "added to the diagonal of the Fisher matrix, in units of its mean", least=0)
    tilts: Numbers | None = option(
        None,
        "tilts towards value 0: for each, some samples come from the tilted network; default: 1,2,4, or none if values "
        "are measurement outcomes or a density has no site biases",
    )
    share: float = option(0.1, "fraction of the samples that come from tilted networks", above=0, below=1)
    full_summation: bool | None = option(None, SUMMED.format(16))

    @property
    def path(self) -> Literal["", "P", "psi"]:
        return "P"

    @property
    def longest_step(self) -> float:
        return self.dt

    @property
    def allowed(self) -> float:
        return self.tolerance or TOLERANCES[self.control]

    @property
    def pace(self) -> float:
        """Of what is stepped, in units of the generator."""
        return 1.0

    @property
    def stable(self) -> float:
        return integrate.MIDPOINT.stable

    def init(self, problem: Problem) -> Flow:
        if self.summed(problem):
            problem.summed_states()
        ln_z = torch.zeros(len(problem.s), device=problem.ensemble.device)
        first = self.dt / integrate.FIRST
        return Flow(self.draw(problem), min(first, problem.opened / 2) if problem.opened else first, ln_z, self.damping)

    def observe(self, problem: Problem, state: Flow) -> Observed:
        if self.summed(problem):
            return problem.everything()
        if self.measure <= state.batch.plain:
            return Observed(state.batch.x[:, : state.batch.plain])
        return Observed(problem.sample(self.measure))

    def draw(self, problem: Problem) -> Batch:
        if self.summed(problem):
            return Batch.of_all(problem, problem.summed_states())
        return draw(problem, self.samples, self.tilted(problem), self.share)

    def tilted(self, problem: Problem) -> tuple[float, ...]:
        if self.tilts is None:
            plain = problem.system.quantum is not None or not problem.ensemble.net.tiltable
            return () if plain else (1.0, 2.0, 4.0)
        return self.tilts

    def finish(
        self,
        problem: Problem,
        state: Flow,
        before: Parameters,
        dt: float,
        rates: tuple[Increment, Increment],
        next_dt: float,
        told: dict[str, Tensor],
        batch: Batch | None = None,
    ) -> tuple[Flow, Step]:
        """Bank the increment of ``ln Z``, ``dt`` times the second of ``rates``, the first being that of Euler; take
        the ``batch`` of the next step or draw it. ``next_dt`` is the next step by the path."""
        euler, rate = rates
        if not torch.isfinite(rate.value).all():
            problem.ensemble.load(before)
            raise Diverged("the step is not finite; the last good networks were kept: take more damping or samples.")
        stiffness = self._stiffness(problem, state.batch, dt)
        ess = torch.ones_like(dt * rate.value) if state.batch.exact else effective_fraction(state.batch.mean)
        batch = batch or self.draw(problem)
        increment = Increment(dt * rate.value, dt**2 * rate.covariance)
        ln_z = state.ln_z + increment.value
        if self.control == "ln_Z":
            next_dt = self._next_by_ln_z(problem, ln_z, dt, euler, rate)
        if (largest := float(stiffness.max())) > 0:
            next_dt = min(next_dt, integrate.SAFE * self.stable * dt / largest)
        warnings = self._warnings(problem, dt, stiffness, told.get("unseen", ln_z * 0))
        told = {"ess": ess, **told, "dt": torch.full_like(ln_z, dt), "stiffness": stiffness}
        step = Step(dt, {"regression": increment}, "regression", told, warnings=warnings)
        return replace(state, batch=batch, next_dt=next_dt, ln_z=ln_z, ahead=None), step

    def next_by_path(self, dt: float, error: Tensor, power: int) -> float:
        """``error`` ``(R,)`` in the Fisher norm, without noise."""
        factor = integrate.SAFE * (self.allowed / max(float(error.max()), 1e-300)) ** (1 / power)
        return max(integrate.adapted(dt, self.dt, factor), self.dt / integrate.SHORTEST)

    def _next_by_ln_z(self, problem: Problem, ln_z: Tensor, dt: float, euler: Increment, rate: Increment) -> float:
        """The difference between the Euler and the second-order increment grows like the square of the step."""
        controlled = torch.tensor([value != 0 for value in problem.s], device=ln_z.device)
        if not controlled.any():
            return min(self.dt, integrate.GROWS * dt)
        spread = dt * (euler.covariance + rate.covariance).diagonal().sqrt()
        error = ((dt * (rate.value - euler.value)).abs() - 2 * spread).clamp_min(1e-300)
        allowed = self.allowed * ln_z.abs().clamp_min(1e-6)
        return integrate.adapted(dt, self.dt, float((allowed / error)[controlled].min()) ** 0.5)

    def _stiffness(self, problem: Problem, batch: Batch, dt: float) -> Tensor:
        """``dt`` times the largest rate that the samples show, ``(R,)``: of a classical generator the largest escape
        rate, which where detailed balance holds no decay rate of the whole falls short of; 0 of an open system."""
        if problem.system.quantum is not None:
            return torch.zeros(len(problem.s), device=problem.ensemble.device)
        return -dt * self.pace * problem.connections.diagonal(batch.x).amin(1).double()

    def _warnings(self, problem: Problem, dt: float, stiffness: Tensor, unseen: Tensor) -> list[RunWarning]:
        largest, most, off = float(stiffness.max()), self.stable, float(unseen.max())
        out = []
        if largest > most:
            text = f"dt = {dt:.3g} times the largest rate seen is {largest:.2g}: explicit steps are unstable above "
            text += f"{most:.2g} and may fail without another warning; take dt below {dt * most / largest:.2g}"
            out.append(RunWarning("time step", text))
        if off > OVERFIT:
            text = f"on fresh samples, a velocity fitted on {self.samples} misses {off:.2g} times what it should "
            text += "explain: it fits their noise; take more samples than the network has parameters, "
            out.append(RunWarning("noise", f"{text}{problem.ensemble.n_parameters}, or more damping"))
        return out


def spread(batch: Batch, values: Tensor) -> Tensor:
    """Over the networks, ``(R,)``."""
    mean = (batch.mean * values).sum(1, keepdim=True)
    return (batch.mean * (values - mean).square()).sum(1).sqrt()
