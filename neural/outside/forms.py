"""What a wrapped module takes and gives: configurations to its numbers, its numbers to logits and configurations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vanbench.exact import InputError

INPUTS = ("spins", "bits", "onehot", "tokens")
LAYOUTS = ("sites", "image")
OUTPUTS = ("logits", "p", "logit_up", "p_up", "log_prob")
CHANNELS = ("none", "first", "last", "flat")


@dataclass(frozen=True)
class Form:
    """The words of `wrap`."""

    input: str
    images: bool
    output: str
    channels: str
    shift: bool

    def encoded(self, x: Tensor, shape: tuple[int, ...], d: int, dtype: torch.dtype) -> Tensor:
        """Configurations ``(batch, n_sites)`` as the module takes them."""
        if self.input == "tokens":
            values = x.long()
        elif self.input == "onehot":
            values = (x[..., None] == torch.arange(d, device=x.device)).to(dtype)
        else:
            values = x.to(dtype) if self.input == "bits" else 2 * x.to(dtype) / (d - 1) - 1
        if self.images:
            values = values.unflatten(1, shape)
        if self.input != "onehot":
            return {"first": values.unsqueeze(1), "last": values.unsqueeze(-1)}.get(self.channels, values)
        if self.channels == "first":
            return values.movedim(-1, 1)
        return values.flatten(1) if self.channels == "flat" else values

    def configurations(self, values: Any, shape: tuple[int, ...], d: int) -> Tensor:
        """What `encoded` would turn into ``values``, integers ``(batch, n_sites)``."""
        values = _tensor(values)
        if self.input == "onehot":
            if self.channels == "flat":
                values = values.unflatten(-1, (-1, d))
            x = values.argmax(1 if self.channels == "first" else -1)
        else:
            x = values.round() if values.is_floating_point() else values
            if self.input == "spins":
                x = ((values.double() + 1) * (d - 1) / 2).round()
        sites = torch.Size(shape).numel()
        if x.numel() != len(x) * sites:
            raise InputError(f"it gives samples of shape {tuple(values.shape)}, and there are {sites} sites.")
        return x.reshape(len(x), sites)

    def decoded(self, out: Any, rows: int, n: int, d: int, last: bool) -> Tensor:
        """The module's output as logits ``(batch, n_sites, d)``; ``last``: values stand on the last axis, or first."""
        out = _tensor(out)
        up = self.output.endswith("_up")
        values = 1 if up else _values(out, rows, n, d)
        if out.shape[:1] != (rows,) or out.numel() != rows * n * values or not (values == 1 if up else values >= d):
            wanted = f"({rows}, {n})" if up else f"({rows}, {n}, {d})"
            raise InputError(f"it gives {tuple(out.shape)} for a batch of {rows}, where {wanted} is expected.")
        if up:
            one = out.reshape(rows, n)
            pair = torch.stack([torch.zeros_like(one) if self.output == "logit_up" else 1 - one, one], -1)
            return pair if self.output == "logit_up" else _log(pair)
        table = out.reshape(rows, n, values) if last else out.reshape(rows, values, n).mT
        return (_log(table) if self.output == "p" else table)[..., :d]


def _tensor(out: Any) -> Tensor:
    """Of an output that holds more, the logits: its attribute or entry of that name, else the first."""
    out = getattr(out, "logits", out)
    if isinstance(out, dict):
        out = out.get("logits", out)
    if isinstance(out, tuple | list) and out:
        out = out[0]
    if not isinstance(out, Tensor):
        raise InputError(f"it gives {type(out).__name__}, where a tensor is expected.")
    return out


def _values(out: Tensor, rows: int, n: int, d: int) -> int:
    return out.numel() // (rows * n) if rows else d


def _log(p: Tensor) -> Tensor:
    return p.clamp_min(torch.finfo(p.dtype).tiny).log()
