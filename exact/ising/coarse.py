"""Coarse-grained Ising configurations: sums of 2 x 2 blocks, and how far H = -T0 ln p can go when only
these are measured.

A block sum takes the values -4, -2, 0, 2, 4, stored as 0 .. 4. With stride 1 the blocks overlap and do not
wrap around (L x L' gives (L-1) x (L'-1)); with stride 2 they tile the lattice. A distribution p0 of blocks
measured at T0 and sharpened to p0^(T0/T) is *not* the block distribution at T: the entropy inside the
blocks does not scale with 1/T. That difference is the ceiling of the method; it is exact here, so that what
a network adds to it can be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from vanbench.exact.errors import InputError
from vanbench.exact.ising import enumeration
from vanbench.exact.ising.lattice import FloatArray, IntArray, sides

LEVELS = 5


def coarse_shape(shape: Sequence[int], stride: int) -> tuple[int, int]:
    """Number of blocks along each direction; raises InputError unless stride is 1, or 2 on even lengths."""
    rows, columns = sides(shape)
    if stride not in (1, 2) or min(rows, columns) < 2 or (stride == 2 and (rows % 2 or columns % 2)):
        raise InputError("2x2 blocks need stride 1, or stride 2 with even lengths, and two lengths of at least 2")
    return (rows - 1, columns - 1) if stride == 1 else (rows // 2, columns // 2)


def blocks(shape: Sequence[int], stride: int) -> IntArray:
    """Sites of each 2 x 2 block, (n_blocks, 4), blocks row-major."""
    block_rows, block_columns = coarse_shape(shape, stride)
    columns = sides(shape)[1]
    corner = stride * (np.arange(block_rows)[:, None] * columns + np.arange(block_columns)[None, :])
    return corner.reshape(-1, 1) + np.array([0, 1, columns, columns + 1])


def coarse_configurations(x: IntArray, shape: Sequence[int], stride: int) -> IntArray:
    """Number of up spins, 0 .. 4, of each block: x (batch, n_sites) in {0, 1} -> (batch, n_blocks) int8."""
    return np.asarray(x)[:, blocks(shape, stride)].sum(axis=2).astype(np.int8)


def block_magnetization(y: IntArray) -> FloatArray:
    """|sum of block sums| / (4 n_blocks) of coarse configurations y (batch, n_blocks) in {0..4}; returns
    (batch,).

    With stride 2 this is |M|/N of the spins; with stride 1 inner spins are counted more often than outer
    ones.
    """
    return np.abs(y.mean(axis=1, dtype=float) / 2 - 1)


@dataclass(frozen=True)
class Distribution:
    """Exact block distribution: outcomes (n, n_blocks) in {0..4} that occur, ln p (n,) at temperature T."""

    outcomes: IntArray
    log_p: FloatArray
    T: float


def distribution(
    shape: Sequence[int], stride: int, T: float, J: float = 1.0, h: float = 0.0, plaquette: float = 0.0
) -> Distribution:
    """Exact distribution of the blocks by enumeration, up to 20 spins. Raises InputError beyond."""
    rows, columns = sides(shape)
    n_sites = rows * columns
    coarse_shape(shape, stride)
    if n_sites > 20:
        raise InputError(
            "the exact block distribution lists every spin configuration: stay at 20 spins or fewer, e.g. 4x4"
        )
    p = np.exp(enumeration.log_distribution(shape, T, J, h, plaquette))
    y = coarse_configurations(enumeration.configurations(n_sites), shape, stride)
    outcomes, index = np.unique(y, axis=0, return_inverse=True)
    return Distribution(outcomes, np.log(np.bincount(index.ravel(), weights=p)), T)


def sharpen(source: Distribution, T: float) -> Distribution:
    """What the method predicts at T: p^(T0/T), normalised over the same outcomes."""
    ln_p = source.log_p * (source.T / T)
    return Distribution(source.outcomes, ln_p - logsumexp(ln_p), T)


def ceiling(
    shape: Sequence[int],
    stride: int,
    T0: float,
    T: float,
    J: float = 1.0,
    h: float = 0.0,
    plaquette: float = 0.0,
) -> dict[str, float]:
    """Exact blocks at T against exact blocks at T0 sharpened to T: |M| of both, and D_KL(exact ||
    predicted) in nats.
    """
    exact = distribution(shape, stride, T, J, h, plaquette)
    predicted = sharpen(distribution(shape, stride, T0, J, h, plaquette), T)
    m = block_magnetization(exact.outcomes)
    p, q = np.exp(exact.log_p), np.exp(predicted.log_p)
    return {
        "exact_abs_magnetization": float(p @ m),
        "predicted_abs_magnetization": float(q @ m),
        "kl_divergence": float(p @ (exact.log_p - predicted.log_p)),
    }
