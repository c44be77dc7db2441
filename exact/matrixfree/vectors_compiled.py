"""The operations of `vectors` as compiled loops, on all threads where the vectors are long."""

from __future__ import annotations

import numpy as np
from numba import prange

from vanbench.exact.threads import both

BLOCK = 1 << 12


@both
def subtract(target, factor, v):  # type: ignore[no-untyped-def]
    n_blocks = (v.size + BLOCK - 1) // BLOCK
    sums = np.zeros(n_blocks)
    for number in prange(n_blocks):
        stop = min(v.size, (number + 1) * BLOCK)
        t, w = target[number * BLOCK : stop], v[number * BLOCK : stop]
        total = 0.0
        for i in range(t.size):
            t[i] -= factor * w[i]
            total += t[i] * t[i]
        sums[number] = total
    return sums.sum()


@both
def square(v):  # type: ignore[no-untyped-def]
    n_blocks = (v.size + BLOCK - 1) // BLOCK
    sums = np.zeros(n_blocks)
    for number in prange(n_blocks):
        w = v[number * BLOCK : min(v.size, (number + 1) * BLOCK)]
        total = 0.0
        for i in range(w.size):
            total += w[i] * w[i]
        sums[number] = total
    return sums.sum()


@both
def lift(u, floor):  # type: ignore[no-untyped-def]
    for i in prange(u.size):
        u[i] = max(u[i], floor)


@both
def relax(u, flow, diagonal, theta):  # type: ignore[no-untyped-def]
    for i in prange(u.size):
        if u[i] > 0.0:
            u[i] = (flow[i] - diagonal[i] * u[i]) / (theta - diagonal[i])


@both
def largest_ratio(flow, u):  # type: ignore[no-untyped-def]
    n_blocks = (u.size + BLOCK - 1) // BLOCK
    largest = np.full(n_blocks, -np.inf)
    for number in prange(n_blocks):
        for i in range(number * BLOCK, min(u.size, (number + 1) * BLOCK)):
            if u[i] > 0.0:
                largest[number] = max(largest[number], flow[i] / u[i])
            elif flow[i] > 0.0:
                largest[number] = np.inf
    return largest.max()
