"""The equilibrium baseline: a restricted Boltzmann machine with the same hidden units, trained the same way.

A restricted Boltzmann machine is the two-kernel chain with tied kernels: B(z|x) and A(x|z) are the conditionals of one
energy E(x, z) = -b.x - c.z - x W z, so that wbar = W^T and abar = c + W^T centre, binary units. Everything that solves
or estimates the chain applies to it unchanged, and its entropy production is zero. Its gradient is the usual
difference of moments (Smolensky 1986; persistent chains: Tieleman 2008), centred by the data mean
(Melchior, Fischer and Wiskott 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from vanbench.exact.cycles.chain import CycleParams, hidden_field, hidden_states, logsumexp, softplus, visible_logits
from vanbench.neural.cycles.training import Schedule, initial_params, train


def tie(params: CycleParams) -> CycleParams:
    """Give B the weights of A: wbar = W^T. ``abar`` is the hidden bias at the centre, c + W^T centre."""
    with torch.no_grad():
        params.wbar.copy_(params.w.transpose(-1, -2))
    return params


def moment_gradient(params: CycleParams, data: torch.Tensor, chain: torch.Tensor) -> dict[str, torch.Tensor]:
    """Data minus chain moments, in the coordinates (W, b, abar) with inputs centred; all (runs, ...).

    With u = x - centre the energy is -b.x - abar.z - u W z, so the derivatives are the moments of u z, x and z.
    """

    def moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        u = x - params.centre
        z = torch.sigmoid(hidden_field(params, x))
        return u.transpose(-1, -2) @ z / x.shape[-2], x.mean(dim=-2), z.mean(dim=-2)

    difference = [d - c for d, c in zip(moments(data), moments(chain), strict=True)]
    gradient = dict(zip(("w", "b", "abar"), difference, strict=True))
    return gradient | {"wbar": torch.zeros_like(params.wbar)}


def train_rbm(
    data: np.ndarray, n_hidden: int, runs: int, schedule: Schedule, seed: int
) -> Iterator[tuple[int, CycleParams]]:
    """Train ``runs`` machines at once; yields ``(epoch, parameters)`` like :func:`neural.cycles.training.train`.

    Starts from the log-odds of the data as visible bias and small random weights (standard deviation 0.01).
    """
    start = initial_params(data, n_hidden, runs, "binary", seed)
    noise = torch.Generator().manual_seed(seed)
    w = 0.01 * torch.randn(start.w.shape, generator=noise, dtype=torch.float64)
    start = tie(replace(start, w=w))
    yield from train(data, start, schedule, seed, gradient=moment_gradient, tie=tie)


def log_likelihood(params: CycleParams, data: np.ndarray) -> np.ndarray:
    """Exact ln p(x_n) of one tied binary machine (NumPy), the partition function summed over its 2^L hidden states.

    p(x) = exp(b.x + sum_l softplus(c_l + (W^T x)_l)) / Z, c = abar - W^T centre; (N,).
    """
    c = params.abar - params.w.T @ params.centre
    states = hidden_states(params.n_hidden, "binary")
    log_z = logsumexp(states @ c + softplus(visible_logits(params)).sum(axis=-1), axis=0)
    return data @ params.b + softplus(data @ params.w + c).sum(axis=-1) - log_z
