"""Communicating classes of states: which states the moves lead to from each other. No matrix is stored.

Tarjan, SIAM J. Comput. 1, 146 (1972), without recursion.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.compiled import compiled
from vanbench.exact.matrixfree.local import Local


def classes(
    parts: Sequence[Local], free: np.ndarray, strides: np.ndarray, d: int, n_states: int, codes: np.ndarray | None
) -> np.ndarray:
    """The number of the class of each state, ``(n_states,)`` int32. ``codes`` as in ``Layout``; 20 bytes a state."""
    stride_of = dict(zip(free.tolist(), strides.tolist()))
    parts = [p for p in parts if (p.matrix - np.diag(np.diag(p.matrix))).any()]
    if not parts:
        return np.arange(n_states, dtype=np.int32)
    width = max(len(p.sites) for p in parts)
    slots = max(int((p.matrix != 0).sum(0).max()) for p in parts)
    site_strides = np.ones((len(parts), width), dtype=np.int64)
    weights = np.zeros((len(parts), width), dtype=np.int64)
    jumps = np.zeros((len(parts), d**width, slots), dtype=np.int64)  # change of the code; 0: no move
    for number, part in enumerate(parts):
        k = len(part.sites)
        own = np.array([stride_of[site] for site in part.sites], dtype=np.int64)
        site_strides[number, :k], weights[number, :k] = own, d ** np.arange(k - 1, -1, -1)
        digits = np.stack(np.unravel_index(np.arange(d**k), (d,) * k), axis=-1)
        for column in range(d**k):
            rows = [row for row in np.flatnonzero(part.matrix[:, column]) if row != column]
            jumps[number, column, : len(rows)] = [(digits[row] - digits[column]) @ own for row in rows]
    listed = np.zeros(0, dtype=np.int64) if codes is None else codes
    return _tarjan(n_states, listed, site_strides, weights, jumps, d)


@compiled()
def _tarjan(n, codes, site_strides, weights, jumps, d):  # type: ignore[no-untyped-def]
    n_parts, _, slots = jumps.shape
    width = site_strides.shape[1]
    number = np.full(n, -1, np.int32)
    low = np.zeros(n, np.int32)
    labels = np.full(n, -1, np.int32)
    cursor = np.zeros(n, np.int32)
    open_states = np.empty(n, np.int32)
    path = np.empty(n, np.int32)
    n_open = counter = placed = 0
    for root in range(n):
        if number[root] >= 0:
            continue
        depth = 1
        path[0] = root
        while depth:
            here = path[depth - 1]
            if number[here] < 0:
                number[here] = low[here] = counter
                counter += 1
                open_states[n_open] = here
                n_open += 1
            code = codes[here] if codes.size else here
            deeper = False
            while cursor[here] < n_parts * slots:
                part, slot = cursor[here] // slots, cursor[here] % slots
                local = 0
                for k in range(width):
                    local += (code // site_strides[part, k]) % d * weights[part, k]
                jump = jumps[part, local, slot]
                if jump == 0:  # the moves of this part are at an end
                    cursor[here] = (part + 1) * slots
                    continue
                there = code + jump
                if codes.size:
                    there = np.searchsorted(codes, there)
                if number[there] < 0:
                    path[depth] = there
                    depth += 1
                    deeper = True
                    break
                if labels[there] < 0:
                    low[here] = min(low[here], low[there])
                cursor[here] += 1
            if deeper:
                continue
            if low[here] == number[here]:
                while True:
                    n_open -= 1
                    labels[open_states[n_open]] = placed
                    if open_states[n_open] == here:
                        break
                placed += 1
            depth -= 1
    return labels
