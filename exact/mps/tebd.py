"""Time-evolving block decimation: ``exp(t A)`` of a sum of local matrices on a matrix product state.

``exp(dt A)`` is split into ``exp(dt a)`` of the local matrices ``a``, to second or fourth order, and each of them acts
exactly on the tensors of the sites it touches (Vidal, Phys. Rev. Lett. 93, 040502 (2004)). What is cut from a bond that
has reached its largest size is the only other error. Signed generators will do.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cache

import numpy as np
from scipy.linalg import expm

from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.mps.state import MatrixProductState

# Fractions of the step, the groups of gates forwards and backwards in turn. Strang's and S6 of Blanes and Moan, J.
# Comput. Appl. Math. 142, 313 (2002), as compositions (McLachlan, SIAM J. Sci. Comput. 16, 151 (1995)): the sums of
# neighbours are their coefficients a1, b1, a2, b2, a3, b3, a4, ...
_S6 = [0.0792036964311957, 0.1303114101821663, 0.2228614958676077, -0.3667132690474257, 0.3246481886897062]
_S6.append(0.5 - sum(_S6))
FRACTIONS = {2: [0.5, 0.5], 4: [*_S6, *_S6[::-1]]}
STEEP = {2: 1.5, 4: 7.0}  # the step times the rates of the terms on a site, where errors of ln Z reach 1e-3 or so
Group = list[Local]  # on sites that no two of them share


class TEBD:
    """Steps of ``exp(t A)``, for any number of states and step lengths.

    order
        2: each step goes through the matrices and back (Strang); 4: six times through and back, for unequal fractions
        of the step, some negative (S6 of Blanes and Moan).

    ``longest`` is the step beyond which the splitting is not small. Raises ``InputError`` for another order.
    """

    def __init__(self, operator: LocalOperatorSum, order: int = 4):
        if order not in FRACTIONS:
            raise InputError(f"order = {order}: it must be 2 or 4.")
        self.order, self._groups = order, _groups(operator)
        self.longest = STEEP[order] / max(1e-300, _steepest(self._groups))
        self._propagators: dict[float, list[Group]] = {}

    def step(self, state: MatrixProductState, dt: float) -> None:
        """``state`` becomes ``exp(dt A) state``, in place. Raises ``OverflowError`` where that is not finite."""
        half = len(state.tensors) / 2
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                for group in self._gates(dt):
                    state.apply(group if state.centre < half or _distance(group[0]) > 1 else group[::-1])
        except (np.linalg.LinAlgError, ValueError) as error:  # LAPACK refuses to factor what is not finite
            raise OverflowError(f"a step of {dt:.3g} overflows: take dt below {self.shorter}.") from error

    @property
    def shorter(self) -> str:
        """A step that is short enough, in words: below ``longest`` also when rounded."""
        return f"{0.95 * self.longest:.2g}"

    def _gates(self, dt: float) -> list[Group]:
        """``exp(dt A)``, group after group."""
        key = round(dt, 15)
        if key not in self._propagators:

            @cache
            def propagator(matrix: bytes, fraction: float) -> np.ndarray:  # terms of a lattice are mostly the same
                square = np.frombuffer(matrix)
                return expm(fraction * dt * square.reshape(math.isqrt(square.size), -1))

            self._propagators[key] = [
                [Local(part.sites, propagator(part.matrix.tobytes(), fraction)) for part in self._groups[k]]
                for k, fraction in _passes(len(self._groups), FRACTIONS[self.order])
            ]
        return self._propagators[key]


def _groups(operator: LocalOperatorSum) -> list[Group]:
    """By the distance of their sites, and those of one distance in two groups within which no two share a site."""
    groups: dict[tuple[int, int], Group] = {}
    for part in _onto_pairs(operator):
        distance = _distance(part)
        key = (distance, -(part.sites[0] // distance % 2) if distance else 0)
        groups.setdefault(key, []).append(part)
    return [sorted(groups[key], key=lambda part: part.sites) for key in sorted(groups)]


def _distance(part: Local) -> int:
    return part.sites[-1] - part.sites[0]


def _onto_pairs(operator: LocalOperatorSum) -> list[Local]:
    """What acts on one site as equal shares of the pairs that the site is in: fewer groups that do not commute."""
    pairs = [part for part in operator.parts if len(part.sites) == 2]
    of = Counter(site for part in pairs for site in part.sites)
    alone = {part.sites[0]: part.matrix for part in operator.parts if len(part.sites) == 1}
    identity = np.eye(operator.d)
    out = [Local((site,), matrix) for site, matrix in alone.items() if not of[site]]
    for part in pairs:
        first, second = (alone.get(site, 0 * identity) / of[site] for site in part.sites)
        out.append(Local(part.sites, part.matrix + np.kron(first, identity) + np.kron(identity, second)))
    return out


def _steepest(groups: list[Group]) -> float:
    """The largest sum, over the matrices on a site, of their spectral radii, which no similarity changes."""
    total: Counter[int] = Counter()
    for part in (part for group in groups for part in group):
        radius = np.abs(np.linalg.eigvals(part.matrix)).max()
        for site in part.sites:
            total[site] += radius
    return float(max(total.values(), default=0.0))


def _passes(groups: int, fractions: list[float]) -> list[tuple[int, float]]:
    """Which group acts for which fraction of the step: where the direction turns, twice the same at once."""
    out: list[tuple[int, float]] = []
    for n, fraction in enumerate(fractions):
        for k in range(groups) if n % 2 == 0 else reversed(range(groups)):
            if out and out[-1][0] == k:
                out[-1] = (k, out[-1][1] + fraction)
            else:
                out.append((k, fraction))
    return out
