"""Tanh units whose kernels move with the site around the torus, beside a linear part for each site if wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.exact import InputError
from vanbench.neural.architectures.incremental import Incremental
from vanbench.neural.architectures.lattice import coordinates
from vanbench.neural.autoregressive import Autoregressive

REACH = 3.0  # decay length, in sites, of the kernels at the start: the nearest sites matter most


@dataclass
class _Weights:
    kernel: Tensor  # (units, n_sites, inputs), zero for the site itself and those after it
    linear: Tensor | None  # (d - 1, n_sites, inputs)
    output: Tensor  # (d - 1, units, n_sites)


class Circulant(Incremental):
    """``logit_i(v) = b_iv + sum_j<i a_ivj x_j + sum_u (o_uv + o_iuv) tanh(c_u + sum_j<i k_u(j - i) x_j)``.

    The displacement ``j - i`` is taken around the periodic lattice, so a kernel also knows the bonds that close it.
    All sites teach the same kernels: what one site meets rarely, such as an ordered neighbourhood in a disordered
    phase, all of them together meet often. Value 0 has logit 0; ``x_j`` is -1 or 1, or an indicator of each value but
    the first.

    units
        tanh units of each site.
    linear
        the part ``a``. Without it the logits are bounded, as those of finite couplings are: they cannot go on growing
        in neighbourhoods more ordered than the data (a coupling to one site is no loss: tanh is linear on -1 and 1).
    """

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, units: int = 8, linear: bool = True):
        super().__init__(shape, local_dim)
        if units < 1:
            raise InputError(f"units = {units}: give at least one.")
        n, values = self.n_sites, local_dim - 1
        self.units, self.values = units, values
        at, lengths = coordinates(self.shape), np.asarray(self.shape)
        displacement = np.ravel_multi_index(tuple(np.moveaxis((at - at[:, None]) % lengths, -1, 0)), self.shape)
        earlier = torch.tril(torch.ones(n, n), -1)
        self._place: Tensor
        self._earlier: Tensor
        self.register_buffer("_place", torch.where(earlier > 0, torch.as_tensor(displacement), n), persistent=False)
        self.register_buffer("_earlier", earlier.repeat_interleave(values, 1), persistent=False)
        distance = torch.as_tensor(np.minimum(at, lengths - at).sum(1))
        near = torch.exp(-distance / REACH).to(earlier)[:, None]
        # mostly of one sign: the first features are how well the neighbourhood is ordered
        start = 0.4 * torch.randn(units, n, values).abs() + 0.1 * torch.randn(units, n, values)
        self.kernel = nn.Parameter(near * start)
        self.shift = nn.Parameter(0.3 * torch.randn(units))
        self.linear = nn.Parameter(torch.zeros(values, n, n * values)) if linear else None
        self.output = nn.Parameter(torch.zeros(values, units, 1))
        self.own = nn.Parameter(torch.zeros(values, units, n))

    # a pass is so cheap that one call on all neighbours is as fast as sharing prefixes
    log_prob_moves = Autoregressive.log_prob_moves

    def zero_output(self) -> None:
        for parameter in (self.linear, self.output, self.own):
            if parameter is not None:
                nn.init.zeros_(parameter)

    def _weights(self) -> _Weights:
        kernel = F.pad(self.kernel, (0, 0, 0, 1))[:, self._place].flatten(2)  # the place n holds the zero
        linear = None if self.linear is None else self.linear * self._earlier
        return _Weights(kernel, linear, self.output + self.own)

    def advance(self, z: Tensor, first: int, last: int, cache: _Weights | None) -> tuple[Tensor, _Weights]:
        weights = self._weights() if cache is None else cache
        seen = (last - 1) * self.values
        inputs = self._side_by_side(z[:, : last - 1]) if last > 1 else self.kernel.new_zeros(len(z), 0)
        rows, grid = slice(first, last), (-1, last - first)
        fields = (inputs @ weights.kernel[:, rows, :seen].flatten(0, 1).T).unflatten(1, grid)
        h = torch.tanh(fields + self.shift[:, None])
        logits = torch.stack([(h * out).sum(1) for out in weights.output[..., rows].unbind(0)], 1)
        if weights.linear is not None:
            logits = logits + (inputs @ weights.linear[:, rows, :seen].flatten(0, 1).T).unflatten(1, grid)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1).transpose(1, 2), weights
