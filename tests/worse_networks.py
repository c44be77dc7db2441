"""Networks and training made worse, each in one way, and in every other way what they are in the registries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from vanbench.neural.architectures import ARCHITECTURES
from vanbench.neural.architectures.gru import GRU
from vanbench.neural.architectures.made import MADE, _Weights
from vanbench.neural.trackers import TRACKERS
from vanbench.neural.trackers.projected.kl import KL


class DeadMADE(MADE):
    """Logits times zero: a product state, whatever is trained."""

    def advance(self, z: Tensor, first: int, last: int, cache: Any) -> tuple[Tensor, Any]:
        logits, cache = super().advance(z, first, last, cache)
        return 0 * logits, cache


class DeadGRU(GRU):
    def advance(self, z: Tensor, first: int, last: int, cache: Any) -> tuple[Tensor, Any]:
        logits, cache = super().advance(z, first, last, cache)
        return 0 * logits, cache


class FrozenMADE(MADE):
    """The hidden layer stays as it was made."""

    def _weights(self) -> _Weights:
        found = super()._weights()
        found.layers = [(weight.detach(), None if bias is None else bias.detach()) for weight, bias in found.layers]
        return found


class FrozenGRU(GRU):
    """The whole cell stays as it was made."""

    def _cell(self, before: Tensor, h: Tensor, bias: Tensor) -> Tensor:
        return super()._cell(before, h, bias).detach()


class ShortSightedMADE(MADE):
    """Each site sees the one before it, and no other: the masks close every way that is longer."""

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, **options: Any):
        super().__init__(shape, local_dim, **options)
        site = torch.arange(self.n_sites)
        inputs, outputs = site.repeat_interleave(self.channels), site.repeat_interleave(local_dim)
        degrees = [self._spread(len(layer.weight)) for layer in self.layers]  # unit of degree m: site m - 1 alone
        for layer, degree in zip(self.layers, degrees):
            before = inputs + 1 if layer.weight.shape[1] == len(inputs) else degree
            layer.mask.copy_(degree[:, None] == before)
        self.output["hidden"].mask.copy_(outputs[:, None] == degrees[-1])
        if "skip" in self.output:
            self.output["skip"].mask.copy_(outputs[:, None] == inputs + 1)


class ShortSightedGRU(GRU):
    """Forgets all but the last site."""

    def _cell(self, before: Tensor, h: Tensor, bias: Tensor) -> Tensor:
        return super()._cell(before, torch.zeros_like(h), bias)


class HurriedKL(KL):
    """A tenth of the epochs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("epochs", "first_epochs"):
            object.__setattr__(self, name, getattr(self, name) // 10)


WORSE: dict[str, tuple[dict[str, Any], ...]] = {  # entries of ARCHITECTURES, of TRACKERS
    "logits times zero": ({"made": DeadMADE, "gru": DeadGRU}, {}),
    "a frozen layer": ({"made": FrozenMADE, "gru": FrozenGRU}, {}),
    "a mask that sees the last site alone": ({"made": ShortSightedMADE, "gru": ShortSightedGRU}, {}),
    "a tenth of the epochs": ({}, {"kl": HurriedKL}),
}


@contextmanager
def put_in_place(name: str) -> Iterator[None]:
    """Run under the names, labels and hashes of what they stand for; in this process alone."""
    kept = dict(ARCHITECTURES), dict(TRACKERS)
    try:
        for registry, entries in zip((ARCHITECTURES, TRACKERS), WORSE[name]):
            registry.update(entries)
        yield
    finally:
        for registry, entries in zip((ARCHITECTURES, TRACKERS), kept):
            registry.update(entries)
