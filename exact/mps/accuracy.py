"""What is asked of matrix products, and how far they are to go: bonds that double until two of them agree."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError

FIRST_BOND = 8  # below it nothing takes long
LARGEST_BOND = 4096
MARGIN = 4.0  # errors over what the last doubling has changed; calibrated on random systems with known exact vectors

MISSED = "the error is above what the tolerance allows: take a larger bond, or a shorter dt where one is given"


@dataclass(frozen=True)
class Accuracy:
    """bond
        largest size between two sites.
    tolerance
        change of a value from half the bond to the whole, or from twice the time step to one, that is small enough:
        relative for quantities whose errors are, absolute for the others.
    dt
        the time step; None: one that suits the rates.

    Raises ``InputError`` for what is no bond, tolerance or time step.
    """

    bond: int = 64
    tolerance: float = 1e-5
    dt: float | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.bond <= LARGEST_BOND:
            raise InputError(f"bond = {self.bond}: give a whole number from 2 to {LARGEST_BOND}.")
        if not 0 < self.tolerance < 1:
            raise InputError(f"tolerance = {self.tolerance:g}: it must lie between 0 and 1.")
        if self.dt is not None and not 0 < self.dt < math.inf:
            raise InputError(f"dt = {self.dt:g}: the time step must be positive.")

    @property
    def bonds(self) -> list[int]:
        """Two or more, each twice the one before, or nearly, up to the largest."""
        halvings = max(1, math.ceil(math.log2(self.bond / FIRST_BOND)))
        return [max(1, self.bond >> k) for k in range(halvings, -1, -1)]


@dataclass(frozen=True)
class Asked:
    """What is asked at one counting field; ``times`` rise."""

    system: System
    s: float
    times: np.ndarray
    quantities: Sequence[str]
    observable: str
    accuracy: Accuracy
    progress: Callable[[str], None] | None = None
