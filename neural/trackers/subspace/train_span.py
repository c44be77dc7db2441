"""Rayleigh-Ritz in the span of tensor trains: their matrix elements are exact, so nothing of it is noise.

For ``|psi_k| = 1`` the matrices ``S_jk = <psi_j|psi_k>`` and ``H_jk = <psi_j|H|psi_k>`` give ``exp(t H)`` inside the
span: the largest Ritz value is never above the scaled cumulant generating function, and its error is of second order in
what bonds have cut (Parlett, The Symmetric Eigenvalue Problem, SIAM (1998)).

The start's component in a rare phase is of first order in it, and exponentially small in the number of sites: of the
Ritz vectors of that phase, a little of the other phase, where the start is, hides it. But it grows along the flow from
the start, by ``exp((E_rare - E) t / 2)`` relative to what hides it. So any state ``psi = exp(T H / 2) v`` of that flow,
``|psi|^2 = Z_T``, may be the one that the span takes further, ``Z_t = Z_T <psi|exp((t - T) H)|psi> / |psi|^2``, and the
one is chosen from which on the value stays as it is: earlier the rare phase is hidden, later what bonds have cut from
the flow adds up.

Each of these is an error that the value shows when something is left out: the flows from each tilt in turn, the states
taken last, a part of every bond, and the next states for the chosen one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf
from torch import Tensor

from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.mps.state import MatrixProductState
from vanbench.neural.trackers.base import Saved
from vanbench.neural.trackers.tebd.sampling import draw, on_cpu

CUT = 1e-10  # a train with less squared distance from those already taken adds nothing but rounding
SHORTER = 0.7  # of the largest bond, to see what bonds cut: a larger step would show more than a larger bond can add
AGREED = 1e-5  # of ln Z: the flow itself is off by about that
LATER = 2  # states of the first flow that the value must agree with when it is taken from an earlier one


@dataclass
class Solved:
    """Ritz values, each train's component in each Ritz vector ``(K, D)``, and the vectors ``(K, D)``."""

    values: np.ndarray
    components: np.ndarray
    vectors: np.ndarray

    def exponents(self, k: int, t: float) -> np.ndarray:
        """``ln`` of what each Ritz vector adds to ``<psi_k|exp(t H)|psi_k>``."""
        with np.errstate(divide="ignore"):  # a vector of another symmetry has no component
            return 2 * np.log(np.abs(self.components[k])) + t * self.values

    def coefficients(self, k: int, t: float) -> np.ndarray:
        """Of ``exp(t H / 2) psi_k`` in the trains, up to a factor, ``(K,)``."""
        return self.vectors @ (self.components[k] * np.exp(t / 2 * (self.values - self.values[-1])))


@dataclass(frozen=True)
class Field(Saved):
    """The states of one counting field, of ``flows`` flows in turn, from the start first, with bonds of at most
    ``bond`` in ``shorter``.

    elements
        ``S`` and ``H``, then ``S`` and ``H`` of the shorter ones, ``(2, 2, K, K)``.
    times, growths
        ``T`` and ``ln Z_T`` of the states of the first flow.
    lost, missed
        cut from the flows so far, and from the shorter states, at most.
    """

    flows: int
    bond: int
    states: tuple[MatrixProductState, ...] = ()
    shorter: tuple[MatrixProductState, ...] = ()
    elements: np.ndarray = field(default_factory=lambda: np.zeros((2, 2, 0, 0)))
    times: tuple[float, ...] = ()
    growths: tuple[float, ...] = ()
    lost: float = 0.0
    missed: float = 0.0

    def taken(self, state: MatrixProductState, hamiltonian: LocalOperatorSum) -> Field:
        """With one more."""
        states = (*self.states, state.copy())
        shorter = (*self.shorter, states[-1].compressed(self.bond))
        size = len(states)
        elements = np.zeros((2, 2, size, size))
        elements[:, :, :-1, :-1] = self.elements
        for k, others in enumerate(zip(states, shorter)):
            pairs = list(zip(others, (states[-1], shorter[-1])))
            rows = [hamiltonian.between(*pair) for pair in (pairs if pairs[0] != pairs[1] else pairs[:1])]
            elements[:, :, k, -1] = elements[:, :, -1, k] = np.array([rows[0], rows[-1]])
        missed = max(self.missed, shorter[-1].discarded)
        return replace(self, states=states, shorter=shorter, elements=elements, missed=missed)

    @cached_property
    def solved(self) -> list[Solved]:
        """Of all states; of the shorter ones; without those taken last; without those of each flow but the first."""
        size = len(self.states)
        flow = np.arange(size) % self.flows
        everything = np.arange(size)
        last = everything[: max(self.flows, size - self.flows)]
        chosen = [everything, last, *(np.flatnonzero(flow != f) for f in range(1, self.flows))]
        own = [_solve(self.elements[0], some) for some in chosen]
        return [own[0], _solve(self.elements[1], everything), *own[1:]]

    def ln_z(self, solved: Solved, k: int, t: float) -> float:
        """``ln Z_t`` from the ``k``-th state of the first flow."""
        return self.growths[k] + float(np.logaddexp.reduce(solved.exponents(k * self.flows, t - self.times[k])))

    def changes(self, value: Callable[[Solved], float]) -> tuple[float, list[float]]:
        """A value, and what it changes by without parts: squares of these add up to that of its error."""
        whole, shorter, last, *tilts = (value(solved) for solved in self.solved)
        seen = min(1.0, self.lost / max(self.missed, 1e-300))  # where little was cut, little more could be
        return whole, [
            (shorter - whole) * seen,
            last - whole,
            *((other - whole) / (self.flows - 1) ** 0.5 for other in tilts),
        ]


