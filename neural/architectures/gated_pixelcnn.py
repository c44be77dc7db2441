"""Gated convolutions in a stack for each axis, without a blind spot.

van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu, Conditional image generation with PixelCNN
decoders, NIPS (2016).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.neural.architectures.incremental import Incremental
from vanbench.neural.architectures.lattice import window
from vanbench.neural.architectures.pixelcnn import Window, check_window, extended


class GatedPixelCNN(Incremental):
    """``width`` channels of ``tanh(f) * sigmoid(g)`` in every stack and layer, residual from the second layer on.

    Stack ``a`` sees the sites that agree with the given one on the axes before ``a`` and stand before it on axis
    ``a``, anywhere on the axes after: in 2D the vertical and the horizontal stack. Together they are all sites before
    it. Each stack feeds the next at the same site.

    layers
        by default as many as take windows of ``radius`` across the lattice (at least two): then every earlier site is
        seen.
    """

    def __init__(
        self, shape: tuple[int, ...], local_dim: int = 2, width: int = 16, radius: int = 2, layers: int | None = None
    ):
        super().__init__(shape, local_dim)
        depth = check_window(self.shape, width, radius, layers)
        axes = range(len(self.shape))
        self.width = width
        self.site = nn.Parameter(0.1 * torch.randn(self.n_sites, 2 * width))
        self.layers = nn.ModuleList(
            Window(self.shape, self._offsets(axis, radius, n == 0), width if n else self.channels, 2 * width)
            for n in range(depth)
            for axis in axes
        )
        self.links = nn.ModuleList(nn.Linear(width, 2 * width, bias=False) for _ in range(depth) for _ in axes[1:])
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, local_dim, bias=False)

    def _offsets(self, axis: int, radius: int, strict: bool) -> list[tuple[int, ...]]:
        behind = range(-radius, 0 if strict else 1)
        after = [range(-radius, radius + 1)] * (len(self.shape) - axis - 1)
        return window(self.shape, [*[range(1)] * axis, behind, *after])

    def _reach(self, axis: int, last: int) -> int:
        """Where stack ``axis`` ends when the sites before ``last`` are wanted: with the line of ``last - 1``."""
        line = math.prod(self.shape[axis + 1 :])
        return -(-last // line) * line

    def advance(self, z: Tensor, first: int, last: int, cache: list | None) -> tuple[Tensor, list]:
        values = F.pad(self.encode(z), (0, 0, 1, 0))
        axes = len(self.shape)
        features: list[Tensor] = []  # of layer 0 and every stack, layer 1 and every stack, ...
        for n, convolve in enumerate(self.layers):
            axis = n % axes
            start, stop = self._reach(axis, first), self._reach(axis, last)
            if cache is not None and start == stop:
                features.append(cache[n])
                continue
            below = features[n - axes] if n >= axes else values
            mixed = convolve(below, start, stop)
            if axis:
                link = self.links[n // axes * (axes - 1) + axis - 1]
                mixed = mixed + link(features[n - 1][:, start + 1 : stop + 1])
            if n < axes:
                mixed = mixed + self.site[start:stop]
            new = torch.tanh(mixed[..., : self.width]) * torch.sigmoid(mixed[..., self.width :])
            if n >= axes:
                new = new + below[:, start + 1 : stop + 1]
            features.append(extended(None if cache is None else cache[n], start, new))
        h = features[-1][:, first + 1 : last + 1]
        return self.output(torch.tanh(self.hidden(h))), features
