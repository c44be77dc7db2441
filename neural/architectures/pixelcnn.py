"""Masked convolutions. van den Oord, Kalchbrenner, Kavukcuoglu, Pixel recurrent neural networks, ICML (2016)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.exact import InputError
from vanbench.neural.architectures.incremental import Incremental
from vanbench.neural.architectures.lattice import taps, window


class Window(nn.Module):
    """A convolution over the given offsets, as one matrix product over gathered sites; at any set of sites.

    Its input holds a row of zeros for the outside of the lattice and then the sites: ``(batch, 1 + n, inputs)``.
    """

    def __init__(self, shape: tuple[int, ...], offsets: list[tuple[int, ...]], inputs: int, outputs: int):
        super().__init__()
        self.taps: Tensor
        self.register_buffer("taps", taps(shape, offsets), persistent=False)
        fan_in = max(1, len(offsets) * inputs)
        self.weight = nn.Parameter(torch.randn(outputs, len(offsets) * inputs) / fan_in**0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, h: Tensor, first: int, last: int) -> Tensor:
        """Results at the sites ``first..last - 1``, ``(batch, last - first, outputs)``."""
        seen = self.taps[first:last]
        gathered = h.index_select(1, seen.flatten()).view(len(h), len(seen), self.weight.shape[1])
        return F.linear(gathered, self.weight, self.bias)


class PixelCNN(Incremental):
    """Residual layers of ``width`` channels; each site sees a window of ``radius`` of the sites before it.

    The window covers the same line up to the site and whole lines before it. Sites before a given one but outside
    the cone of its windows stay unseen: the blind spot that ``gated-pixelcnn`` does away with.

    layers
        by default as many as take the window across the lattice, at least two.
    """

    def __init__(
        self, shape: tuple[int, ...], local_dim: int = 2, width: int = 16, radius: int = 2, layers: int | None = None
    ):
        super().__init__(shape, local_dim)
        depth = check_window(self.shape, width, radius, layers)
        around = window(self.shape, [range(-radius, radius + 1)] * len(self.shape))
        zero = (0,) * len(self.shape)
        before = [offset for offset in around if offset < zero]
        self.site = nn.Parameter(0.1 * torch.randn(self.n_sites, width))
        self.layers = nn.ModuleList(
            Window(self.shape, [*before, zero] if n else before, width if n else self.channels, width)
            for n in range(depth)
        )
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, local_dim, bias=False)

    def advance(self, z: Tensor, first: int, last: int, cache: list | None) -> tuple[Tensor, list]:
        h = F.pad(self.encode(z[:, :last]), (0, 0, 1, 0))
        features = []
        for n, layer in enumerate(self.layers):
            mixed = layer(h, first, last)
            new = torch.tanh(mixed + self.site[first:last]) if n == 0 else h[:, first + 1 :] + torch.tanh(mixed)
            h = extended(None if cache is None else cache[n], first, new)
            features.append(h)
        return self.output(torch.tanh(self.hidden(h[:, first + 1 :]))), features


def extended(known: Tensor | None, first: int, new: Tensor) -> Tensor:
    """Features of the sites before ``first``, behind their row of zeros, and the new ones."""
    return F.pad(new, (0, 0, 1, 0)) if known is None else torch.cat([known[:, : first + 1], new], 1)


def check_window(shape: tuple[int, ...], width: int, radius: int, layers: int | None) -> int:
    """The number of layers; raises ``InputError`` for hyperparameters that make no network."""
    if width < 1 or radius < 1 or (layers is not None and layers < 1):
        raise InputError(f"width = {width}, radius = {radius}, layers = {layers}: they must be positive.")
    return max(2, math.ceil((max(shape) - 1) / radius)) if layers is None else layers
