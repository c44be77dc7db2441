"""Time-evolving block decimation on a matrix-product network, without samples and without training.

`exact.mps.evolution` steps a matrix product state, and at report times the network becomes what that is. In the
symmetrised picture it holds ``P`` at ``t/2``, from which ``Z_t = sum_x P(x)^2 / pi(x)``; observables are then those of
the middle of the trajectory in the s-ensemble, from samples of ``P^2 / pi``.

``lost`` in the log is the sum of the squares, each as a fraction, that bonds have cut so far.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.exact.mps.evolution import Evolution
from vanbench.exact.mps.state import MatrixProductState
from vanbench.exact.warning import RunWarning
from vanbench.neural.architectures.matrix_product import MatrixProduct
from vanbench.neural.run.estimators import Increment
from vanbench.neural.trackers.base import BALANCE, PAIRS, Diverged, Observed, Problem, Step, Tracker, Variant
from vanbench.neural.trackers.options import option
from vanbench.neural.trackers.tebd.sampling import draw

TOO_MUCH = 5e-3  # cut in all: stored runs beyond it were off in the second digit of spin averages or of k
# The error of ln Z in terms of what bonds cut, an upper end of what was measured: seven systems, bonds to 64, t to 20.
CUT = {"forward": (20.0, 0.6), "symmetrised": (25.0, 0.1)}  # of the squares cut, and of their root
SPLIT = {2: 3e-3, 4: 6e-4}  # likewise of (dt / longest)^order t / longest, until a step has been halved
EVERY = 4  # the 4th, 16th, 64th ... step is made in halves too
LATER = 2.0  # times what the length of that step does: what that of a later one may do
SIMILAR = 0.9  # of what is cut at half the bond: beyond it the two say little of where nothing is cut
STEPS = {"forward": 0.2, "symmetrised": 0.8}
NETWORK = "matrix-product"


@dataclass
class Vectors:
    """A matrix product state for each counting field; the squares ``lost`` so far, each as a fraction, ``(R,)``.

    ``beside``: the same at half the bond, and ``apart`` ``(R,)``, by how much ``ln Z`` is larger than there.
    ``split`` ``(R,)``: what the length of the steps has put ``ln Z`` off by; ``local``: one of length 1.
    ``steps`` so far.
    """

    states: list[MatrixProductState]
    lost: Tensor
    beside: Vectors | None = None
    apart: Tensor | None = None
    split: Tensor | None = None
    local: Tensor | None = None
    steps: int = 0

    @property
    def bonds(self) -> Tensor:
        """The largest of each, ``(R,)``."""
        return torch.tensor([float(max(state.bonds, default=1)) for state in self.states])


@dataclass(frozen=True)
class TEBD(Tracker[Vectors]):
    """Applies local propagators to a matrix-product network and truncates its bonds: no samples, no training."""

    name = "tebd"
    variants = (
        Variant(
            "the bond cubed, for each term and pass", when={"picture": "forward"}, needs=(PAIRS,), network=NETWORK,
            noiseless=True,
        ),
        Variant(
            "the bond cubed, for each term and pass", gives="observables of the steady state",
            when={"picture": "forward"}, target="steady", needs=(PAIRS,), network=NETWORK, noiseless=True, steady=True,
        ),
        Variant(
            "the same, in half the steps", gives="ln Z and observables in the middle", when={"picture": "symmetrised"},
            needs=(BALANCE, PAIRS), network=NETWORK, middle=True, noiseless=True,
        ),
    )  # fmt: skip
    saved = (Vectors, MatrixProductState)

    picture: str = option(
        "forward",
        "`forward` evolves P; `symmetrised` its amplitude, for half the time",
        among=("forward", "symmetrised"),
    )
    dt: float = option(
        0.0, "longest time step; equal shorter steps are taken to meet a report time; 0: 0.2 forward, 0.8 symmetrised",
        least=0,
    )  # fmt: skip
    order: int = option(
        4, "2: each step passes through the terms and back (Strang); 4: six such passes, for unequal parts of the "
        "step, some negative (S6 of Blanes and Moan)", among=(2, 4),
    )  # fmt: skip
    cutoff: float = option(
        1e-18,
        "truncated weight (fraction of the sum of squares) that a bond drops although it has room",
        least=0,
        below=1,
    )
    balanced: bool = option(
        False, "forward: truncate bonds for the smallest loss of P / sqrt(P_0), not of P: this favours configurations "
        "rare at the start, on which an s-ensemble may live; no difference for a uniform start",
    )  # fmt: skip
    measure: int = option(20000, "samples for the observables", least=2)
    full_summation: bool = option(
        False, "forward: sum observables over all configurations instead of sampling (up to 2^16 states)"
    )

    pair: bool = option(
        False, "run a second evolution at half the bond and extrapolate ln Z from both; the distance to the "
        "extrapolated value is the error estimate (--certify)"
    )  # fmt: skip

    @property
    def longest_step(self) -> float:
        return self.dt or STEPS[self.picture]

    def certified(self) -> TEBD:
        return replace(self, pair=True)

    def init(self, problem: Problem) -> Vectors:
        if self.full_summation:
            if self.picture == "symmetrised":
                raise InputError("full_summation of tebd is for the picture forward.")
            problem.summed_states()
        state = _begun(problem.derived(evolutions_of, self))
        if self.pair:
            state.beside, state.apart = _begun(problem.derived(evolutions_of, self, True)), torch.zeros_like(state.lost)
        return state

    def step(self, problem: Problem, state: Vectors, limit: float) -> tuple[Vectors, Step]:
        dt, beside, apart = limit / max(1, math.ceil(limit / self.longest_step - 1e-9)), state.beside, state.apart
        before = state
        state, growth = self.advance(problem, state, dt, range(len(problem.s)))
        state.steps = before.steps + 1
        state.local = self._steepest(problem) if before.local is None else before.local
        if state.steps >= EVERY and _power(state.steps):
            state.local = torch.maximum(state.local, self._local(problem, before, dt, growth))
        state.split = (0.0 if before.split is None else before.split) + state.local * dt ** (self.order + 1)
        if beside is not None and apart is not None:
            state.beside, other = self.advance(problem, beside, dt, range(len(problem.s)), halved=True)
            state.apart = apart + torch.as_tensor(growth - other)
        if dt == limit:  # a report time
            self.hand_over(problem, state)
        bonds = state.bonds
        told = {"lost": state.lost, "bond": bonds}
        warnings = self._warnings(problem, dt, state.lost, int(bonds.max()))
        increment = Increment.certain(torch.as_tensor(growth))
        return state, Step(dt, {self.name: increment}, self.name, told, warnings=warnings, off=self._off(state))

    def observe(self, problem: Problem, state: Vectors) -> Observed:
        if self.full_summation:
            return problem.everything()
        # what was cut moves no mean by more than its root times the spread
        certain = (1 + self.measure * state.lost).sqrt().tolist()
        if self.picture == "symmetrised":
            drawn = [draw(psi, self.measure, problem.generator) for psi in state.states]
            return Observed(torch.stack(drawn).to(problem.ensemble.device), certain=certain)
        return Observed(problem.sample(self.measure), certain=certain)

    def tilted(self, problem: Problem, h: float) -> Vectors:
        """The start tilted towards value 0, ``pi(x) exp(h n)`` with ``n`` sites at 0."""
        return _begun([evolution.tilted(h) for evolution in problem.derived(evolutions_of, self)])

    def advance(
        self, problem: Problem, state: Vectors, dt: float, fields: Iterable[int], halved: bool = False
    ) -> tuple[Vectors, np.ndarray]:
        """One step of some counting fields; by how much ``ln Z`` has grown, ``(R,)``."""
        states, growth, lost = list(state.states), np.zeros(len(state.states)), np.zeros(len(state.states))
        for r in fields:
            evolution = self._at(problem, state, r, halved)
            try:
                growth[r] = evolution.step(dt)
            except ArithmeticError as error:
                raise Diverged(str(error)) from error
            states[r], lost[r] = evolution.state, evolution.state.discarded
        return Vectors(states, state.lost + torch.as_tensor(lost)), growth

    def hand_over(self, problem: Problem, state: Vectors) -> None:
        """The networks become what the states are."""
        networks = [
            MatrixProduct.parameters_of(self._at(problem, state, r).probability()) for r in range(len(problem.s))
        ]
        for name, value in problem.ensemble.parameters.items():
            with torch.no_grad():
                for r, parameters in enumerate(networks):
                    value[r].zero_()
                    part = parameters[name]
                    value[r][tuple(slice(0, size) for size in part.shape)] = part.to(value)

    def _at(self, problem: Problem, state: Vectors, r: int, halved: bool = False) -> Evolution:
        """The evolution of one counting field, from a copy of its state."""
        evolution = copy(problem.derived(evolutions_of, self, halved)[r])
        evolution.state = state.states[r].copy()
        return evolution

    def _steepest(self, problem: Problem) -> Tensor:
        """What the length of a step puts ``ln Z`` off by, over ``dt^(order + 1)``, as the rates have it, ``(R,)``."""
        longest = torch.tensor([e.tebd.longest for e in problem.derived(evolutions_of, self)], dtype=torch.float64)
        return SPLIT[self.order] / longest ** (self.order + 1)

    def _local(self, problem: Problem, start: Vectors, dt: float, growth: np.ndarray) -> Tensor:
        """The same of the step of length ``dt`` from ``start``, ``(R,)``: two steps of half of it make less of the
        error of its ``growth``, by ``2^order``."""
        half, fields = dt / 2, range(len(problem.s))
        middle, first = self.advance(problem, start, half, fields)
        _, second = self.advance(problem, middle, half, fields)
        off = np.abs(first + second - growth) / (1 - 0.5**self.order)
        return torch.as_tensor(LATER * off / dt ** (self.order + 1))

    def _off(self, state: Vectors) -> Tensor:
        """By what bonds cut and by the steps, ``(R,)``; with the pair, ``ln Z`` at half the bond and at the bond,
        extrapolated linearly in what is cut to where nothing is."""
        linear, root = CUT[self.picture]
        cut = torch.hypot(linear * state.lost, root * state.lost.sqrt())
        if state.beside is not None and state.apart is not None:
            share = (state.lost / state.beside.lost.clamp(min=1e-300)).clamp(max=SIMILAR)
            cut = state.apart * share / (1 - share)
        assert state.split is not None
        return torch.hypot(cut, state.split)

    def _warnings(self, problem: Problem, dt: float, lost: Tensor, bond: int) -> list[RunWarning]:
        out = []
        if (most := float(lost.max())) > TOO_MUCH:
            text = f"bonds of {bond} have cut {most:.1g} of the vector's squares: take a larger bond"
            out.append(RunWarning("bond", text))
        steepest = min((e.tebd for e in problem.derived(evolutions_of, self)), key=lambda tebd: tebd.longest)
        if dt > steepest.longest:
            text = f"dt = {dt:.3g} is too long for these rates: take dt below {steepest.shorter}"
            out.append(RunWarning("time step", text))
        return out


def _power(steps: int) -> bool:
    """Whether it is a power of ``EVERY``."""
    while steps % EVERY == 0:
        steps //= EVERY
    return steps == 1


def _begun(evolutions: list[Evolution]) -> Vectors:
    return Vectors([evolution.state for evolution in evolutions], torch.zeros(len(evolutions), dtype=torch.float64))


def evolutions_of(problem: Problem, tracker: TEBD, halved: bool = False) -> list[Evolution]:
    """One for each counting field, at the start."""
    bond, symmetrised = cast(MatrixProduct, problem.ensemble.net).bond, tracker.picture == "symmetrised"
    if halved and bond < 2:
        raise InputError("bond = 1 cannot be compared with half the bond: take the architecture option bond=2 or more.")
    bond = bond // 2 if halved else bond
    options = (bond, tracker.cutoff, tracker.order, tracker.balanced, symmetrised)
    return [Evolution(problem.system, s, problem.observable, *options) for s in problem.s]
