"""Networks whose mistake shows in few configurations, or in one type of numbers, and the check that must name it."""

from __future__ import annotations

import torch
from broken_networks import Healthy
from torch import Tensor


class RareLeak(Healthy):
    """In one configuration of all."""

    caught_by, says = "causality", r"site 0 sees"

    def logits(self, x: Tensor) -> Tensor:
        out = super().logits(x)
        return out + (x == 1).all(1)[:, None, None] * torch.linspace(0.7, 0.0, self.local_dim).to(out)


class RareWeight(Healthy):
    caught_by, says = "normalisation", "the sum is 1\\.0"

    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x) + 0.3 * (x == 1).all(1).to(self.site_bias)


class BatchOfOne(Healthy):
    caught_by, says = "batch invariance", "each row alone"

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x) * (1.5 if len(x) == 1 else 1.0)


class LeakInDoubles(Healthy):
    caught_by, says = "causality", "sees itself"

    def logits(self, x: Tensor) -> Tensor:
        out = super().logits(x)
        lean = torch.linspace(0.2, 0.0, self.local_dim).to(out)
        return out + x.to(out)[..., None] * lean if out.dtype == torch.float64 else out


class DependsOnTheInteger(Healthy):
    caught_by, says = "batch invariance", "int8 and as int64"

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x) * (1.3 if x.dtype == torch.int64 else 1.0)


BROKEN_RARELY = [cls for cls in Healthy.__subclasses__() if cls.__module__ == __name__]
