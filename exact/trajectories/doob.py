"""Rare trajectories made typical: the dynamics that a left vector drives, exact or a network's.

With ``l`` the leading left vector of ``W_s``, the rates ``W_s[x', x] l(x') / l(x)`` (Doob's transform; Chetrite and
Touchette, Ann. Henri Poincare 16, 2005 (2015)) have as typical trajectories those that dominate ``Z_t(s)``. Under
detailed balance ``l = p / pi``, which networks hold. Any positive ``l`` serves: a trajectory from ``x_0`` to
``x_t`` has in the s-ensemble the weight

    exp(int_0^t (R_l - R)(x) dtau) l(x_0) / l(x_t),

``R_l`` and ``R`` the escape rates with ``l`` and of the system, and its average is ``<-|exp(t W_s)|x_0>`` exactly.
Where ``l`` is the eigenvector, ``R_l - R`` is theta everywhere: its scatter is the error of ``l``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.states import StateSpace
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.eigenvectors import Leading, leading_vectors
from vanbench.exact.statistics import inverted

LogLeft = Callable[[np.ndarray], np.ndarray]  # configurations (B, n_sites) -> ln l, (B,)


@dataclass(frozen=True)
class Trajectories:
    """``ends`` ``(B, n_sites)``; how many ``moves`` each has made, ``(B,)``; ``log_weights`` ``(B,)``, see above."""

    ends: np.ndarray
    moves: np.ndarray
    log_weights: np.ndarray


@dataclass(frozen=True)
class Doob:
    """The process with the left vector ``exp(log_left)``. Configurations are integers ``(B, n_sites)``."""

    connections: Connections
    log_left: LogLeft

    def rates(self, x: np.ndarray) -> np.ndarray:
        """Of each move of ``connections.targets(x)``, ``(B, n_moves)``; zero where ``x`` does not have it."""
        return self._rates(x, self.log_left(x))[0]

    def growth(self, x: np.ndarray) -> np.ndarray:
        """``(R_l - R)(x) = (W_s^T l)(x) / l(x)``, ``(B,)``: theta, where the left vector is exact."""
        return self.connections.diagonal(x) + self.rates(x).sum(1)

    def simulate(self, starts: np.ndarray, t: float, seed: int = 0) -> Trajectories:
        """A trajectory of the length ``t`` from each of the ``starts``, by Gillespie's method.

        Raises ``InputError`` for a negative time, or starts of another number of sites.
        """
        if not 0 <= t < np.inf:
            raise InputError(f"t = {t}: give a time that is finite and not negative.")
        x = np.array(starts, dtype=np.int64, ndmin=2)
        rng = np.random.default_rng(seed)
        here = self.log_left(x)
        left, moves, log_weights = np.full(len(x), float(t)), np.zeros(len(x), dtype=np.int64), here.copy()
        going = np.flatnonzero(left > 0)
        while len(going):
            rates, log_there = self._rates(x[going], here[going])
            escape = rates.sum(1)
            with np.errstate(divide="ignore"):
                wait = np.minimum(rng.exponential(size=len(going)) / escape, left[going])
            log_weights[going] += wait * (self.connections.diagonal(x[going]) + escape)
            left[going] -= wait
            moving = left[going] > 0
            uniform = rng.random(len(going))
            chosen = inverted(rates[moving], uniform[moving])
            targets = self.connections.targets(x[going[moving]])
            going, log_there = going[moving], log_there[moving]
            each = np.arange(len(going))
            x[going], here[going] = targets[each, chosen], log_there[each, chosen]
            moves[going] += 1
        return Trajectories(x, moves, log_weights - here)

    def _rates(self, x: np.ndarray, log_here: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rates, and ``ln l`` where each move leads (minus infinity where there is none)."""
        rates = self.connections.outgoing_rates(x)
        used = rates > 0
        there = np.full(rates.shape, -np.inf)
        if used.any():
            there[used] = self.log_left(self.connections.targets(x)[used])
        return rates * np.exp(there - log_here[:, None]), there


def doob_process(system: System, s: float, observable: str = "activity") -> tuple[Doob, Leading]:
    """With the exact left vector, and the leading vectors. Raises ``InputError`` where they are not unique, or where
    the left one vanishes."""
    space, leading = StateSpace(system), leading_vectors(system, s, observable)
    log_left = np.log(leading.positive_left)
    return Doob(Connections(system, s, observable), lambda x: log_left[space.index(x)]), leading
