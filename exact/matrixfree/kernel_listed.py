"""Matrix-free application of any sum of local operators on a restricted support (a conserved number).

Each local matrix is kept row by row with the change of the state's code that each element makes; a state gathers
from the states that lead to it. A table turns codes into positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numba import njit, prange

from vanbench.exact.compiled import compiled
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.threads import both, pick


class ListedKernel:
    """``out = a * A v + b * out`` for vectors over the rising ``codes`` of a restricted support."""

    def __init__(self, parts: Sequence[Local], free: Iterable[int], d: int, codes: np.ndarray):
        free = list(free)
        n, width = len(free), max((len(p.sites) for p in parts), default=0)
        stride_of = {int(site): d ** (n - 1 - place) for place, site in enumerate(free)}
        self.d, self.size = d, len(codes)
        self.term_strides = np.ones((len(parts), width), dtype=np.int64)
        self.term_places = np.zeros((len(parts), width), dtype=np.int64)
        self.first_row = np.zeros(len(parts), dtype=np.int64)
        starts, offsets, values = [0], [], []
        for t, part in enumerate(parts):
            k = len(part.sites)
            strides = np.array([stride_of[site] for site in part.sites], dtype=np.int64)
            places = d ** np.arange(k - 1, -1, -1)
            self.term_strides[t, :k], self.term_places[t, :k] = strides, places
            self.first_row[t] = len(starts) - 1
            digits = np.stack(np.unravel_index(np.arange(d**k), (d,) * k), axis=-1) if k else np.zeros((1, 0), int)
            for row, local in enumerate(part.matrix):
                used = np.flatnonzero(local)
                offsets += [int((digits[col] - digits[row]) @ strides) for col in used]
                values += [float(local[col]) for col in used]
                starts.append(len(offsets))
        self.starts = np.array(starts, dtype=np.int64)
        self.offsets, self.values = np.array(offsets, dtype=np.int64), np.array(values)
        self.codes = codes
        self.position = np.full(d**n, -1, dtype=np.int32)
        self.position[codes] = np.arange(len(codes), dtype=np.int32)

    @property
    def nbytes(self) -> int:
        arrays = (self.term_strides, self.term_places, self.starts, self.offsets, self.values)
        return sum(array.nbytes for array in (*arrays, self.codes, self.position))

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        """Writes ``a * A v + b * out`` to ``out`` and returns ``<v|A v>``."""
        return pick(_apply, self.size)(v, out, a, b, *self._arrays())

    def diagonal(self) -> np.ndarray:
        out = np.empty(self.size)
        _diagonal(out, *self._arrays())
        return out

    @property
    def leaks(self) -> bool:
        """Whether elements lead out of ``codes``."""
        return bool(_leaks(*self._arrays()))

    def _arrays(self) -> tuple:
        return (
            self.d, self.codes, self.position, self.term_strides, self.term_places,
            self.first_row, self.starts, self.offsets, self.values,
        )  # fmt: skip


@njit(inline="always")
def _local_row(code, t, d, strides, places, first_row):  # type: ignore[no-untyped-def]
    row = 0
    for i in range(strides.shape[1]):
        row += ((code // strides[t, i]) % d) * places[t, i]
    return first_row[t] + row


@both
def _apply(v, out, a, b, d, codes, position, strides, places, first_row, starts, offsets, values):  # type: ignore[no-untyped-def]
    block = 1 << 10
    n_blocks = (out.size + block - 1) // block
    products = np.zeros(n_blocks)
    for number in prange(n_blocks):
        product = 0.0
        for here in range(number * block, min(out.size, (number + 1) * block)):
            code = codes[here]
            acc = 0.0
            for t in range(first_row.size):
                row = _local_row(code, t, d, strides, places, first_row)
                for e in range(starts[row], starts[row + 1]):
                    source = position[code + offsets[e]]
                    if source >= 0:
                        acc += values[e] * v[source]
            product += v[here] * acc
            out[here] = a * acc if b == 0.0 else a * acc + b * out[here]
        products[number] = product
    return products.sum()


@compiled()
def _diagonal(out, d, codes, position, strides, places, first_row, starts, offsets, values):  # type: ignore[no-untyped-def]
    for here in range(out.size):
        code = codes[here]
        out[here] = 0.0
        for t in range(first_row.size):
            row = _local_row(code, t, d, strides, places, first_row)
            for e in range(starts[row], starts[row + 1]):
                if offsets[e] == 0:
                    out[here] += values[e]


@compiled()
def _leaks(d, codes, position, strides, places, first_row, starts, offsets, values):  # type: ignore[no-untyped-def]
    for here in range(codes.size):
        for t in range(first_row.size):
            row = _local_row(codes[here], t, d, strides, places, first_row)
            for e in range(starts[row], starts[row + 1]):
                if values[e] != 0.0 and position[codes[here] + offsets[e]] < 0:
                    return True
    return False
