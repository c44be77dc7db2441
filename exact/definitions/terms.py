"""Local terms: the single definition of a system's dynamics, from which everything else is derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vanbench.exact.errors import InputError

MAX_EXPONENT = 300.0  # exp(300) = 1e130 leaves room for sums and products of rates in a double
LARGEST_RATE = 1e100
Counter = tuple[tuple[float, np.ndarray], ...]


@dataclass(frozen=True, eq=False)
class Term:
    """One local term of the generator ``W`` in ``dP/dt = W P``.

    sites
        the ``k`` distinct sites it acts on.
    matrix
        local generator, shape ``(d**k, d**k)``, column = from, row = to, diagonal included. The local index is
        row-major with the first site most significant.
    counters
        ``{name: ((increment, jump_matrix), ...)}``: the part of ``matrix`` that the observable ``name`` counts.
    potentials
        ``{name: b}`` with ``b`` of shape ``(d**k,)``: a time-integrated observable ``int b(x(t)) dt``.

    Raises ``InputError`` when shapes disagree or a site repeats.
    """

    sites: tuple[int, ...]
    matrix: np.ndarray
    counters: Mapping[str, Counter] = field(default_factory=dict)
    potentials: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", np.atleast_2d(_real(self.matrix, f"term on sites {self.sites}")))
        size = self.matrix.shape[0]
        if self.matrix.shape != (size, size):
            raise InputError(f"term on sites {self.sites}: the matrix must be square, got {self.matrix.shape}.")
        if len(set(self.sites)) != len(self.sites) or not self.sites:
            raise InputError(f"term on sites {self.sites}: the sites must be distinct and at least one.")
        if not (np.abs(self.matrix) <= LARGEST_RATE).all():
            raise InputError(f"term on sites {self.sites}: the matrix has entries that are not finite, or too large.")
        counters, potentials = {}, {}
        for name, counter in self.counters.items():
            what = f"counter {name!r} on sites {self.sites}"
            counters[name] = tuple((increment, _real(jump, what)) for increment, jump in counter)
            if any(jump.shape != (size, size) for _, jump in counters[name]):
                raise InputError(f"{what}: its matrix must be {(size, size)}.")
            if not all(np.isfinite(increment) and np.isfinite(jump).all() for increment, jump in counters[name]):
                raise InputError(f"{what}: it has entries that are not finite.")
        for name, potential in self.potentials.items():
            what = f"potential {name!r} on sites {self.sites}"
            potentials[name] = _real(potential, what)
            if potentials[name].shape != (size,):
                raise InputError(f"{what}: its vector must have length {size}.")
            if not np.isfinite(potentials[name]).all():
                raise InputError(f"{what}: it has entries that are not finite.")
        object.__setattr__(self, "counters", counters)
        object.__setattr__(self, "potentials", potentials)

    def tilted(self, observable: str, s: float, order: int = 0) -> np.ndarray:
        """``d^order/ds^order`` of the tilted local generator.

        ``W_s = W + sum_j (exp(-s a_j) - 1) J_j - s diag(b)`` over the jumps ``(a_j, J_j)`` that ``observable`` counts
        and its potential ``b`` (Garrahan et al., J. Phys. A 42, 075007 (2009), eq. 20).
        """
        if any(-s * increment > MAX_EXPONENT for increment, _ in self.counters.get(observable, ())):
            raise InputError(f"s = {s:g} is out of range: exp(-s) overflows, take |s| below {MAX_EXPONENT:g}.")
        out = self.matrix.astype(float) if order == 0 else np.zeros(self.matrix.shape)
        for increment, jump in self.counters.get(observable, ()):
            factor = np.expm1(-s * increment) if order == 0 else (-increment) ** order * np.exp(-s * increment)
            out = out + factor * jump
        if order == 0:
            out = self._without_cancellation(observable, s, out)
        if observable in self.potentials and order <= 1:
            out = out - (s if order == 0 else 1.0) * np.diag(self.potentials[observable])
        return out

    def _without_cancellation(self, observable: str, s: float, out: np.ndarray) -> np.ndarray:
        """``out``, where all that a move does is counted and little is left of its rate: ``sum_j exp(-s a_j) J_j``,
        every digit of it. At ``exp(-20)`` the difference would have 7 left, and ``theta`` too."""
        counter = self.counters.get(observable, ())
        if not any(s * increment > np.log(2) for increment, _ in counter):
            return out
        counted = sum(jump for _, jump in counter)
        left = sum(np.exp(-s * increment) * jump for increment, jump in counter)
        return np.where((counted == self.matrix) & (np.abs(out) < 0.5 * np.abs(self.matrix)), left, out)


def _real(values: Any, what: str) -> np.ndarray:
    try:
        array = np.asarray(values)
        return array if array.dtype == float else array.astype(float, casting="safe")
    except (TypeError, ValueError) as error:
        raise InputError(f"{what}: give real numbers, of one shape.") from error


def jumps(
    sites: tuple[int, ...],
    rates: np.ndarray,
    counters: Mapping[str, Counter] | None = None,
    potentials: Mapping[str, np.ndarray] | None = None,
) -> Term:
    """A classical term from its jump rates.

    ``rates``: ``(d**k, d**k)``, non-negative, column = from, row = to, zero diagonal. The escape rates are put on the
    diagonal, and the counter ``activity`` (every jump counts one) is added. Raises ``InputError`` on a negative rate.
    """
    rates = np.asarray(rates, dtype=float)
    if (rates < 0).any() or np.diag(rates).any():
        raise InputError(f"term on sites {sites}: jump rates must be non-negative with a zero diagonal.")
    named: dict[str, Counter] = {"activity": ((1.0, rates),), **(counters or {})}
    return Term(tuple(sites), rates - np.diag(rates.sum(0)), named, potentials or {})
