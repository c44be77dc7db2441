"""Matrix-free application of any sum of local operators to vectors over all codes, in contiguous runs.

The code of a state is split into a high part (the number of a block) and a low one (a place in a block of at most
``2**11`` doubles, which the first-level cache holds). One element of a local matrix fixes the digits of its sites, in
the state that it leads to and in the one that it comes from: within a block these are runs as long as the stride of
its last low site, the same for all blocks. No index is taken apart in the inner loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numba import njit, prange

from vanbench.exact.matrixfree.local import Local, diagonal_of
from vanbench.exact.threads import both, pick

WIDTH = 1 << 11


class RunsKernel:
    """``out = a * A v + b * out`` for vectors over every code of the free sites, parts with their sites in order."""

    leaks = False  # every code is there

    def __init__(self, parts: Sequence[Local], free: Iterable[int], d: int):
        place_of = {int(site): place for place, site in enumerate(free)}
        self.d, self.n = d, len(place_of)
        self.parts, self.axis_of = list(parts), place_of
        self.size = d**self.n
        low = 0
        while low < self.n and d ** (low + 1) <= WIDTH:
            low += 1
        self.width, n_high = d**low, self.n - low
        patterns: dict[tuple, int] = {}
        runs: list[np.ndarray] = []
        lengths: list[int] = []
        deepest = max((len(part.sites) for part in parts), default=0)
        high_strides = np.ones((len(parts), deepest), dtype=np.int64)
        high_weights = np.zeros((len(parts), deepest), dtype=np.int64)
        first, starts, elements = [], [0], []
        for number, part in enumerate(parts):
            places = [place_of[site] for site in part.sites]
            above = [place for place in places if place < n_high]
            h, k = len(above), len(places)
            high_strides[number, :h] = [d ** (n_high - 1 - place) for place in above]
            high_weights[number, :h] = d ** np.arange(h - 1, -1, -1)
            inner = np.array([d ** (self.n - 1 - place) for place in places[h:]], dtype=np.int64)
            digits = np.array(list(np.ndindex(*(d,) * k)), dtype=np.int64).reshape(d**k, k)
            first.append(len(starts) - 1)
            for high in range(d**h):
                for row in range(high * d ** (k - h), (high + 1) * d ** (k - h)):
                    for column in np.flatnonzero(part.matrix[row]):
                        change = digits[column] - digits[row]
                        key = (*places[h:], *digits[row, h:])
                        if key not in patterns:
                            patterns[key] = len(runs)
                            runs.append(_run_starts(self.width, d, inner, digits[row, h:]))
                            lengths.append(int(inner[-1]) if len(inner) else self.width)
                        blocks = int(change[:h] @ high_strides[number, :h])
                        elements.append((part.matrix[row, column], blocks, int(change[h:] @ inner), patterns[key]))
                starts.append(len(elements))
        values, shifts, offsets, which = zip(*elements) if elements else ((), (), (), ())
        run_at = np.cumsum([0, *map(len, runs)])
        self.tables = (
            self.width, d, high_strides, high_weights, _integers(first), _integers(starts), np.array(values, float),
            _integers(shifts), _integers(offsets), _integers(which),
            run_at, _integers(lengths), np.concatenate([*runs, _integers([])]),
        )  # fmt: skip

    @property
    def nbytes(self) -> int:
        return sum(table.nbytes for table in self.tables if isinstance(table, np.ndarray))

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        """Writes ``a * A v + b * out`` to ``out`` and returns ``<v|A v>``."""
        return pick(_apply, self.size)(v, out, a, b, *self.tables)

    def diagonal(self) -> np.ndarray:
        return diagonal_of(self.parts, self.axis_of, self.d)


def _run_starts(width: int, d: int, strides: np.ndarray, digits: np.ndarray) -> np.ndarray:
    """Where the runs of a block begin in which the sites of falling ``strides`` hold ``digits``."""
    starts, above = np.zeros(1, dtype=np.int64), width
    for stride, digit in zip(strides, digits):
        starts = (starts[:, None] + np.arange(0, above, stride * d) + digit * stride).ravel()
        above = stride
    return starts


def _integers(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.int64)


@njit(fastmath=True)
def _add_runs(acc, source, value, offset, starts, length):  # type: ignore[no-untyped-def]
    if length == 1:
        for start in starts:
            acc[start] += value * source[start + offset]
    else:
        for start in starts:
            target, there = acc[start : start + length], source[start + offset : start + offset + length]
            for l in range(length):
                target[l] += value * there[l]


@both
def _apply(  # type: ignore[no-untyped-def]
    v, out, a, b, width, d, high_strides, high_weights, first, starts, values, blocks, offsets, which,
    run_at, lengths, runs,
):  # fmt: skip
    products = np.zeros(out.size // width)
    for block in prange(products.size):
        acc = np.zeros(width)
        for part in range(first.size):
            row = first[part]
            for i in range(high_strides.shape[1]):
                row += (block // high_strides[part, i]) % d * high_weights[part, i]
            for e in range(starts[row], starts[row + 1]):
                there, run = (block + blocks[e]) * width, which[e]
                places = runs[run_at[run] : run_at[run + 1]]
                _add_runs(acc, v[there : there + width], values[e], offsets[e], places, lengths[run])
        own, target = v[block * width : (block + 1) * width], out[block * width : (block + 1) * width]
        product = 0.0
        if b == 0.0:  # what was in ``out`` may be uninitialised
            for l in range(width):
                product += own[l] * acc[l]
                target[l] = a * acc[l]
        else:
            for l in range(width):
                product += own[l] * acc[l]
                target[l] = a * acc[l] + b * target[l]
        products[block] = product
    return products.sum()
