"""The three-spin ring, where an autoregressive network's conditionals are known in closed form, in any
order of sites.

Wang, Jiang, Zhou, "Neural network statistical mechanics", arXiv:2007.01037, appendix. With K = J/T and s in
{-1, +1}:

    p(s1) = 1/2
    p(s2 | s1) = e^(K s1 s2) 2 cosh(K (s1 + s2)) / sum over s2
    p(s3 | s1, s2) = 1 / (1 + e^(-2 K s3 (s1 + s2)))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.errors import InputError
from vanbench.exact.ising.enumeration import configurations
from vanbench.exact.ising.lattice import FloatArray, spins


def ring_conditionals(K: float) -> FloatArray:
    """p(x_1), p(x_2 | x_1), p(x_3 | x_1, x_2) of all eight configurations, (8, 3); by symmetry the same in
    any order.
    """
    s1, s2, s3 = spins(configurations(3)).T.astype(float)
    aligned, opposed = np.exp(K) * 2 * np.cosh(2 * K), np.exp(-K) * 2
    second = np.where(s1 == s2, aligned, opposed) / (aligned + opposed)
    third = 1 / (1 + np.exp(-2 * K * s3 * (s1 + s2)))
    return np.stack([np.full(8, 0.5), second, third], axis=1)


def conditionals(log_p: FloatArray, order: Sequence[int]) -> FloatArray:
    """The chain-rule factors of any distribution over spins, in any order of sites.

    log_p (2^n,) as `enumeration.log_distribution`; returns (2^n, n) whose column k is p(x_order[k] |
    x_order[:k]), so each row multiplies to p(x). Raises InputError unless `order` is a permutation of the n
    sites.
    """
    n = len(log_p).bit_length() - 1
    if sorted(order) != list(range(n)) or len(log_p) != 2**n:
        raise InputError(f"the order must name each of the {n} sites once, from 0 to {n - 1}")
    p = np.exp(log_p).reshape((2,) * n)
    marginals = [
        np.broadcast_to(p.sum(axis=tuple(order[k:]), keepdims=True), p.shape).reshape(-1) for k in range(n + 1)
    ]
    return np.stack([marginals[k + 1] / marginals[k] for k in range(n)], axis=1)
