"""Densities without conditionals, written as plain torch modules, and each as `vanbench.wrap` takes it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vanbench


class Chain(nn.Module):
    """A MADE over bits, sites from left to right, that is a product where ``last`` is zero."""

    def __init__(self, n: int, width: int = 8):
        super().__init__()
        unit = torch.arange(width) % max(1, n - 1)
        sites = torch.arange(n)
        self.register_buffer("inward", (unit[:, None] >= sites).double())
        self.register_buffer("outward", (sites[:, None] > unit).double())
        self.first = nn.Parameter(torch.randn(width, n))
        self.shift = nn.Parameter(torch.randn(width))
        self.last = nn.Parameter(torch.zeros(n, width))
        self.bias = nn.Parameter(torch.zeros(n))

    def logits(self, x: Tensor) -> Tensor:
        hidden = torch.tanh((2 * x - 1) @ (self.first * self.inward.to(self.first)).T + self.shift)
        return hidden @ (self.last * self.outward.to(self.last)).T + self.bias

    def log_prob(self, x: Tensor) -> Tensor:
        return F.logsigmoid((2 * x - 1) * self.logits(x)).sum(-1)

    def draw(self, uniforms: Tensor) -> Tensor:
        x = torch.zeros_like(uniforms)
        for i in range(uniforms.shape[1]):
            up = uniforms[:, i] < torch.sigmoid(self.logits(x)[:, i])
            x = torch.where(torch.arange(uniforms.shape[1]) == i, up[:, None].to(x), x)
        return x

    def initialise(self, product: Tensor) -> None:
        self.last.zero_()
        self.bias.copy_(product[:, 1].log() - product[:, 0].log())


def split(uniforms: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The part of ``[0, 1]`` between ``edges`` that the first number of each row falls into, and fresh numbers."""
    first = uniforms[:, 0].contiguous()
    part = (first[:, None] >= edges[1:-1]).sum(1)
    rest = (first - edges[part]) / (edges[part + 1] - edges[part])
    return part, torch.cat([rest.clamp(0, 1 - 1e-7)[:, None], uniforms[:, 1:]], 1)


class Average(nn.Module):
    """``p(x) = (q(x) + q(x backwards)) / 2``: symmetric under reflection, whatever ``q``."""

    def __init__(self, n_sites: int):
        super().__init__()
        self.q = Chain(n_sites)

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.logaddexp(self.q.log_prob(x), self.q.log_prob(x.flip(1))) - math.log(2)

    def draw(self, uniforms: Tensor) -> Tensor:
        back, fresh = split(uniforms, torch.linspace(0, 1, 3).to(uniforms))
        x = self.q.draw(fresh)
        return torch.where(back[:, None] > 0, x.flip(1), x)

    def initialise(self, product: Tensor) -> None:
        if not torch.allclose(product, product.flip(0)):
            raise ValueError("it is symmetric under reflection, and that start is not.")
        self.q.initialise(product)


class Blend(nn.Module):
    """``sum_k w_k p_k(x)`` of a product and two MADEs, in spins."""

    def __init__(self, n_sites: int):
        super().__init__()
        self.parts = nn.ModuleList([Chain(n_sites, width) for width in (1, 6, 6)])
        self.weight = nn.Parameter(torch.zeros(3))

    def log_prob(self, spins: Tensor) -> Tensor:
        parts = torch.stack([part.log_prob((spins + 1) / 2) for part in self.parts], 1)
        return (parts + self.weight.log_softmax(0)).logsumexp(1)

    def draw(self, uniforms: Tensor) -> Tensor:
        edges = F.pad(self.weight.softmax(0).cumsum(0), (1, 0))
        which, fresh = split(uniforms, edges)
        drawn = torch.stack([part.draw(fresh) for part in self.parts])
        return 2 * drawn.gather(0, which[None, :, None].expand(1, *fresh.shape))[0] - 1

    def initialise(self, product: Tensor) -> None:
        for part in self.parts:
            part.initialise(product)


class Flow(nn.Module):
    """Bits of a factorised base, a half of which is XORed with parities of the other, twice; ``sample(n)`` alone."""

    def __init__(self, n_sites: int, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        half = n_sites // 2
        self.base = nn.Parameter(torch.zeros(n_sites))
        self.register_buffer("there", torch.randint(0, 2, (n_sites - half, half), generator=generator))
        self.register_buffer("back", torch.randint(0, 2, (half, n_sites - half), generator=generator))

    def log_prob(self, x: Tensor) -> Tensor:
        left, right = x[:, : len(self.back)], x[:, len(self.back) :]
        right = (right + left @ self.there.T) % 2
        left = (left + right @ self.back.T) % 2
        return F.logsigmoid((2 * torch.cat([left, right], 1) - 1) * self.base).sum(1)

    def sample(self, n: int) -> Tensor:
        z = (torch.rand(n, len(self.base)) < torch.sigmoid(self.base)).long()
        left, right = z[:, : len(self.back)], z[:, len(self.back) :]
        left = (left + right @ self.back.T) % 2
        right = (right + left @ self.there.T) % 2
        return torch.cat([left, right], 1)

    def initialise(self, product: Tensor) -> None:
        if not torch.allclose(product, torch.full_like(product, 0.5)):
            raise ValueError("of products, this flow has the uniform one alone.")
        self.base.zero_()


class Trained(Flow):
    """It has no product start."""

    initialise = None  # type: ignore[assignment]


Symmetric = vanbench.wrap(Average, input="bits", output="log_prob")
Blended = vanbench.wrap(Blend, output="log_prob")
Flowing = vanbench.wrap(Flow, input="tokens", output="log_prob")
Unstarted = vanbench.wrap(Trained, input="tokens", output="log_prob", name="Unstarted")
DENSITIES = [Symmetric, Blended, Flowing]
