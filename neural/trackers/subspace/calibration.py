"""Weights of samples under which known averages come out exactly: every control variate at once.

Deville and Saerndal, J. Am. Stat. Assoc. 87, 376 (1992). To first order it is the regression on the control variates.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAIRED = 40  # directions of a span whose pairs are control variates, at most: their number grows like its square
RANK = 1e-9  # control variates that depend on each other to this relative accuracy count once


def main_directions(u: Tensor, cut: float) -> Tensor:
    """``(K, D)``: the directions in which the columns of ``u`` ``(n, K)`` differ most, ``PAIRED`` at most.

    Those with less than ``cut`` of the largest squared norm are left out.
    """
    norms, vectors = torch.linalg.eigh(u.T @ u)
    return vectors[:, -PAIRED:][:, norms[-PAIRED:] > cut * norms[-1]]


def controls(ratios: Tensor, u: Tensor, h: Tensor) -> Tensor:
    """What averages to 0 over the mean density ``m``, ``(n, number)``.

    The ``ratios`` ``(n, K)`` of normalised densities to ``m``, less 1, and ``u_j h_k - u_k h_j`` of all pairs of
    ``u = psi / sqrt(m)`` and ``h = H psi / sqrt(m)``, ``(n, D)``, for a symmetric ``H``.
    """
    j, k = torch.triu_indices(u.shape[1], u.shape[1], 1)
    return torch.cat([ratios - 1, u[:, j] * h[:, k] - u[:, k] * h[:, j]], 1)


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
