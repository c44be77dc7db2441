"""Which states the moves lead to, by sweeps over the terms: each passes on what the terms before it have reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.matrixfree.local import Local


def reaches_all(parts: Sequence[Local], free: np.ndarray, d: int, start: int, count: int) -> bool:
    """Whether the moves of ``parts`` lead from the code ``start`` to ``count`` of the ``d**len(free)`` codes.

    One byte a state. A sweep goes through the terms and back, so that a few are enough where moves spread along a
    lattice; at most there are as many as the longest path has moves.
    """
    reached = np.zeros((d,) * len(free), dtype=bool)
    reached.reshape(-1)[start] = True
    moves = _moves(parts, [int(site) for site in free], d)
    n_reached = 1
    while n_reached < count:
        for there, here in (*moves, *reversed(moves)):
            reached[there] |= reached[here]
        n_reached, before = int(np.count_nonzero(reached)), n_reached
        if n_reached == before:
            return False
    return True


Slices = tuple[int | slice, ...]


def _moves(parts: Sequence[Local], free: list[int], d: int) -> list[tuple[Slices, Slices]]:
    """The configurations after and before each local move, as indices into the tensor over the free sites."""
    out = []
    for part in parts:
        axes = [free.index(site) for site in part.sites]
        digits = np.stack(np.unravel_index(np.arange(len(part.matrix)), (d,) * len(axes)), axis=-1)
        for row, column in np.argwhere(part.matrix):
            if row != column:
                out.append((_at(axes, digits[row], len(free)), _at(axes, digits[column], len(free))))
    return out


def _at(axes: list[int], values: np.ndarray, n: int) -> Slices:
    index: list[int | slice] = [slice(None)] * n
    for axis, value in zip(axes, values):
        index[axis] = int(value)
    return tuple(index)
