"""The tilted generator as a function of vectors: nothing is stored but small tables.

A vector runs over the *layout* of a system: the codes of `StateSpace` (base-``d`` numbers of the free sites, the
first most significant). A support that only leaves out isolated configurations keeps every code, with weight zero on
those; any other restricted support (a conserved number) keeps the allowed codes alone, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.states import StateSpace, require_memory
from vanbench.exact.definitions.system import Excluding, System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree import kernel_stored
from vanbench.exact.matrixfree.gauge import in_gauge, product_gauge
from vanbench.exact.matrixfree.kernel_dense import DenseKernel, filled
from vanbench.exact.matrixfree.kernel_stored import Pattern, StoredKernel
from vanbench.exact.matrixfree.local import Local, merged, tilted, transposed
from vanbench.exact.matrixfree.reach import reaches_all

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

STORED = 1 << 14  # states up to which the sparse matrix is at hand at once
FAR = 100.0  # times the norm, from which on units pay that balance the generator
LOOKED = 1 << 22  # states up to which it is looked at which of them moves connect: as long as some 50 products


class Layout:
    """Where the configurations of ``system`` stand in the vectors of its matrix-free operators."""

    def __init__(self, system: System):
        self.system = system
        self.space = StateSpace(system)
        self.excluded = np.zeros(0, dtype=np.int64)
        self.codes: np.ndarray | None = None
        self._pattern: Pattern | None = None
        if isinstance(system.support, Excluding):
            self.excluded = self._isolated(system.support)
        elif system.support is not None:
            require_memory(14.0 * self.space.n_codes, f"listing {self.space.n_codes} states")
            self.codes = self.space.codes

    @property
    def size(self) -> int:
        return self.space.n_codes if self.codes is None else len(self.codes)

    def _isolated(self, support: Excluding) -> np.ndarray:
        """Codes of the excluded configurations; raises ``InputError`` if a move leads there."""
        rows = np.atleast_2d(support.configurations)
        if Connections(self.system).incoming_rates(rows).any():
            raise InputError("the allowed support is not closed under the moves of this system.")
        kept = [all(row[site] == value for site, value in self.system.pinned.items()) for row in rows]
        codes = rows[:, self.space.free].astype(np.int64) @ self.space.strides
        return np.unique(codes[kept])

    def to_states(self, v: np.ndarray) -> np.ndarray:
        """A vector of this layout in the order of ``StateSpace`` (the excluded codes left out)."""
        return np.delete(v, self.excluded) if len(self.excluded) else v

    def from_states(self, p: np.ndarray) -> np.ndarray:
        """The inverse of ``to_states``, zero on the excluded codes."""
        at = self.excluded - np.arange(len(self.excluded))
        return np.insert(p, at, 0.0) if len(self.excluded) else p

    def product(self, factors: np.ndarray) -> np.ndarray:
        """``prod_i factors[i, x_i]`` over the free sites; zero on what is excluded. ``factors``: ``(n_sites, d)``."""
        free = self.space.free
        if self.codes is None:
            out = np.ones(1)
            for site in free:
                out = np.multiply.outer(out, factors[site]).ravel()
        else:
            out = np.ones(self.size)
            for site, stride in zip(free, self.space.strides):
                out *= factors[site][(self.codes // stride) % self.system.local_dim]
        out[self.excluded] = 0.0
        return out

    def initial(self) -> np.ndarray:
        """``P_0``, of total one."""
        start = self.system.initial
        if start.ndim == 1:
            return self.from_states(self.space.initial())
        p = self.product(start)
        total = p.sum()
        if not total > 0:
            raise InputError("the initial distribution gives no weight to the allowed support.")
        p /= total
        return p

    def operator(self, parts: Sequence[Local]) -> Operator:
        """The sum of local operators ``parts`` on this layout."""
        return Operator(self, parts)

    def kernel(self, parts: Sequence[Local]) -> Kernel:
        """The sum of ``parts``, one on each set of sites, in its quickest form: stored, or compiled where that pays."""
        d, free = self.system.local_dim, self.space.free
        if not kernel_stored.fits(parts, d, self.size):
            return _compiled(parts, free, d, self.codes)
        if self._pattern is None or not self._pattern.serves(parts):
            self._pattern = Pattern(parts, free, d, self.codes)
        return StoredKernel(parts, self._pattern)

    @cached_property
    def closed(self) -> bool:
        """True; raises ``InputError`` when a move leaves the support (the check runs once)."""
        if self.codes is None:
            return True
        if self.kernel(transposed(self._parts)).leaks:
            raise InputError("the allowed support is not closed under the moves of this system.")
        return True

    @cached_property
    def connected(self) -> bool:
        """Whether the moves connect all states, as far as it is looked at (up to 2^22 states)."""
        if self.size > LOOKED:
            return True
        if self.codes is not None:
            kernel = Operator(self, self._parts).kernel
            if not isinstance(kernel, StoredKernel):
                return bool(self.classes.max() == 0)
            from scipy.sparse.csgraph import connected_components  # slow to import

            return connected_components(kernel.matrix, connection="strong")[0] == 1
        moves = [Local(p.sites, p.matrix - np.diag(np.diag(p.matrix))) for p in self._parts]
        both_ways = all(((p.matrix != 0) == (p.matrix != 0).T).all() for p in moves)
        return self._reaches_all(moves) and (both_ways or self._reaches_all(transposed(moves)))

    @cached_property
    def classes(self) -> np.ndarray:
        """The number of the communicating class of each state, ``(size,)``; -1 on the excluded codes."""
        from vanbench.exact.matrixfree.classes import classes

        labels = classes(self._parts, self.space.free, self.space.strides, self.system.local_dim, self.size, self.codes)
        labels[self.excluded] = -1
        return labels

    @cached_property
    def _parts(self) -> list[Local]:
        return tilted(self.system)

    def _reaches_all(self, moves: Sequence[Local]) -> bool:
        """Whether ``moves`` lead from the last allowed code to all others; no move leads to an excluded one."""
        last = self.size - 1
        for code in self.excluded[::-1]:
            last -= code == last
        return reaches_all(moves, self.space.free, self.system.local_dim, last, self.size - len(self.excluded))


class Operator:
    """A sum of local operators as a matrix that is never stored. Square, ``size`` states, float64."""

    def __init__(self, layout: Layout, parts: Sequence[Local]):
        self.layout, self.size = layout, layout.size
        self.shape = (self.size, self.size)
        self.kernel = layout.kernel(merged(parts, layout.system.local_dim))
        self.bound = norm_bound(parts)

    @property
    def nbytes(self) -> int:
        return self.kernel.nbytes

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        """Writes ``a * A v + b * out`` to ``out`` (not ``v``) and returns ``<v|A v>``."""
        return float(self.kernel.apply(v, out, a, b))

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        out = np.empty(self.size)
        self.kernel.apply(np.ascontiguousarray(v, dtype=float).ravel(), out)
        return out

    def diagonal(self) -> np.ndarray:
        return self.kernel.diagonal()

    def linear_operator(self) -> LinearOperator:
        from scipy.sparse.linalg import LinearOperator

        return LinearOperator(self.shape, matvec=self.__matmul__, dtype=float)


class Kernel(Protocol):
    """``out = a * A v + b * out`` in one of several forms. ``leaks``: whether elements lead out of the codes."""

    @property
    def nbytes(self) -> int: ...

    @property
    def leaks(self) -> bool: ...

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = ..., b: float = ...) -> float: ...

    def diagonal(self) -> np.ndarray: ...


def _compiled(parts: Sequence[Local], free: np.ndarray, d: int, codes: np.ndarray | None) -> Kernel:
    from vanbench.exact.matrixfree.kernel_blocked import BlockedKernel, TooWide
    from vanbench.exact.matrixfree.kernel_listed import ListedKernel
    from vanbench.exact.matrixfree.kernel_runs import RunsKernel

    if codes is not None:
        return ListedKernel(parts, free, d, codes)
    if d == 2:
        try:
            return BlockedKernel(parts, free)
        except TooWide:
            pass
    return DenseKernel(parts, free, d) if filled(parts) else RunsKernel(parts, free, d)


def norm_bound(parts: Sequence[Local]) -> float:
    """A bound on the 2-norm of the sum: the sum of the local 2-norms."""
    return float(sum(np.linalg.norm(p.matrix, 2) for p in parts))


def balanced(parts: Sequence[Local], n_sites: int, d: int) -> tuple[np.ndarray, float]:
    """The fields ``f``, ``(n_sites, d)``, of the units of the entries for long steps, and ``norm_bound`` in them.

    Those of `product_gauge` where a far counting field makes the norm much larger without; else zero: units that differ
    a lot cost digits themselves, where the start is small in them or moves have next to no way back.
    """
    f, plain = product_gauge(parts, n_sites, d), norm_bound(parts)
    norm = norm_bound(in_gauge(parts, f)[0])
    return (f, norm) if FAR * norm < plain else (np.zeros_like(f), plain)


def operator(
    system: System, s: float = 0.0, observable: str = "activity", order: int = 0, transpose: bool = False
) -> Operator:
    """Matrix-free ``W_s`` (its ``order``-th derivative in ``s``; transposed if asked) on ``Layout(system)``.

    Small systems are stored; of the others binary ones whose moves flip one site use the cache-blocked kernel, filled
    local matrices the dense one, a restricted support the listed one, all else the one in runs. Raises ``InputError``
    for an unknown observable, a moved pinned site or a support that is not closed.
    """
    layout = Layout(system)
    assert layout.closed
    parts = tilted(system, s, observable, order)
    return layout.operator(transposed(parts) if transpose else parts)
