"""A causal Transformer over the sites. Vaswani et al., NIPS (2017); for POVM outcomes Luo, Chen, Carrasquilla, Clark,
Phys. Rev. Lett. 128, 090501 (2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.exact import InputError
from vanbench.neural.architectures.incremental import Incremental

GEMM = 16  # members of a group from which a matrix product is faster than broadcasting


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
        return self._forward(h + self.mix(seen.view(q.shape).transpose(1, 2).flatten(2))), (k, v)

    def _split(self, h: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys, values ``(heads, n, width/heads)`` of tokens ``(n, width)``."""
        split = self.queries(self.normal_attention(h)).unflatten(-1, (3, self.heads, -1))
        return split.permute(1, 2, 0, 3).contiguous().unbind()

    def _forward(self, h: Tensor) -> Tensor:
        return h + self.contract(torch.relu(self.expand(self.normal_forward(h))))

    def branch_first(self, h: Tensor, known: list[tuple[Tensor, Tensor]]) -> Tensor:
        """As `branch`, for the first block, whose tokens ``h`` ``(b, width)`` tell only the last of the ``b`` values.

        Scores and values then depend on two values each. The sums over the ranks, above and below the line of the
        softmax, grow with the tree, one rank a level: the whole attention costs little more than its last term.
        """
        q, k, v = self._split(h)
        known.append((k, v))
        scores = [torch.einsum("hje,hbe->hjb", key, q) * q.shape[-1] ** -0.5 for key, _ in known]
        scores[-1] = scores[-1].diagonal(dim1=1, dim2=2)[:, None]  # a token sees itself, not its siblings
        # (heads, prefixes, b, ...): above and below the line, in units of the exponential of the largest score so far
        above, below, top = q.new_zeros(1, 1, 1, 1), q.new_zeros(1, 1, 1), q.new_full((1, 1, 1), -torch.inf)
        for part, (_, value) in zip(scores, known):
            above, below, top = above[:, :, None], below[:, :, None], top[:, :, None]
            now = torch.maximum(top, part.detach()[:, None])
            before, factor = (top - now).exp(), (part[:, None] - now).exp()
            values = value[:, None, :, None] if part is not scores[-1] else value[:, None, None]
            above = (above * before[..., None] + factor[..., None] * values).flatten(1, 2)
            below, top = (below * before + factor).flatten(1, 2), now.flatten(1, 2)
        seen = above / below[..., None]
        return self._forward(h + self.mix(seen.permute(1, 2, 0, 3).flatten(2))).flatten(0, 1)

    def branch(self, h: Tensor, known: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The tokens of all prefixes of one length, ``(d**k, width)``, in order; ``known`` gets their keys and values.

        Prefixes that begin alike attend to the same keys of the ranks before, which are therefore not copied:
        ``known[j]`` has ``(heads, d**j, width/heads)``.
        """
        q, k, v = self._split(h)
        known.append((k, v))
        weights = torch.softmax(q.shape[-1] ** -0.5 * torch.stack([_scores(q, k) for k, _ in known]), 0)
        seen = torch.zeros_like(q)
        for weight, (_, v) in zip(weights, known):
            seen = _add_values(seen, weight, v)
        return self._forward(h + self.mix(seen.transpose(0, 1).flatten(1)))


def _scores(q: Tensor, k: Tensor) -> Tensor:
    """Products of queries ``(heads, n, e)`` with each one's group's key, of ``(heads, groups, e)``: ``(heads, n)``."""
    grouped = q.view(k.shape[0] * k.shape[1], -1, k.shape[2])
    keys = k.reshape(-1, k.shape[2])
    if grouped.shape[1] < GEMM:
        return (grouped * keys[:, None]).sum(-1).view(q.shape[:2])
    return (grouped @ keys[..., None]).view(q.shape[:2])


def _add_values(seen: Tensor, weights: Tensor, v: Tensor) -> Tensor:
    """``seen`` ``(heads, n, e)`` plus, weighted by ``(heads, n)``, the value of the group of each."""
    grouped = seen.view(v.shape[0] * v.shape[1], -1, v.shape[2])
    factors, values = weights.reshape(len(grouped), -1, 1), v.reshape(len(grouped), 1, -1)
    add = torch.addcmul if grouped.shape[1] < GEMM else torch.baddbmm
    return add(grouped, factors, values).view(seen.shape)


class Transformer(Incremental):
    """``layers`` blocks of ``width`` and ``heads`` on tokens of the previous value and position, in raster order."""

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

    def log_prob_all(self, x: Tensor) -> Tensor:
        """As in `Incremental`, without a copy of the keys and values for each prefix: a quarter of the time at 4^9."""
        if self._pinned or self._total is not None:
            return super().log_prob_all(x)
        known: list[list] = [[] for _ in self.blocks]
        total, values = self.site_bias.new_zeros(1), self.encode(x[: self.local_dim, -1:])[:, 0]
        for k in range(self.n_sites):
            h = self.site[k : k + 1] + (self.value(values) if k else 0.0)
            for block, levels in zip(self.blocks, known):
                assert isinstance(block, Block)
                h = block.branch(h, levels) if levels is not known[0] else block.branch_first(h, levels)
            chosen = torch.log_softmax(self.output(self.normal(h)) + self.site_bias[k], -1)
            total = (total[:, None] + chosen).flatten()
        return self._on_support(x, total)
