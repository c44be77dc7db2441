"""A gated recurrent unit along the sites. Cho et al., EMNLP (2014); Hibat-Allah et al., PRR 2, 023358 (2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.exact import InputError
from vanbench.neural.architectures.incremental import Incremental


class GRU(Incremental):
    """One recurrent layer of ``width`` units in raster order, then one hidden layer and a head shared by all sites.

    The biases of the cell are a site's own, so that a lattice without translation symmetry is no harder.
    """

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, width: int = 32):
        super().__init__(shape, local_dim)
        if width < 1:
            raise InputError(f"width = {width}: it must be positive.")
        self.width = width
        inputs = self.channels + width
        self.site = nn.Parameter(0.1 * torch.randn(self.n_sites, 3 * width))
        self.gates = nn.Parameter(torch.randn(2 * width, inputs) / inputs**0.5)
        self.candidate = nn.Parameter(torch.randn(width, inputs) / inputs**0.5)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, local_dim, bias=False)

    def advance(self, z: Tensor, first: int, last: int, cache: list | None) -> tuple[Tensor, list]:
        states = [] if cache is None else cache[:first]
        h = states[-1] if states else self.site.new_zeros(len(z), self.width)
        for k in range(first, last):
            before = self.encode(z[:, k - 1 : k])[:, 0] if k else self.site.new_zeros(len(z), self.channels)
            h = self._cell(before, h, self.site[k])
            states.append(h)
        return self.output(torch.tanh(self.hidden(torch.stack(states[first:], 1)))), states

    def _cell(self, before: Tensor, h: Tensor, bias: Tensor) -> Tensor:
        w = self.width
        gates = torch.sigmoid(F.linear(torch.cat([before, h], 1), self.gates, bias[: 2 * w]))
        reset, update = gates[:, :w], gates[:, w:]
        new = torch.tanh(F.linear(torch.cat([before, reset * h], 1), self.candidate, bias[2 * w :]))
        return new + update * (h - new)
