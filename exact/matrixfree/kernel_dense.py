"""Matrix-free application of filled local matrices (the generators of open quantum systems): one matrix product each.

The vector is a tensor with an axis a site; the axes a local matrix acts on are brought to the front. With a few entries
a row, `RunsKernel` moves less memory; filled rows it does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from vanbench.exact.matrixfree.local import Local, diagonal_of

FILLED = 4.0  # entries a row on average from which this kernel is the faster one (measured, 4^9 states: 8 times at 13)
SCRATCH = 3  # vectors that are held beside the given ones


class DenseKernel:
    """``out = a * A v + b * out`` for vectors over all codes of the free sites."""

    leaks = False  # every code is there

    def __init__(self, parts: Sequence[Local], free: Iterable[int], d: int):
        self.axis_of = {int(site): axis for axis, site in enumerate(free)}
        self.d, self.n = d, len(self.axis_of)
        self.size = d**self.n
        self.parts = list(parts)

    @property
    def nbytes(self) -> int:
        return sum(part.matrix.nbytes for part in self.parts)

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        """Writes ``a * A v + b * out`` to ``out`` and returns ``<v|A v>``."""
        total = np.zeros(self.size)
        for part in self.parts:
            axes, matrix = [self.axis_of[site] for site in part.sites], part.matrix
            shape = self._around(axes)
            own, front = range(1, len(shape), 2), range(len(axes))
            moved = np.moveaxis(v.reshape(shape), own, front)
            image = (matrix @ moved.reshape(len(matrix), -1)).reshape(moved.shape)
            total.reshape(shape)[...] += np.moveaxis(image, front, own)
        product = float(v @ total)
        total *= a
        out[:] = total if b == 0.0 else total + b * out
        return product

    def _around(self, axes: Sequence[int]) -> list[int]:
        """The tensor's shape with the axes between those of a part taken together: long runs are quick to move."""
        shape, before = [], -1
        for axis in axes:
            shape += [self.d ** (axis - before - 1), self.d]
            before = axis
        return [*shape, self.d ** (self.n - before - 1)]

    def diagonal(self) -> np.ndarray:
        return diagonal_of(self.parts, self.axis_of, self.d)


def filled(parts: Sequence[Local]) -> bool:
    """Whether the rows of ``parts`` have so many entries that matrix products pay."""
    return bool(sum(np.count_nonzero(p.matrix) for p in parts) >= FILLED * sum(len(p.matrix) for p in parts))
