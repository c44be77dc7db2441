"""Plain torch modules in the shapes in which other people's networks come, and each as `vanbench.wrap` takes it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import vanbench

WIDTH = 6


class MaskedConv(nn.Conv2d):
    """Its mask is multiplied into ``weight.data`` in every call; ``exclusive`` leaves out the pixel itself."""

    def __init__(self, inputs: int, outputs: int, exclusive: bool):
        super().__init__(inputs, outputs, 3, padding=1)
        self.register_buffer("mask", torch.ones_like(self.weight))
        self.mask[:, :, 1, 1 + (not exclusive) :] = 0
        self.mask[:, :, 2:] = 0

    def forward(self, x: Tensor) -> Tensor:
        self.weight.data *= self.mask
        return super().forward(x)


class PixelCNN(nn.Module):
    """Spins ``(batch, 1, L, L)`` to the probability of up, of the same shape."""

    def __init__(self, shape: tuple[int, ...], layers: int = 2):
        super().__init__()
        first, *rest = [MaskedConv(WIDTH if k else 1, WIDTH, not k) for k in range(layers)]
        self.net = nn.Sequential(first, nn.PReLU(WIDTH), *rest, nn.PReLU(WIDTH), nn.Conv2d(WIDTH, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class MaskedLinear(nn.Linear):
    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """Spins ``(batch, n)`` to logits ``(batch, 2 n)``, all of value 0 first; sites in an order of its own."""

    def __init__(self, shape: tuple[int, ...], seed: int = 3):
        super().__init__()
        n = math.prod(shape)
        rank = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        hidden = torch.arange(4 * n) % max(1, n - 1)
        outward = (rank[:, None] > hidden).repeat(2, 1)
        self.net = nn.Sequential(MaskedLinear(hidden[:, None] >= rank), nn.ReLU(), MaskedLinear(outward))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Recurrent(nn.Module):
    """One-hot sites ``(batch, n, d)``, shifted by one inside, through ``nn.GRU``: logits ``(batch, n, d)``."""

    def __init__(self, local_dim: int):
        super().__init__()
        self.rnn = nn.GRU(local_dim, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, local_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(F.pad(x, (0, 0, 1, -1)))[0])


class Cells(nn.Module):
    """One-hot sites through ``nn.GRUCell``, site by site, to normalised probabilities."""

    def __init__(self, local_dim: int):
        super().__init__()
        self.cell, self.head = nn.GRUCell(local_dim, WIDTH), nn.Linear(WIDTH, local_dim)

    def forward(self, x: Tensor) -> Tensor:
        h, before, out = x.new_zeros(len(x), WIDTH), torch.zeros_like(x[:, 0]), []
        for site in x.unbind(1):
            h = self.cell(before, h)
            out.append(torch.softmax(self.head(h), -1))
            before = site
        return torch.stack(out, 1)


class Block(nn.Module):
    """Attention with a mask in a persistent buffer, and a perceptron that is called through a closure."""

    def __init__(self, n: int):
        super().__init__()
        self.norm, self.mix, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.ModuleDict({"up": nn.Linear(WIDTH, 8), "down": nn.Linear(8, WIDTH), "drop": nn.Dropout(0.1)})
        layers = self.mlp
        self.mlpf = lambda x: layers["drop"](layers["down"](F.gelu(layers["up"](x))))
        self.register_buffer("bias", torch.tril(torch.ones(n, n)))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.mix(self.norm(x)).chunk(3, -1)
        weight = (q @ k.mT / WIDTH**0.5).masked_fill(self.bias[: x.shape[1], : x.shape[1]] == 0, -torch.inf)
        x = x + self.out(torch.softmax(weight, -1) @ v)
        return x + self.mlpf(x)


class LanguageModel(nn.Module):
    """Tokens ``(batch, n)`` to the logits of the next one, and a loss; embedding and head share their weights."""

    def __init__(self, n_sites: int, local_dim: int):
        super().__init__()
        self.tokens, self.places = nn.Embedding(local_dim + 1, WIDTH), nn.Embedding(n_sites, WIDTH)
        self.block, self.norm = Block(n_sites), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, local_dim + 1, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        h = self.tokens(x) + self.places.weight[: x.shape[1]]
        return self.head(self.norm(self.block(h))), None


class Bare(nn.Module):
    """Nothing but parameters, one of them a number, and a mask: bits ``(batch, n)`` to the log-odds of 1."""

    def __init__(self, n_sites: int):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.inward = nn.Parameter(torch.randn(n_sites, n_sites, WIDTH) / n_sites)
        self.outward = nn.Parameter(torch.randn(n_sites, WIDTH))
        self.register_buffer("mask", torch.tril(torch.ones(n_sites, n_sites), -1))

    def forward(self, x: Tensor) -> Tensor:
        h = torch.einsum("bj,ijw->biw", x, self.inward * self.mask[..., None])
        return self.scale * (torch.tanh(h) * self.outward).sum(-1)


class Snake(nn.Module):
    """Hidden states of the neighbours above and behind, the rows in turn from the left and from the right."""

    def __init__(self, shape: tuple[int, ...], local_dim: int):
        super().__init__()
        self.shape = shape
        self.across = nn.Parameter(0.4 * torch.randn(WIDTH, 2 * (WIDTH + local_dim)))
        self.head = nn.Parameter(0.4 * torch.randn(local_dim, WIDTH))

    def forward(self, x: Tensor) -> Tensor:  # (batch, d, rows, columns)
        rows, columns = self.shape
        none = torch.cat([x.new_zeros(len(x), WIDTH), torch.zeros_like(x[:, :, 0, 0])], 1)
        known: dict[tuple[int, int], Tensor] = {}
        out: dict[tuple[int, int], Tensor] = {}
        for i in range(rows):
            step = 1 if i % 2 == 0 else -1
            for j in range(columns)[::step]:
                around = torch.cat([known.get((i - 1, j), none), known.get((i, j - step), none)], 1)
                h = torch.tanh(around @ self.across.T)
                out[i, j] = h @ self.head.T
                known[i, j] = torch.cat([h, x[:, :, i, j]], 1)
        return torch.stack([torch.stack([out[i, j] for j in range(columns)], -1) for i in range(rows)], -2)


class Single(nn.Module):
    """It makes tensors of float32 whatever it is given."""

    def __init__(self, n_sites: int):
        super().__init__()
        strict, inclusive = (torch.ones(n_sites, n_sites).tril(k) for k in (-1, 0))
        self.net = nn.Sequential(MaskedLinear(strict), nn.Tanh(), MaskedLinear(inclusive))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.float())


class Normed(nn.Module):
    """Weights in directions and lengths, frozen places, and another path around the last layer."""

    def __init__(self, n_sites: int):
        super().__init__()
        lower = torch.tril(torch.ones(n_sites, n_sites), -1)
        self.places = nn.Parameter(torch.linspace(-1, 1, n_sites), requires_grad=False)
        self.around = MaskedLinear(lower)
        self.inside = nn.utils.parametrizations.weight_norm(nn.Linear(1, WIDTH))
        self.last = nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 1))
        self.lower: Tensor
        self.register_buffer("lower", lower / n_sites)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.inside((x @ self.lower.T + self.places)[..., None]))
        return self.around(x) + self.last(h)[..., 0]


ANY: dict[str, Any] = {"local_dims": None}
Pixels = vanbench.wrap(PixelCNN, layout="image", output="p_up")
Masked = vanbench.wrap(MADE)
Gru = vanbench.wrap(Recurrent, input="onehot", **ANY)
GruCells = vanbench.wrap(Cells, input="onehot", output="p", **ANY)
Gpt = vanbench.wrap(LanguageModel, input="tokens", shift=True, **ANY)
Parameters = vanbench.wrap(Bare, input="bits", output="logit_up")
Rows = vanbench.wrap(Snake, input="onehot", layout="image", **ANY)
Float32 = vanbench.wrap(Single, output="logit_up", dtypes=("float32",))
Weights = vanbench.wrap(Normed, output="logit_up")

WRAPPED = [Pixels, Masked, Gru, GruCells, Gpt, Parameters, Rows, Float32, Weights]
SHAPE = {Pixels: (2, 2), Rows: (2, 2)}  # of the others: a chain
