"""Masked autoencoder for distribution estimation. Germain, Gregor, Murray, Larochelle, ICML (2015)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.exact import InputError
from vanbench.neural.architectures.incremental import Incremental
from vanbench.neural.autoregressive import Autoregressive


class MaskedLinear(nn.Module):
    """A linear layer whose unit ``j`` sees unit ``i`` only where ``seen_by[j] >= degree[i]`` (or ``>`` if strict)."""

    def __init__(self, degree: Tensor, seen_by: Tensor, bias: bool = True, strict: bool = False):
        super().__init__()
        self.mask: Tensor
        mask = seen_by[:, None] > degree if strict else seen_by[:, None] >= degree
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(len(seen_by), len(degree))))
        self.bias = nn.Parameter(torch.zeros(len(seen_by))) if bias else None
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def masked(self) -> Tensor:
        return self.weight * self.mask


@dataclass
class _Weights:
    """Masked, so that sites and samples that follow each other share the product with the masks."""

    layers: list[tuple[Tensor, Tensor | None]]
    output: Tensor
    skip: Tensor | None


class MADE(Incremental):
    """Masked layers of ``hidden`` units, with a linear skip from the earlier sites to the logits.

    hidden
        widths of the hidden layers; by default one layer with four units per site. The units' degrees are spread
        evenly over the sites.
    skip
        add the linear path (its weights are masked too).
    residual
        add each hidden layer to the one before it if their widths agree.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        local_dim: int = 2,
        hidden: tuple[int, ...] | int | None = None,
        skip: bool = True,
        residual: bool = True,
    ):
        super().__init__(shape, local_dim)
        widths = (max(64, 4 * self.n_sites),) if hidden is None else (hidden,) if isinstance(hidden, int) else hidden
        if not widths or any(int(w) < 1 for w in widths):
            raise InputError(f"hidden = {hidden}: give one positive width per layer, like 64,64.")
        sites = torch.arange(1, self.n_sites + 1)
        inputs, outputs = sites.repeat_interleave(self.channels), sites.repeat_interleave(local_dim)
        degrees = [inputs, *(self._spread(int(w)) for w in widths)]
        self.layers = nn.ModuleList(MaskedLinear(a, b) for a, b in pairwise(degrees))
        output = {"hidden": MaskedLinear(degrees[-1], outputs, bias=False, strict=True)}
        if skip:
            output["skip"] = MaskedLinear(inputs, outputs, bias=False, strict=True)
        self.output = nn.ModuleDict(output)
        self.residual = residual
        self._known: list[list[int]] = [[int((units <= m).sum()) for m in range(self.n_sites)] for units in degrees[1:]]

    def _spread(self, width: int) -> Tensor:
        """Degrees ``1..n_sites - 1`` over ``width`` units (a unit of degree ``m`` sees the first ``m`` sites)."""
        return 1 + torch.arange(width) * max(self.n_sites - 1, 1) // width

    # a pass is so cheap that one call on all neighbours is as fast as sharing prefixes, and faster where few are used
    log_prob_moves = Autoregressive.log_prob_moves

    def advance(self, z: Tensor, first: int, last: int, cache: tuple | None) -> tuple[Tensor, tuple]:
        """Units are sorted by degree, so the sites ``first..last - 1`` add a slice of units to every layer."""
        weights, before = (self._weights(), []) if cache is None else cache
        inputs = self.encode(z[:, : last - 1]).flatten(1) if last > 1 else self.site_bias.new_zeros(len(z), 0)
        h, layers = inputs, []
        for n, (weight, bias) in enumerate(weights.layers):
            known, upto = self._known[n][first - 1] if first else 0, self._known[n][last - 1]
            new = torch.tanh(F.linear(h, weight[known:upto, : h.shape[1]], bias[known:upto]))
            if self.residual and n and len(weight) == weight.shape[1]:
                new = new + h[:, known:upto]
            h = torch.cat([before[n][:, :known], new], 1) if known else new
            layers.append(h)
        rows = slice(first * self.local_dim, last * self.local_dim)
        out = F.linear(h, weights.output[rows, : h.shape[1]])
        if weights.skip is not None:
            out = out + F.linear(inputs, weights.skip[rows, : inputs.shape[1]])
        return out.view(len(z), last - first, self.local_dim), (weights, layers)

    def _weights(self) -> _Weights:
        layers = cast("list[MaskedLinear]", list(self.layers))
        output = cast("dict[str, MaskedLinear]", dict(self.output.items()))
        skip = output["skip"].masked() if "skip" in output else None
        return _Weights([(layer.masked(), layer.bias) for layer in layers], output["hidden"].masked(), skip)
