"""A causal Transformer over the sites. Vaswani et al., NIPS (2017); for POVM outcomes Luo, Chen, Carrasquilla, Clark,
Phys. Rev. Lett. 128, 090501 (2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exact import InputError

from .incremental import Incremental


class Block(nn.Module):
    """Attention to the tokens up to here, then a layer on each token; both normalised before and added."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.normal_attention, self.normal_forward = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, h: Tensor, before: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """New tokens ``(batch, n, width)`` after the keys and values ``(batch, heads, n_before, width/heads)``."""
        split = self.queries(self.normal_attention(h)).unflatten(-1, (3, self.heads, h.shape[-1] // self.heads))
        split = split.permute(2, 0, 3, 1, 4)
        q, k, v = split[0], split[1], split[2]
        if before is not None:
            k, v = torch.cat([before[0], k], 2), torch.cat([before[1], v], 2)
        later = q.new_full((q.shape[2], k.shape[2]), -torch.inf).triu(1 + k.shape[2] - q.shape[2])
        # mask, scale and product in one pass over the scores
        scores = torch.baddbmm(later, q.flatten(0, 1), k.flatten(0, 1).mT, alpha=q.shape[-1] ** -0.5)
        seen = torch.softmax(scores, -1) @ v.flatten(0, 1)
        h = h + self.mix(seen.view(q.shape).transpose(1, 2).flatten(2))
        return h + self.contract(torch.relu(self.expand(self.normal_forward(h)))), (k, v)


class Transformer(Incremental):
    """``layers`` blocks of ``width`` and ``heads`` on tokens of the value before and the position, in raster order."""

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, layers: int = 2, width: int = 32, heads: int = 2):
        super().__init__(shape, local_dim)
        if layers < 1 or width < 1 or heads < 1 or width % heads:
            raise InputError(
                f"layers = {layers}, width = {width}, heads = {heads}: all must be positive, width a multiple of heads."
            )
        self.value = nn.Linear(self.channels, width, bias=False)
        self.site = nn.Parameter(0.3 * torch.randn(self.n_sites, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.normal = nn.LayerNorm(width)
        self.output = nn.Linear(width, local_dim, bias=False)

    def advance(self, z: Tensor, first: int, last: int, cache: list | None) -> tuple[Tensor, list]:
        numbers = self.encode(z[:, max(first - 1, 0) : last - 1])
        if first == 0:
            numbers = F.pad(numbers, (0, 0, 1, 0))
        h = self.value(numbers) + self.site[first:last]
        known = []
        for n, block in enumerate(self.blocks):
            before = None if cache is None else (cache[n][0][:, :, :first], cache[n][1][:, :, :first])
            h, pair = block(h, before)
            known.append(pair)
        return self.output(self.normal(h)), known
