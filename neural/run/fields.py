"""The counting fields of a run: those asked for, and their neighbours where a derivative over ``s`` is asked for.

``k_t(s) = -(1/(N t)) d ln Z/ds`` needs the left vector, which the tracked distribution does not hold; so activity and
susceptibility come from differences of ``ln Z`` between networks trained side by side with the same random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vanbench.exact.definitions.quantities import order_of

SHARPEST = 0.2  # of ``1 / (N t)``: a transition is wider by the inverse of its jump of ``k``
TINY = 1e-300
LEAST = 1e-4  # below it the rounding of ``ln Z`` shows in second differences


@dataclass(frozen=True)
class Fields:
    """The values of ``s`` that were ``asked`` for, and those that are ``trained``.

    For each that was asked for, ``stencil`` (1 or 3) are trained: itself, in the middle, and its neighbours.
    """

    asked: list[float]
    trained: list[float]
    stencil: int

    @classmethod
    def of(cls, asked: Sequence[float], quantities: Sequence[str], volume: float, noiseless: bool) -> Fields:
        """``volume``: ``N t`` at the last time; for ``noiseless`` see `spacing`."""
        if not order_of(quantities):
            return cls(list(asked), list(asked), 1)
        trained = [s + k * spacing(s, volume, noiseless) for s in asked for k in (-1, 0, 1)]
        return cls(list(asked), trained, 3)

    def trained_index(self, i: int) -> int:
        """Where ``asked[i]`` stands among the trained fields."""
        return self.stencil * i + self.stencil // 2

    @property
    def reported(self) -> list[tuple[int, float]]:
        """Each ``s`` that was asked for, after its index among the trained fields."""
        return [(self.trained_index(i), s) for i, s in enumerate(self.asked)]

    @property
    def owners(self) -> list[float]:
        """The ``s`` that was asked for, of each trained field."""
        return [s for s in self.asked for _ in range(self.stencil)]

    def derivative(self, order: int) -> Iterator[tuple[float, np.ndarray]]:
        """Each ``s``, and the weights on ``ln Z`` at the trained fields of its first or second derivative.

        Of second order in the spacing ``h``.
        """
        for i, s in enumerate(self.asked):
            near = slice(3 * i, 3 * i + 3)
            h = (self.trained[3 * i + 2] - self.trained[3 * i]) / 2
            weights = np.zeros(len(self.trained))
            first, second = np.array([-1.0, 0.0, 1.0]) / (2 * h), np.array([1.0, -2.0, 1.0]) / h**2
            weights[near] = first if order == 1 else second
            yield s, weights

    def truncation(self, order: int, ln_z: np.ndarray, volume: float) -> Iterator[float]:
        """How far the spacing puts each `derivative` of ``ln_z`` ``(R,)`` off, which is at most ``h^2/6`` of its third
        or ``h^2/12`` of its fourth; ``volume``: ``N t``.

        The third derivative is that of the cubic which also meets ``ln Z = 0`` at ``s = 0``, or what goes on growing
        as the second does over the first, whichever is larger. Of exact ``ln Z`` of seven systems with up to 9 sites,
        ``-1 < s < 0.6``, ``t`` to 100, 97 % of slopes lie within two of these, and 90 % of second derivatives.
        """
        slopes, bends = ([float(weights @ ln_z) for _, weights in self.derivative(k)] for k in (1, 2))
        for i, (slope, bend) in enumerate(zip(slopes, bends)):
            before, s, after = self.trained[3 * i : 3 * i + 3]
            h = (after - before) / 2
            growth = min(max(1.0, abs(bend) / max(abs(slope), TINY)), max(1.0, volume))
            third = abs(slope) * growth**2
            if abs(s) > 1.5 * h:  # else the node at 0 is one of the others
                values = ln_z[3 * i : 3 * i + 3]
                below = ((values[1] - values[0]) / h - values[0] / before) / s
                third = max(third, 6 * abs((bend / 2 - below) / after))
            yield h**2 / 6 * (third if order == 1 else third * growth)


def spacing(s: float, volume: float, noiseless: bool) -> float:
    """The distance ``h`` of the side fields; its bias, ``h^2/6 d^3 ln Z/ds^3`` of a slope, is in no standard error
    (`Fields.truncation`).

    Where ``ln Z`` is sampled, ``h`` is a tenth of ``s``, which passes over transitions that are sharper; where it is
    ``noiseless``, a fraction of ``1 / volume``, ``volume = N t``, of the last time.
    """
    wide = max(0.02, 0.1 * abs(s))
    return float(np.clip(SHARPEST / volume, LEAST, wide)) if noiseless and volume > 0 else wide
