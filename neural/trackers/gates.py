"""Time-evolving block decimation on a matrix-product network, without samples and without training.

`exact.mps.evolution` steps a matrix product state, and the network becomes what that is. Signed generators will do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.mps.evolution import Evolution
from vanbench.exact.warning import RunWarning
from vanbench.neural.architectures.matrix_product import MatrixProduct
from vanbench.neural.estimators import Increment
from vanbench.neural.trackers.base import Diverged, Measuring, Problem, Step

TOO_MUCH = 5e-3  # cut in all: stored runs beyond it were off in the second digit of spin averages or of k


class Gates(Measuring):
    """Follows ``dP/dt = W_s P`` with the architecture ``matrix-product``; terms on one site or two.

    ``lost`` in the log is the sum of the squares, each as a fraction, that bonds have cut so far.

    dt
        the largest time step; a report time is met by equal shorter ones.
    order
        2: each step goes through the terms and back (Strang); 4: six times through and back, for unequal fractions of
        the step, some negative (S6 of Blanes and Moan).
    cutoff
        squares of what is cut from a bond, as a fraction, that are not missed although the bond has room.
    balanced
        bonds are cut where ``P / sqrt(P_0)``, not ``P``, loses least: it weighs the configurations that are rare at the
        start, which an s-ensemble may live on. The same for a uniform start.
    measure
        samples of the network for the observables.
    full_summation
        observables summed over all configurations instead (up to 2^16 states).
    """

    symmetrised = False
    noiseless = True
    acts_on = "matrix-product"

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.2,
        order: int = 4,
        cutoff: float = 1e-18,
        balanced: bool = False,
        measure: int = 20000,
        full_summation: bool = False,
    ):
        net = problem.ensemble.net
        assert isinstance(net, MatrixProduct)  # `trackers.check_network`
        if not (dt > 0 and 0 <= cutoff < 1 and measure >= 2):
            raise InputError("dt must be positive, cutoff in [0, 1), measure at least 2.")
        self.problem, self.dt, self.measure = problem, dt, measure
        self.states = problem.all_states() if full_summation else None
        self.evolutions = [
            Evolution(problem.system, s, problem.observable, net.bond, cutoff, order, balanced, self.symmetrised)
            for s in problem.s
        ]

    def state(self) -> Mapping[str, Any]:
        states = [evolution.state for evolution in self.evolutions]
        return {
            "tensors": [[torch.from_numpy(np.ascontiguousarray(tensor)) for tensor in s.tensors] for s in states],
            "centres": [s.centre for s in states],
            "discarded": [s.discarded for s in states],
            "measured": self._measured,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        for r, evolution in enumerate(self.evolutions):
            tensors = [tensor.cpu().numpy() for tensor in state["tensors"][r]]
            evolution.state = evolution.state.like(tensors, state["centres"][r])
            evolution.state.discarded = state["discarded"][r]
        self._measured = state["measured"]

    def step(self, limit: float) -> Step:
        dt = limit / max(1, math.ceil(limit / self.dt - 1e-9))
        growth = self.advance(dt)
        if dt == limit:  # a report time
            self.hand_over()
        increment = Increment.certain(torch.as_tensor(growth))
        bonds = self.bonds
        diagnostics = {"lost": self.lost, "bond": bonds}
        return Step(dt, {"gates": increment}, "gates", diagnostics, warnings=self._warnings(dt, int(bonds.max())))

    @property
    def bonds(self) -> Tensor:
        """The largest of each counting field, ``(R,)``."""
        return torch.tensor([float(max(evolution.state.bonds, default=1)) for evolution in self.evolutions])

    @property
    def lost(self) -> Tensor:
        """Squares cut so far, each as a fraction, ``(R,)``."""
        return torch.tensor([evolution.state.discarded for evolution in self.evolutions], dtype=torch.float64)

    @property
    def longest(self) -> float:
        """The step beyond which the splitting is not small."""
        return min(evolution.tebd.longest for evolution in self.evolutions)

    def advance(self, dt: float, fields: Sequence[int] | None = None) -> np.ndarray:
        """One step of all counting fields or of some; by how much ``ln Z`` has grown, ``(R,)``."""
        growth = np.zeros(len(self.evolutions))
        try:
            for r in range(len(growth)) if fields is None else fields:
                growth[r] = self.evolutions[r].step(dt)
        except ArithmeticError as error:
            raise Diverged(str(error)) from error
        return growth

    def _warnings(self, dt: float, bond: int) -> list[RunWarning]:
        found = []
        if (lost := float(self.lost.max())) > TOO_MUCH:
            text = f"{lost:.1g} of the vector's squares have been cut from bonds of {bond}: take a larger bond"
            found.append(RunWarning("bond", text))
        steepest = min((evolution.tebd for evolution in self.evolutions), key=lambda tebd: tebd.longest)
        if dt > steepest.longest:
            text = f"dt = {dt:.3g} is long for rates like these: take dt below {steepest.shorter}"
            found.append(RunWarning("time step", text))
        return found

    def hand_over(self) -> None:
        """The networks become what the states are."""
        found = [MatrixProduct.parameters_of(evolution.probability()) for evolution in self.evolutions]
        for name, value in self.problem.ensemble.parameters.items():
            with torch.no_grad():
                for r, parameters in enumerate(found):
                    value[r].zero_()
                    part = parameters[name]
                    value[r][tuple(slice(0, size) for size in part.shape)] = part.to(value)
        self._measured = None


class SteadyGates(Gates):
    """The steady state as where `Gates` in time ends: report times are compared with the steady state.

    What the splitting into gates adds to it is of the order ``dt^order``.
    """

    stationary = True
