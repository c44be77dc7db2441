"""Rayleigh-Ritz in the span of tensor trains: their matrix elements are exact, so nothing of it is noise.

For ``|psi_k| = 1`` the matrices ``S_jk = <psi_j|psi_k>`` and ``H_jk = <psi_j|H|psi_k>`` give ``exp(t H)`` inside the
span: the largest Ritz value is never above the scaled cumulant generating function, and its error is of second order in
what bonds have cut (Parlett, The Symmetric Eigenvalue Problem, SIAM (1998)).

The start's component in a rare phase is of first order in it, and with many sites exponentially small. How well the
span knows it is told by leaving out the flows from each tilt in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf
from torch import Tensor

from ..tensor_elements import LocalSum
from ..tensor_train import TensorTrain
from .gates_symmetric import draw, on_cpu

CUT = 1e-10  # a train with less squared distance from those already taken adds nothing but rounding


@dataclass
class Solved:
    """Ritz values, the first train's component in each Ritz vector, and the vectors, ``(K, D)``."""

    values: np.ndarray
    start: np.ndarray
    vectors: np.ndarray

    def exponents(self, t: float) -> np.ndarray:
        """``ln`` of what each Ritz vector adds to ``Z_t``."""
        with np.errstate(divide="ignore"):  # a vector of another symmetry has no component
            return 2 * np.log(np.abs(self.start)) + t * self.values

    def coefficients(self, t: float) -> np.ndarray:
        """Of ``exp(t H / 2) v`` in the trains, up to a factor, ``(K,)``."""
        return self.vectors @ (self.start * np.exp(t / 2 * (self.values - self.values[-1])))


class TrainSpan:
    """Trains of norm one for each of ``R`` counting fields, of ``flows`` flows in turn, from the start first."""

    def __init__(self, hamiltonians: list[LocalSum], flows: int):
        self.hamiltonians, self.flows = hamiltonians, flows
        self.trains: list[list[TensorTrain]] = [[] for _ in hamiltonians]
        self.elements = [np.zeros((2, 0, 0)) for _ in hamiltonians]  # S and H
        self._solved: list[list[Solved]] = [[] for _ in hamiltonians]  # no longer true once trains are added

    @property
    def sizes(self) -> list[int]:
        return [len(trains) for trains in self.trains]

    def add(self, new: list[TensorTrain], fields: Iterable[int]) -> None:
        """The next of some counting fields."""
        for r in fields:
            train = new[r]
            row = np.array([self.hamiltonians[r].between(other, train) for other in [*self.trains[r], train]]).T
            size = len(self.trains[r]) + 1
            grown = np.zeros((2, size, size))
            grown[:, :-1, :-1] = self.elements[r]
            grown[:, -1], grown[:, :, -1] = row, row
            self.elements[r] = grown
            self.trains[r].append(train.copy())
            self._solved[r] = []

    def ln_z(self, t: float) -> tuple[Tensor, Tensor]:
        """``ln <v|exp(t H)|v>`` of each field, and what it changes by without each tilted flow, their mean square."""
        return self._scattered(lambda one: float(np.logaddexp.reduce(one.exponents(t))))

    def top(self) -> tuple[Tensor, Tensor]:
        """The largest Ritz value of each field, likewise."""
        return self._scattered(lambda one: float(one.values[-1]))

    def _scattered(self, value: Callable[[Solved], float]) -> tuple[Tensor, Tensor]:
        found = torch.tensor([[value(one) for one in parts] for parts in self.solved], dtype=torch.float64)
        return found[:, 0], (found[:, 1:] - found[:, :1]) / (self.flows - 1) ** 0.5

    def drawn(self, t: float, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """``n`` configurations of all trains ``(R, n, n_sites)``, and their weights in ``|exp(t H / 2) v|^2``."""
        found, weights = [], []
        for trains, (solved, *_) in zip(self.trains, self.solved):
            each = -(-n // len(trains))
            x = torch.cat([draw(train, each, generator) for train in trains])
            x = x[torch.randperm(len(x), generator=on_cpu(generator))[:n]]
            amplitudes = np.array([train.entries(x.numpy()) for train in trains])
            square = (solved.coefficients(t) @ amplitudes) ** 2 / (amplitudes**2).sum(0)
            found.append(x)
            weights.append(torch.from_numpy(square / square.sum()))
        return torch.stack(found), torch.stack(weights)

    @property
    def solved(self) -> list[list[Solved]]:
        """Of all trains, and without those of each flow but the first."""
        for r, elements in enumerate(self.elements):
            if not self._solved[r]:
                flow = np.arange(len(self.trains[r])) % self.flows
                chosen = [np.flatnonzero(flow != f) if f else np.arange(len(flow)) for f in range(self.flows)]
                self._solved[r] = [_solve(*elements[:, some][:, :, some]) for some in chosen]
        return self._solved

    def state(self) -> Mapping[str, Any]:
        cores = [[[torch.from_numpy(np.ascontiguousarray(c)) for c in t.cores] for t in some] for some in self.trains]
        centres = [[train.centre for train in some] for some in self.trains]
        return {"cores": cores, "centres": centres, "elements": [torch.from_numpy(e) for e in self.elements]}

    def load(self, state: Mapping[str, Any]) -> None:
        like = self.trains[0][0]
        self.trains = [
            [like.like([core.cpu().numpy() for core in cores], centre) for cores, centre in zip(*some)]
            for some in zip(state["cores"], state["centres"])
        ]
        self.elements = [elements.cpu().numpy() for elements in state["elements"]]
        self._solved = [[] for _ in self.elements]


def _solve(overlap: np.ndarray, energy: np.ndarray) -> Solved:
    """By Cholesky's factors, which keep small elements between phases as they are; the trains in the best order."""
    factor, order, rank, _ = dpstrf(overlap, tol=CUT, lower=1)
    kept, lower = order[:rank] - 1, np.tril(factor[:rank, :rank])
    inverse = solve_triangular(lower, np.eye(rank), lower=True)
    reduced = inverse @ energy[np.ix_(kept, kept)] @ inverse.T
    values, rotation = np.linalg.eigh((reduced + reduced.T) / 2)
    vectors = np.zeros((len(overlap), rank))
    vectors[kept] = inverse.T @ rotation
    return Solved(values, overlap[0] @ vectors, vectors)
