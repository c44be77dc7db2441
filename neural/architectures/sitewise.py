"""Every site has a small network of its own: a linear part and a few tanh units over the earlier sites."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vanbench.exact import InputError
from vanbench.neural.architectures.incremental import Incremental
from vanbench.neural.autoregressive import Autoregressive


@dataclass
class _Weights:
    """Zero-padded, units or values before sites: a sum over units is then a sum of whole rows, which is fast."""

    linear: Tensor  # (d - 1, n_sites, inputs)
    hidden: Tensor  # (units, n_sites, inputs)
    bias: Tensor  # (units, n_sites)
    output: Tensor  # (d - 1, units, n_sites)


class Sitewise(Incremental):
    """``logit_i(v) = b_iv + sum_j<i a_ivj x_j + sum_u o_ivu tanh(c_iu + sum_j<i w_iuj x_j)``; value 0 has logit 0.

    No parameter serves two sites, so the Fisher matrix is block-diagonal (``site_blocks``), and the scores are known
    in closed form (``scores``). The parameters of one site lie side by side in ``packed``: linear, tanh weights, tanh
    biases, output; nothing masked is stored. ``x_j`` is -1 or 1, or an indicator of each value but the first.

    units
        tanh units of each site; 0 leaves a logistic regression.
    """

    scores_when_restricted = True

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, units: int = 4):
        super().__init__(shape, local_dim)
        if units < 0:
            raise InputError(f"units = {units}: it must not be negative.")
        self.units, self.values = units, local_dim - 1
        n, c, u, v = self.n_sites, self.values, units, self.values
        self._starts = [0]
        places: dict[str, list[Tensor]] = {"linear": [], "hidden": [], "bias": [], "output": []}
        for i in range(n):
            at = self._starts[-1]
            for name, rows, columns in (("linear", v, i * c), ("hidden", u, i * c), ("bias", u, 1), ("output", v, u)):
                width = n * c if name in ("linear", "hidden") else columns
                index = torch.full((rows, width), -1)
                index[:, :columns] = at + torch.arange(rows * columns).view(rows, columns)
                places[name].append(index)
                at += rows * columns
            self._starts.append(at)
        self.packed = torch.nn.Parameter(torch.zeros(self._starts[-1]))
        self._linear: Tensor
        self._hidden: Tensor
        self._bias: Tensor
        self._output: Tensor
        for name, indices in places.items():
            stacked = torch.stack(indices, 1)  # the entry -1 points at a zero appended to ``packed``
            self.register_buffer(f"_{name}", torch.where(stacked < 0, self._starts[-1], stacked), persistent=False)
        self._indices: dict[torch.device, list[Tensor]] = {}
        self._initialise_weights()

    def _initialise_weights(self) -> None:
        n, c, u = self.n_sites, self.values, self.units
        with torch.no_grad():
            for i in range(n):
                weights, biases, outputs = self._pieces(i)[1:]
                self.packed[weights] = torch.randn(u * i * c) / max(1, i * c) ** 0.5
                self.packed[biases] = 0.1 * torch.randn(u)
                self.packed[outputs] = 0.1 * torch.randn(self.values * u)

    def _pieces(self, site: int) -> list[slice]:
        """Where the linear, tanh, bias and output parameters of one site stand in ``packed``."""
        c, u, v = self.values, self.units, self.values
        ends, at = [], self._starts[site]
        for size in (v * site * c, u * site * c, u, v * u):
            ends.append(slice(at, at + size))
            at += size
        return ends

    def _factors(self, site: int) -> tuple[Tensor, Tensor]:
        """Of each score of one site the two factors: a residual or what it sends back; an input, tanh unit or one."""
        n, u, v = self.n_sites, self.units, self.values
        residuals = site * v + torch.arange(v)
        back = n * v + site + n * torch.arange(u)  # among the left factors, as the tanh units among the right ones
        inputs, one = torch.arange(site * v), torch.tensor([n * v + n * u])
        pairs = ((residuals, inputs), (back, inputs), (back, one), (residuals, back))
        left, right = zip(*(torch.meshgrid(a, b, indexing="ij") for a, b in pairs))
        return torch.cat([part.flatten() for part in left]), torch.cat([part.flatten() for part in right])

    def _pairs(self, device: torch.device) -> list[Tensor]:
        """The `_factors` of all scores, made when a GPU first asks for them."""
        if device not in self._indices:
            sites = zip(*(self._factors(i) for i in range(self.n_sites)))
            self._indices[device] = [torch.cat(parts).to(device) for parts in sites]
        return self._indices[device]

    def zero_output(self) -> None:
        for site in range(self.n_sites):
            linear, _, _, output = self._pieces(site)
            self.packed[linear] = 0.0
            self.packed[output] = 0.0

    def site_blocks(self) -> list[Tensor] | None:
        """For each site the indices of its parameters in the flat vector of ``scores``; the blocks share none.

        Left out are the biases of value 0, which change nothing that the other biases do not. None where
        configurations are excluded: their common factor ``1 / (1 - p(excluded))`` correlates the sites.
        """
        if len(self._excluded):
            return None
        d = self.local_dim
        bias = torch.arange(self.n_sites * d).view(self.n_sites, d)[:, 1:]
        offset = self.n_sites * d
        return [
            torch.cat([bias[i], offset + torch.arange(self._starts[i], self._starts[i + 1])])
            for i in range(self.n_sites)
        ]

    # -- evaluation ------------------------------------------------------------------------------------------------

    def _weights(self) -> _Weights:
        padded = torch.cat([self.packed, self.packed.new_zeros(1)])
        output = padded[self._output].transpose(1, 2)
        return _Weights(padded[self._linear], padded[self._hidden], padded[self._bias][..., 0], output)

    # a pass is so cheap that one call on all neighbours is as fast as sharing prefixes, and faster where few are used
    log_prob_moves = Autoregressive.log_prob_moves

    def advance(self, z: Tensor, first: int, last: int, cache: _Weights | None) -> tuple[Tensor, _Weights]:
        weights = self._weights() if cache is None else cache
        seen = (last - 1) * self.values
        inputs = self._side_by_side(z[:, : last - 1]) if last > 1 else self.packed.new_zeros(len(z), 0)
        rows = slice(first, last)
        shape = (-1, last - first)
        logits = (inputs @ weights.linear[:, rows, :seen].flatten(0, 1).T).unflatten(1, shape)
        if self.units:
            hidden, bias = weights.hidden[:, rows, :seen].flatten(0, 1), weights.bias[:, rows].flatten()
            h = torch.tanh(F.linear(inputs, hidden, bias)).unflatten(1, shape)
            logits = logits + torch.stack([(h * out).sum(1) for out in weights.output[..., rows].unbind(0)], 1)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1).transpose(1, 2), weights

    def scores(self, x: Tensor) -> Tensor:
        """``d ln p(x) / d theta``, ``(batch, n_parameters)``, parameters flattened in the order of ``parameters()``."""
        out = self._free_scores(x)
        if len(self._excluded):  # p = p_free / (1 - sum of p_free over the excluded)
            p = self._log_prob_unrestricted(self._excluded).exp()
            out = out + (p @ self._free_scores(self._excluded)) / (1 - p.sum())
        return out

    def _free_scores(self, x: Tensor) -> Tensor:
        weights = self._weights()
        d, u, c = self.local_dim, self.units, self.values
        taken = (x[..., None] == torch.arange(d, device=x.device)).to(self.packed.dtype)
        residual = taken - torch.softmax(self._restricted_logits(x), -1)  # of the logits
        if self._pinned:
            residual = residual * self._free[:, None]
        inputs = self._side_by_side(x)
        h = torch.tanh(F.linear(inputs, weights.hidden.flatten(0, 1), weights.bias.flatten())).view(
            len(x), u, self.n_sites
        )
        back = torch.einsum("bnv,vun->bun", residual[..., 1:], weights.output) * (1 - h * h)
        if x.device.type != "cpu":  # a few launches in place of a few for each site; on a CPU it is slower
            left = torch.cat([residual[..., 1:].flatten(1), back.flatten(1)], 1)
            right = torch.cat([inputs, h.flatten(1), torch.ones_like(inputs[:, :1])], 1)
            at, beside = self._pairs(x.device)
            return torch.cat([residual.flatten(1), left[:, at] * right[:, beside]], 1)
        parts = [residual.flatten(1)]
        for i in range(self.n_sites):
            seen, r = inputs[:, : i * c], residual[:, i, 1:]
            parts += [_outer(r, seen), _outer(back[..., i], seen), back[..., i], _outer(r, h[..., i])]
        return torch.cat(parts, 1)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, :, None] * b[:, None, :]).flatten(1)