@dataclass(frozen=True)
class TrainSpan:
    """States of norm one for each of ``R`` counting fields."""

    fields: tuple[Field, ...]

    @staticmethod
    def of(fields: int, flows: int, bond: int) -> TrainSpan:
        """Without any yet; ``bond``: of the states to come."""
        return TrainSpan((Field(flows, max(1, math.floor(SHORTER * bond))),) * fields)

    @property
    def sizes(self) -> list[int]:
        return [len(train.states) for train in self.fields]

    def taken(
        self, new: list[MatrixProductState], hamiltonians: list[LocalOperatorSum], moving: Collection[int]
    ) -> TrainSpan:
        """With the next of some counting fields."""
        grown = (f.taken(new[r], hamiltonians[r]) if r in moving else f for r, f in enumerate(self.fields))
        return TrainSpan(tuple(grown))

    def flowed(self, time: float, growths: np.ndarray, lost: Tensor, moving: Collection[int]) -> TrainSpan:
        """The last of the first flow are at ``time``, where ``ln Z`` has grown by ``growths`` since those before."""
        out = []
        for r, old in enumerate(self.fields):
            if r in moving:
                total = (old.growths or (0.0,))[-1] + float(growths[r])
                old = replace(old, times=(*old.times, time), growths=(*old.growths, total), lost=float(lost[r]))
            out.append(old)
        return TrainSpan(tuple(out))

    def ln_z(self, t: float) -> tuple[Tensor, Tensor]:
        """``ln <v|exp(t H)|v>`` of each field ``(R,)``, and what it changes by without parts of the span ``(R, B)``."""
        k = self.first(t)
        later = [min(k + j, self._candidates(t) - 1) for j in range(1, LATER + 1)]
        gathered = []
        for train in self.fields:
            value, changes = train.changes(partial(train.ln_z, k=k, t=t))
            gathered.append([value, *changes, *(train.ln_z(train.solved[0], j, t) - value for j in later)])
        return _apart(gathered)

    def missed(self, t: float, last: int) -> Tensor:
        """Nothing, ``(R,)``, that the changes of `ln_z` do not show."""
        return torch.zeros(len(self.fields), dtype=torch.float64)

    def top(self) -> tuple[Tensor, Tensor]:
        """The largest Ritz value of each field, likewise."""
        gathered = [train.changes(lambda solved: float(solved.values[-1])) for train in self.fields]
        return _apart([[value, *changes] for value, changes in gathered])

    def first(self, t: float) -> int:
        """The state of the first flow that the value at ``t`` is taken from: the first one that the next agree with.

        Where none do, that which they agree with best. The same for all fields, whose differences are asked for.
        """
        last = self._candidates(t)
        gathered = np.array([[train.ln_z(train.solved[0], k, t) for k in range(last)] for train in self.fields])
        apart = np.array([np.abs(gathered[:, k + 1 : k + 1 + LATER] - gathered[:, [k]]).max() for k in range(last - 1)])
        near = apart <= AGREED * np.abs(gathered).max()
        return int(near.argmax() if near.any() else apart.argmin()) if last > 1 else 0

    def _candidates(self, t: float) -> int:
        """How many states of the first flow are not beyond ``t``."""
        return max(1, min(int(np.searchsorted(train.times, t, side="right")) for train in self.fields))

    def drawn(self, t: float, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` configurations of all trains ``(R, n, n_sites)``, and their weights in ``|exp(t H / 2) v|^2``."""
        gathered, weights, k = [], [], self.first(t)
        for train in self.fields:
            states, solved = train.states, train.solved[0]
            each = -(-n // len(states))
            x = torch.cat([draw(state, each, generator) for state in states])
            x = x[torch.randperm(len(x), generator=on_cpu(generator))[:n]]
            amplitudes = np.array([state.amplitudes(x.numpy()) for state in states])
            grown = solved.coefficients(k * train.flows, t - train.times[k])
            square = (grown @ amplitudes) ** 2 / (amplitudes**2).sum(0)
            gathered.append(x)
            weights.append(torch.from_numpy(square / square.sum()))
        return torch.stack(gathered), torch.stack(weights)


def _apart(rows: list[list[float]]) -> tuple[Tensor, Tensor]:
    """Values ``(R,)`` and their changes ``(R, B)``."""
    gathered = torch.tensor(rows, dtype=torch.float64)
    return gathered[:, 0], gathered[:, 1:]


def _solve(elements: np.ndarray, some: np.ndarray) -> Solved:
    """From ``S`` and ``H``, in the span of ``some``, by Cholesky's factors, the trains in the best order."""
    overlap, energy = elements
    factor, order, rank, _ = dpstrf(overlap[np.ix_(some, some)], tol=CUT, lower=1)
    kept, lower = some[order[:rank] - 1], np.tril(factor[:rank, :rank])
    inverse = solve_triangular(lower, np.eye(rank), lower=True)
    reduced = inverse @ energy[np.ix_(kept, kept)] @ inverse.T
    values, rotation = np.linalg.eigh((reduced + reduced.T) / 2)
    vectors = np.zeros((len(overlap), rank))
    vectors[kept] = inverse.T @ rotation
    return Solved(values, overlap @ vectors, vectors)
