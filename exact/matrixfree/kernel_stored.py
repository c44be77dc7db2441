"""Small operators as a CSR matrix: below some 2^16 states it is quicker made, and applied, than a kernel is loaded.

Which states a state gathers from depends on which elements of the local matrices are not zero, not on their values:
a `Pattern` serves all counting fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import scipy.sparse as sp

from vanbench.exact.matrixfree.local import Local

ELEMENTS = 1 << 21  # of all rates; beyond, making and reading them costs more than the compiled kernels and their start

Move = tuple[tuple[int, int], ...]  # sites, and by how much their values change (modulo d)


class Pattern:
    """Where the elements of local operators ``parts`` stand among the states of rising ``codes`` (None: all codes).

    Elements that change the same sites by the same amounts share a column of rates, with an entry for each state that
    they lead to: rows come out in order, and nothing is sorted.
    """

    def __init__(self, parts: Sequence[Local], free: Iterable[int], d: int, codes: np.ndarray | None):
        sites = [int(site) for site in free]
        strides = {site: d ** (len(sites) - 1 - place) for place, site in enumerate(sites)}
        self.key, self.d = _key(parts), d
        self.size = d ** len(sites) if codes is None else len(codes)
        own = np.arange(self.size) if codes is None else codes
        digits = {site: (own // strides[site] % d).astype(np.int32) for site in sites}
        self.locals = []  # of each part, the number of its local state in each state
        for part in parts:
            local = np.zeros(self.size, dtype=np.int32)
            for site in part.sites:
                local = local * d + digits[site]
            self.locals.append(local)
        self.columns = {move: column for column, move in enumerate(_moves_of(parts, d))}
        sources = np.empty((len(self.columns), self.size), dtype=np.int32)
        inside = np.ones(sources.shape, dtype=bool)
        for move, column in self.columns.items():
            there = own
            for site, change in move:
                there = there + ((digits[site] - change) % d - digits[site]) * strides[site]
            if codes is not None:
                at = np.minimum(np.searchsorted(codes, there), self.size - 1)
                inside[column], there = codes[at] == there, at
            sources[column] = there
        rates = self._rates(parts)
        self.leaks = bool(rates[~inside].any())
        self.used = ((rates != 0) & inside).T
        self.indices = sources.T[self.used]
        self.starts = np.concatenate([[0], np.cumsum(self.used.sum(1))]).astype(np.int32)

    def matrix(self, parts: Sequence[Local]) -> sp.csr_array:
        """The sum of ``parts``, whose elements are zero where those of the pattern are."""
        data = self._rates(parts).T[self.used]
        return sp.csr_array((data, self.indices, self.starts), shape=(self.size, self.size))

    def serves(self, parts: Sequence[Local]) -> bool:
        return self.key == _key(parts)

    def _rates(self, parts: Sequence[Local]) -> np.ndarray:
        rates = np.zeros((len(self.columns), self.size))
        for part, local in zip(parts, self.locals):
            for move, arriving in _moves(part, self.d).items():
                rates[self.columns[move]] += arriving[local]
        return rates


class StoredKernel:
    """``out = a * A v + b * out`` for vectors over the states of ``pattern``, which must serve ``parts``."""

    def __init__(self, parts: Sequence[Local], pattern: Pattern):
        self.size, self.leaks = pattern.size, pattern.leaks
        self.matrix = pattern.matrix(parts)

    @property
    def nbytes(self) -> int:
        return self.matrix.data.nbytes + self.matrix.indices.nbytes + self.matrix.indptr.nbytes

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        """Writes ``a * A v + b * out`` to ``out`` and returns ``<v|A v>``."""
        image = self.matrix @ v
        product = float(v @ image)
        image *= a
        if b == 0.0:  # what was in ``out`` may be uninitialised
            out[:] = image
        else:
            out *= b
            out += image
        return product

    def diagonal(self) -> np.ndarray:
        return self.matrix.diagonal()


def fits(parts: Sequence[Local], d: int, size: int) -> bool:
    """Whether the matrix is small enough to be stored."""
    return size <= ELEMENTS and size * len(_moves_of(parts, d)) <= ELEMENTS


def _moves_of(parts: Sequence[Local], d: int) -> list[Move]:
    return list(dict.fromkeys(move for part in parts for move in _moves(part, d)))


def _moves(part: Local, d: int) -> dict[Move, np.ndarray]:
    """The elements of a local matrix by the change they make: the rate of arriving in each local state."""
    k = len(part.sites)
    digits = np.array(list(np.ndindex(*(d,) * k))).reshape(d**k, k)
    by_move: dict[Move, np.ndarray] = {}
    for row, column in zip(*np.nonzero(part.matrix)):
        change = (digits[row] - digits[column]) % d
        move = tuple((site, int(by)) for site, by in zip(part.sites, change) if by)
        by_move.setdefault(move, np.zeros(d**k))[row] = part.matrix[row, column]
    return by_move


def _key(parts: Sequence[Local]) -> tuple:
    return tuple((part.sites, (part.matrix != 0).tobytes()) for part in parts)
