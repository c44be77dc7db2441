"""Weights of samples under which known averages come out exactly: every control variate at once.

Deville and Saerndal, J. Am. Stat. Assoc. 87, 376 (1992). To first order it is the regression on the control variates.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAIRED = 32  # directions of a span whose pairs are control variates, at most: their number grows like its square
RANK = 1e-9  # control variates that depend on each other to this relative accuracy count once


def controls(ratios: Tensor, u: Tensor, h: Tensor, cut: float) -> Tensor:
    """What averages to 0 over the mean density ``m``, ``(n, number)``, for ``ratios``, ``u``, ``h`` ``(n, K)``.

    The ``ratios`` of normalised densities to ``m``, less 1, and ``u_j h_k - u_k h_j`` of the main directions of the
    span of the ``u = psi / sqrt(m)``, those of more than ``cut`` of its largest squared norm, with ``h = H psi /
    sqrt(m)`` of a symmetric ``H``.
    """
    norms, vectors = torch.linalg.eigh(u.T @ u / len(u))
    main = vectors[:, -PAIRED:][:, norms[-PAIRED:] > cut * norms[-1]]
    a, b = u @ main, h @ main
    j, k = torch.triu_indices(a.shape[1], a.shape[1], 1)
    return torch.cat([ratios - 1, a[:, j] * b[:, k] - a[:, k] * b[:, j]], 1)


def calibrated(values: Tensor, blocks: int) -> Tensor:
    """Weights close to ``1/n`` under which every column of ``values`` ``(n, number)`` averages to exactly 0.

    ``(1 + blocks, n)``: of all rows, then of those without each block (every ``blocks``-th row), which have weight 0.
    """
    rows = [values[b::blocks] for b in range(blocks)]
    counts = [len(part) for part in rows]
    sums, grams = [part.sum(0) for part in rows], [part.T @ part for part in rows]
    total, gram = torch.stack(sums).sum(0), torch.stack(grams).sum(0)
    out = [_weights(values, len(values), total, gram)]
    for b in range(blocks):
        out.append(_weights(values, len(values) - counts[b], total - sums[b], gram - grams[b]))
        out[-1][b::blocks] = 0.0
    return torch.stack(out)


def _weights(values: Tensor, n: int, total: Tensor, gram: Tensor) -> Tensor:
    mean = total / n
    centred = gram / n - mean[:, None] * mean
    scale = centred.diagonal().clamp_min(1e-300).sqrt()
    inverse = torch.linalg.pinv(centred / scale / scale[:, None], rtol=RANK, hermitian=True)
    return (1 - (values - mean) @ (inverse @ (mean / scale) / scale)) / n
