"""Cache-blocked application of single-flip generators of binary systems, compiled from their local operators.

The index of a state is split into ``high`` bits (the number of a block) and ``low`` bits (a place in a block of
``2**low`` doubles, which the first-level cache holds). Within one block the rate of flipping one site is

    rate(low) = alpha + beta * table[low]

with two numbers that depend on the few high bits that the site's terms look at, and a table shared by all blocks: an
affine rescaling makes most tables equal (all of a kinetically constrained model's are counts of up neighbours), so
that few are left and stay in the second-level cache. A flip of a high bit reads another block at the same place;
both read and write contiguous runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numba import njit, prange

from vanbench.exact.compiled import compiled
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.threads import both, pick, threads

LOW_BITS = 11
MAX_PATTERN_BITS = 8  # high bits that one move may look at: its 2**8 numbers are still nothing beside a block
MAX_TABLE_BYTES = 1 << 24  # beyond the second-level cache the tables would cost more than they save
CONTIGUOUS = 32  # from this stride on, runs are long enough for the vector loop; below, the exclusive-or loop is faster

Function = tuple[tuple[int, ...], np.ndarray]  # bits (most significant first), value for each of their settings


class TooWide(Exception):
    """The terms do not fit this form; `RunsKernel` serves them."""


class BlockedKernel:
    """``out = a * A v + b * out`` for vectors over all ``2**n_bits`` settings of the free sites, in index order."""

    leaks = False  # every code is there

    def __init__(self, parts: Sequence[Local], free: Iterable[int], low_bits: int | None = None):
        free = list(free)
        self.n_bits = len(free)
        self.low = min(low_bits or LOW_BITS, self.n_bits)
        bit = {int(site): self.n_bits - 1 - place for place, site in enumerate(free)}
        diagonal, moves = _split(parts, bit)
        self._tables: dict[bytes, int] = {}
        self._stack: list[np.ndarray] = []
        high_only = [f for f in diagonal if not f[0] or min(f[0]) >= self.low]
        mixed = [f for f in diagonal if f[0] and min(f[0]) < self.low]
        self.diag_high = _sum_over(high_only, np.arange(1 << (self.n_bits - self.low)) << self.low)
        by_high: dict[tuple[int, ...], list[Function]] = {}
        for f in mixed:
            by_high.setdefault(tuple(sorted(b for b in f[0] if b >= self.low)), []).append(f)
        self.diag = self._pack(list(by_high.values()))
        flips = sorted(moves)
        self.flips = np.array(flips, dtype=np.int64)
        self.moves = self._pack([moves[b] for b in flips])
        self.tables = np.array(self._stack) if self._stack else np.zeros((1, 1 << self.low))

    @property
    def size(self) -> int:
        return 1 << self.n_bits

    @property
    def nbytes(self) -> int:
        """Memory of the compiled form; no vector is stored."""
        arrays = [self.diag_high, self.tables, self.flips, *self.diag, *self.moves]
        return sum(array.nbytes for array in arrays) + threads() * (8 << self.low)

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        """Writes ``a * A v + b * out`` to ``out`` and returns ``<v|A v>``."""
        return pick(_apply, self.size)(
            v, out, a, b, self.low, self.diag_high, *self.diag, self.flips, *self.moves, self.tables
        )

    def diagonal(self) -> np.ndarray:
        out = np.empty(self.size)
        _diagonal(*(out, self.low, self.diag_high, *self.diag, self.tables))
        return out

    def _pack(self, groups: list[list[Function]]) -> tuple[np.ndarray, ...]:
        """``(bits_at, bits, rows_at, alpha, beta, table)``: high bits of each group, a row a setting."""
        bits_at, bits, rows_at, rows = [0], [], [0], []
        for functions in groups:
            high = sorted({b for f in functions for b in f[0] if b >= self.low})
            if len(high) > MAX_PATTERN_BITS:
                raise TooWide
            for pattern in range(1 << len(high)):
                block = sum(((pattern >> i) & 1) << b for i, b in enumerate(high))
                rows.append(self._affine(_sum_over(functions, block | np.arange(1 << self.low))))
            bits += [b - self.low for b in high]
            bits_at.append(len(bits))
            rows_at.append(len(rows))
        alpha, beta, table = (np.array(column, dtype=float) for column in zip(*rows)) if rows else 3 * (np.zeros(0),)
        integers = (np.array(x, dtype=np.int64) for x in (bits_at, bits, rows_at))
        return (*integers, alpha, beta, table.astype(np.int64))

    def _affine(self, values: np.ndarray) -> tuple[float, float, int]:
        """``values = alpha + beta * tables[number]``, the table new or shared; number -1: constant."""
        low, spread = values.min(), np.ptp(values)
        if spread <= 4e-16 * np.abs(values).max():
            return float(values[0]), 0.0, -1
        shape = (values - low) / spread
        if shape[0] > 0.5:  # a table and its complement are one
            low, spread, shape = low + spread, -spread, 1.0 - shape
        key = np.round(shape, 13).tobytes()
        if key not in self._tables:
            self._tables[key] = len(self._stack)
            self._stack.append(shape)
            if len(self._stack) * shape.nbytes > MAX_TABLE_BYTES:
                raise TooWide
        return float(low), float(spread), self._tables[key]


def _split(parts: Sequence[Local], bit: dict[int, int]) -> tuple[list[Function], dict[int, list[Function]]]:
    """Diagonal functions, and for each bit the functions that give the rate of arriving by its flip."""
    diagonal: list[Function] = []
    moves: dict[int, list[Function]] = {}
    for part in parts:
        k = len(part.sites)
        if part.matrix.shape != (1 << k, 1 << k):
            raise TooWide
        bits = tuple(bit[site] for site in part.sites)
        rows = np.arange(1 << k)
        rest = part.matrix.copy()
        if np.diag(rest).any():
            diagonal.append((bits, np.diag(rest).copy()))
        rest[rows, rows] = 0
        for place in range(k):
            partner = rows ^ (1 << (k - 1 - place))
            arriving = rest[rows, partner]
            if arriving.any():
                moves.setdefault(bits[place], []).append((bits, arriving))
            rest[rows, partner] = 0
        if rest.any():
            raise TooWide
    return diagonal, moves


def _sum_over(functions: Sequence[Function], codes: np.ndarray) -> np.ndarray:
    total = np.zeros(len(codes))
    for bits, values in functions:
        at = np.zeros(len(codes), dtype=np.int64)
        for b in bits:
            at = 2 * at + ((codes >> b) & 1)
        total += values[at]
    return total


@njit(inline="always")
def _row(group: int, high: int, bits_at: np.ndarray, bits: np.ndarray, rows_at: np.ndarray) -> int:
    pattern = 0
    for i in range(bits_at[group + 1] - bits_at[group]):
        pattern |= ((high >> bits[bits_at[group] + i]) & 1) << i
    return rows_at[group] + pattern


@njit(fastmath=True)
def _block_diagonal(high, d, diag_high, bits_at, bits, rows_at, alpha, beta, table, tables):  # type: ignore[no-untyped-def]
    constant = diag_high[high]
    for l in range(d.size):
        d[l] = 0.0
    for g in range(rows_at.size - 1):
        r = _row(g, high, bits_at, bits, rows_at)
        constant += alpha[r]
        if table[r] >= 0:
            scale, shape = beta[r], tables[table[r]]
            for l in range(d.size):
                d[l] += scale * shape[l]
    for l in range(d.size):
        d[l] += constant


@njit(fastmath=True)
def _add_other_block(acc, source, constant, scale, shape):  # type: ignore[no-untyped-def]
    if scale == 0.0:
        for l in range(acc.size):
            acc[l] += constant * source[l]
    else:
        for l in range(acc.size):
            acc[l] += (constant + scale * shape[l]) * source[l]


@njit(fastmath=True)
def _add_within_block(acc, block, stride, constant, scale, shape):  # type: ignore[no-untyped-def]
    if stride >= CONTIGUOUS:
        for run in range(acc.size // stride):
            here, there = run * stride, (run ^ 1) * stride
            target, source, weight = (
                acc[here : here + stride],
                block[there : there + stride],
                shape[here : here + stride],
            )
            for l in range(stride):
                target[l] += (constant + scale * weight[l]) * source[l]
    else:
        flip = np.uint64(stride)  # unsigned: a signed index would be tested for wrap-around, which stops vector loops
        for l in range(acc.size):
            acc[l] += (constant + scale * shape[l]) * block[np.uint64(l) ^ flip]


@both
def _apply(  # type: ignore[no-untyped-def]
    v, out, a, b, low, diag_high, d_bits_at, d_bits, d_rows_at, d_alpha, d_beta, d_table,
    flips, bits_at, bits, rows_at, alpha, beta, table, tables,
):  # fmt: skip
    width = 1 << low
    products = np.zeros(diag_high.size)
    for high in prange(diag_high.size):
        acc = np.empty(width)
        block = v[high << low : (high + 1) << low]
        _block_diagonal(high, acc, diag_high, d_bits_at, d_bits, d_rows_at, d_alpha, d_beta, d_table, tables)
        for l in range(width):
            acc[l] *= block[l]
        for m in range(flips.size):
            r = _row(m, high, bits_at, bits, rows_at)
            constant, scale, shape = alpha[r], beta[r], tables[max(table[r], 0)]
            if constant == 0.0 and scale == 0.0:
                continue
            if flips[m] >= low:
                other = high ^ (1 << (flips[m] - low))
                _add_other_block(acc, v[other << low : (other + 1) << low], constant, scale, shape)
            else:
                _add_within_block(acc, block, 1 << flips[m], constant, scale, shape)
        target = out[high << low : (high + 1) << low]
        product = 0.0
        if b == 0.0:  # what was in ``out`` may be uninitialised
            for l in range(width):
                product += block[l] * acc[l]
                target[l] = a * acc[l]
        else:
            for l in range(width):
                product += block[l] * acc[l]
                target[l] = a * acc[l] + b * target[l]
        products[high] = product
    return products.sum()


@compiled()
def _diagonal(out, low, diag_high, bits_at, bits, rows_at, alpha, beta, table, tables):  # type: ignore[no-untyped-def]
    for high in range(diag_high.size):
        _block_diagonal(
            high, out[high << low : (high + 1) << low], diag_high, bits_at, bits, rows_at, alpha, beta, table, tables
        )
