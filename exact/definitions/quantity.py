"""One quantity: what its values depend on, which methods give it, how its error is measured and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from vanbench.exact.definitions.states import StateSpace
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError

Observe = Callable[[System, np.ndarray, float], np.ndarray]

AXES = {
    "s": "counting field",
    "t": "time, in inverse rates",
    "site": "row-major, from 0",
    "distance": "between the two sites",
    "state": "number of the configuration",
    "T": "temperature, 1 / (s t) where s and t stand beside it",
}
COUNTED = ("site", "state", "distance")  # axes that are whole numbers
CLASSICAL, QUANTUM, EQUILIBRIUM = "classical", "open quantum", "equilibrium"
# What gives a quantity. VECTORS: the methods dense, sparse and krylov; LINDBLAD: liouvillian and povm; SUMMED: networks
# summed over all configurations; UNASKED: networks, whatever they are asked.
VECTORS, LANCZOS, CLONING, LINDBLAD = "vectors", "lanczos", "cloning", "lindblad"
QUTIP, QUSPIN = "qutip", "quspin"
MPS, DMRG = "mps", "dmrg"
NETWORKS, SUMMED, UNASKED = "networks", "networks (summed)", "networks (unasked)"
ENUMERATION, KAUFMAN, TRANSFER, MONTECARLO = "enumeration", "kaufman", "transfer", "montecarlo"


@dataclass(frozen=True)
class Quantity:
    """One row of the table `quantities`.

    name
        its name in calls and tables.
    axes
        what its values depend on besides the system, names of `AXES`.
    about
        a description in one sentence.
    systems, by
        the kinds of systems that have it, and the methods that give it.
    order
        the order of the derivative of ``ln Z`` by ``s`` that it is made of; None if it is not a derivative.
    relative, floor, undefined_below
        a relative error divides by the exact value; if that lies below ``floor``, by the floor, or the error is
        undefined. A change of less than the floor counts as none.
    extensive
        whether it is proportional to the number of sites; figures then show it per site.
    title
        label of a figure's axis, if the heading does not serve.
    steady_of
        the quantity of which this is the value in the steady state.
    observe
        ``observe(system, x, s)`` returns values ``(n,)``, or with the axis ``site`` ``(n, n_sites)``, of configurations
        ``x`` ``(n, n_sites)``; the quantity is their average over the distribution at time ``t``.
    """

    name: str
    axes: tuple[str, ...]
    about: str
    systems: tuple[str, ...] = (CLASSICAL,)
    by: tuple[str, ...] = (VECTORS, LINDBLAD, NETWORKS)
    order: int | None = None
    relative: bool = False
    floor: float = 0.0
    undefined_below: bool = False
    extensive: bool = False
    title: str = ""
    steady_of: str = ""
    observe: Observe | None = None

    @property
    def heading(self) -> str:
        """``ln_Z`` as ``ln Z``."""
        return self.name.replace("_", " ")

    @property
    def label(self) -> str:
        """The label of a figure's axis."""
        return self.title or self.heading + (" / N" if self.extensive else "")

    @property
    def error(self) -> str:
        """How its error is measured, in words."""
        if not self.relative:
            return "absolute"
        return f"relative, {'undefined below' if self.undefined_below else 'floor'} {self.floor:g}"

    def scale(self, reference: float) -> float:
        """What an absolute error is divided by; NaN where the error is undefined."""
        if not self.relative:
            return 1.0
        if abs(reference) >= self.floor:
            return abs(reference)
        return float("nan") if self.undefined_below else self.floor

    def error_text(self, error: float) -> str:
        """A relative error in percent, an absolute one as a number."""
        if not self.relative:
            return f"{error:.2g}"
        percent = 100 * error
        return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"

    def rows(self, value: Any, s: float, t: float | None) -> list[dict[str, Any]]:
        """The tidy rows of ``value``: a number, or an array along the last axis."""
        head = {"quantity": self.name, "s": s, "t": t}
        if np.ndim(value) == 0:
            return [{**head, "value": float(value)}]
        return [{**head, "value": item, self.axes[-1]: index} for index, item in enumerate(value)]

    def values(self, system: System, x: np.ndarray, s: float) -> np.ndarray:
        """``observe`` of configurations ``x``. Raises ``InputError`` where it fails or its shape is wrong."""
        assert self.observe is not None
        shape = (len(x), system.n_sites) if "site" in self.axes else (len(x),)
        try:
            values = np.asarray(self.observe(system, x, s), float)
        except InputError:
            raise
        except Exception as error:  # whatever somebody's function does
            raise InputError(f"quantity {self.name!r} failed: {type(error).__name__}: {error}.") from error
        if values.shape != shape:
            raise InputError(f"quantity {self.name!r} returned the shape {values.shape}: it must be {shape}.")
        return values

    def average(self, system: System, p: np.ndarray, s: float) -> Any:
        """Of ``observe`` over the distribution ``p`` in the order of ``StateSpace``: a number, or one for each site."""
        return sum(p[block] @ self.values(system, x, s) for block, x in StateSpace(system).chunks())
