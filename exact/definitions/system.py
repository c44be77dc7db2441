"""A system is data: a lattice, a local dimension, local terms, and an initial distribution."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from vanbench.exact.definitions.lattice import lengths
from vanbench.exact.definitions.povm import OpenQuantum
from vanbench.exact.definitions.terms import Term
from vanbench.exact.definitions.tolerance import close
from vanbench.exact.errors import InputError

ENERGY = "energy"  # the potential of a system without moves
MOST_SHOWN = 20  # characters of a parameter in the text for people


class Support(Protocol):
    """The configurations that a system may visit, closed under its moves."""

    def contains(self, x: Any) -> Any:
        """``(..., n_sites)`` configurations -> boolean ``(...)``; NumPy arrays and torch tensors alike."""
        ...


@dataclass(frozen=True, eq=False)
class Excluding:
    """All configurations but the given ones, shape ``(m, n_sites)``."""

    configurations: np.ndarray

    def contains(self, x: Any) -> Any:
        return ~(x[..., None, :] == _like(self.configurations, x)).all(-1).any(-1)


@dataclass(frozen=True)
class FixedSum:
    """Configurations whose values add up to ``total`` (a conserved particle number)."""

    total: int

    def contains(self, x: Any) -> Any:
        return x.sum(-1) == self.total


def _like(rows: np.ndarray, x: Any) -> Any:
    return rows if isinstance(x, np.ndarray) else x.new_tensor(rows)


@dataclass(frozen=True, eq=False, repr=False)
class System:
    """Continuous-time dynamics ``dP/dt = W P`` on configurations ``x in {0..d-1}^n_sites`` (row-major sites).

    - ``initial``: shape ``(n_sites, d)``: a product distribution, conditioned on the support; or a vector over the
      states of ``StateSpace(system)``.
    - ``pinned``: ``{site: value}``: sites that never change. They count in ``n_sites``.
    - ``support``: allowed configurations, or None for all. They must be closed under the moves, which is checked when
      states are enumerated.
    - ``edges``: the pairs of neighbours (for graph networks and correlations), shape ``(m, 2)``.
    - ``local_observables``: ``{name: q}``, ``q`` of shape ``(d,)``: the site average of ``<q(x_i)>`` (spin components
      in a POVM basis).
    - ``quantum``: the Lindblad model, POVM and start of a system in a POVM basis.

    Raises ``InputError`` for shapes, sites or probabilities that do not fit.
    """

    name: str
    shape: tuple[int, ...]
    local_dim: int
    terms: tuple[Term, ...]
    initial: np.ndarray
    pinned: Mapping[int, int] = field(default_factory=dict)
    support: Support | None = None
    edges: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), dtype=int))
    params: Mapping[str, Any] = field(default_factory=dict)
    local_observables: Mapping[str, np.ndarray] = field(default_factory=dict)
    quantum: OpenQuantum | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "initial", np.asarray(self.initial, dtype=float))
        object.__setattr__(self, "shape", lengths(self.shape))
        if self.local_dim < 2:
            raise InputError(f"local dimension {self.local_dim}: it must be at least 2.")
        if self.local_dim > 128:
            raise InputError(
                f"local dimension {self.local_dim}: configurations are bytes, with at most 128 values per site."
            )
        for term in self.terms:
            if max(term.sites) >= self.n_sites or min(term.sites) < 0:
                raise InputError(f"a term acts on sites {term.sites}, but there are only {self.n_sites} sites.")
            if term.matrix.shape[0] != self.local_dim ** len(term.sites):
                raise InputError(
                    f"term on sites {term.sites}: its matrix must be of size {self.local_dim}**{len(term.sites)}."
                )
        for site, value in self.pinned.items():
            if not (0 <= site < self.n_sites and 0 <= value < self.local_dim):
                raise InputError(f"pinned site {site} = {value}: no such site or value.")
        if self.initial.ndim == 2:
            self._check_product()

    def __repr__(self) -> str:
        told = [
            f"{self.name!r}",
            "x".join(map(str, self.shape)),
            *([f"d={self.local_dim}"] if self.local_dim > 2 else []),
        ]
        plain = {key: value for key, value in self.params.items() if isinstance(value, int | float | str)}
        told += [f"{key}={value!r}" for key, value in plain.items() if len(str(value)) < MOST_SHOWN]
        return f"System({', '.join(told)}; {len(self.terms)} terms)"

    def _check_product(self) -> None:
        if self.initial.shape != (self.n_sites, self.local_dim):
            raise InputError(f"a product start must have shape {(self.n_sites, self.local_dim)}.")
        if (self.initial < 0).any() or not close(self.initial.sum(1), 1.0):
            raise InputError("a product start must hold probabilities that add up to 1 on every site.")
        for site, value in self.pinned.items():
            if self.initial[site, value] != 1:
                raise InputError(f"site {site} is pinned to {value}, but the start gives it another value.")

    @property
    def n_sites(self) -> int:
        return math.prod(self.shape)

    @property
    def free_sites(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.n_sites) if i not in self.pinned)

    @cached_property
    def static(self) -> bool:
        """Whether nothing moves, and a potential ``energy`` is all there is: ``P_t`` is ``exp(-s t E(x))`` times the
        start, in equilibrium at the inverse temperature ``s t``."""
        return ENERGY in self.observables and not any(term.matrix.any() for term in self.terms)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything that decides the dynamics: equal for equal systems, whatever they are called."""
        terms = [(t.sites, t.matrix, sorted(t.counters.items()), sorted(t.potentials.items())) for t in self.terms]
        support = self.support.configurations if isinstance(self.support, Excluding) else repr(self.support)
        return fingerprint((self.shape, self.local_dim, terms, self.initial, sorted(self.pinned.items()), support))

    @property
    def observables(self) -> list[str]:
        """Names that may be tilted: every counter and potential on some term; without terms the activity, zero."""
        if not self.terms:
            return ["activity"]
        return sorted({name for t in self.terms for name in (*t.counters, *t.potentials)})


def fingerprint(parts: Any) -> str:
    """A hash of nested tuples, lists, arrays, numbers and text."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, np.generic):
            part = part.item()
        if isinstance(part, np.ndarray):
            digest.update(f"{part.shape}{part.dtype}".encode() + np.ascontiguousarray(part).tobytes())
        elif isinstance(part, str | int | float | complex | None):
            digest.update(f"{part!r};".encode())
        else:
            digest.update(b"(")
            for item in part:
                add(item)
            digest.update(b")")

    add(parts)
    return digest.hexdigest()[:16]
