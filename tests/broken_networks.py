"""Networks with one mistake each, and the check that must name it; ``Healthy`` is what they are without it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.neural import Autoregressive


class Healthy(Autoregressive):
    """Masked tanh features of the earlier sites, a linear layer to the logits."""

    width = 3

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.first = nn.Linear(self.n_sites * self.channels, self.n_sites * self.width)
        self.output = nn.Linear(self.width, local_dim, bias=False)
        mask = self.seen(torch.arange(self.n_sites)[:, None], torch.arange(self.n_sites))
        mask = mask.repeat_interleave(self.width, 0).repeat_interleave(self.channels, 1)
        self.register_buffer("mask", mask.float(), persistent=False)

    def seen(self, site: Tensor, other: Tensor) -> Tensor:
        """Whether ``site`` sees ``other``."""
        return other < site

    def features(self, x: Tensor) -> Tensor:
        h = F.linear(self.encode(x).flatten(1), self.first.weight * self.mask, self.first.bias)
        return torch.tanh(h).view(len(x), self.n_sites, self.width)

    def logits(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))


class InclusiveMask(Healthy):
    caught_by, says = "causality", "site 0 sees itself.*inclusive"

    def seen(self, site: Tensor, other: Tensor) -> Tensor:
        return other <= site


class TransposedMask(Healthy):
    caught_by, says = "causality", "site 0 sees site 1.*transposed"

    def seen(self, site: Tensor, other: Tensor) -> Tensor:
        return other > site


class NoMask(Healthy):
    caught_by, says = "causality", "there is no mask"

    def seen(self, site: Tensor, other: Tensor) -> Tensor:
        return other >= 0 * site


class MaskOfAnotherOrder(Healthy):
    caught_by, says = "causality", "another order than self.order"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.order = self.order[::-1]


class CircularConvolution(Healthy):
    """The last site of the chain comes round to the first."""

    caught_by, says = "causality", "site 0 sees site 3.*circular"

    def features(self, x: Tensor) -> Tensor:
        before = self.encode(x).roll(1, 1)  # should be shifted in zeros
        return torch.tanh(before.mean(-1, keepdim=True).expand(-1, -1, self.width))


class Unnormalised(Healthy):
    caught_by, says = "normalisation", "the sum is .*, not 1.*log_prob is overridden"

    def log_prob(self, x: Tensor) -> Tensor:
        return F.logsigmoid(self.logits(x) + self.site_bias).gather(-1, x.long()[..., None]).sum((-1, -2))


class DropoutLeftOn(Healthy):
    caught_by, says = "randomness", r"dropout is left on \(drop\)"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.drop = nn.Dropout(0.2)

    def features(self, x: Tensor) -> Tensor:
        return self.drop(super().features(x))


class NoiseInside(Healthy):
    caught_by, says = "randomness", "random numbers are drawn inside"

    def features(self, x: Tensor) -> Tensor:
        h = super().features(x)
        return h + 0.01 * torch.randn_like(h)


class TemperedSampling(Healthy):
    """Samples from p^(1/2), says p."""

    caught_by, says = "samples and density", "wrong from site 0 on.*no temperature"

    def _invert(self, logits: Tensor, uniform: Tensor) -> Tensor:
        return super()._invert(0.5 * logits, uniform)


class StaleCache(Healthy):
    """Its step looks at the sites of the step before."""

    caught_by, says = "cached sampling", "at k = 2, site 2.*the site before k"

    def start(self, n: int) -> Tensor:
        return torch.zeros(n, self.n_sites, dtype=torch.int8)

    def step(self, k: int, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits(cache if k > 1 else x)[:, k], x.clone()


class CountsItsCalls(Healthy):
    caught_by, says = "hidden state", "a counter or cache on self, the class or the module"
    calls: ClassVar[list[int]] = [0]

    def features(self, x: Tensor) -> Tensor:
        self.calls[0] += 1
        return super().features(x) * (1 + 1e-3 * self.calls[0])


class SeedsTheGenerator(Healthy):
    caught_by, says = "hidden state", "global random state.*torch.manual_seed is called"

    def logits(self, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().logits(x)


class DependsOnTheMode(Healthy):
    caught_by, says = "hidden state", r"eval\(\).*self\.training"

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x) * (1.0 if self.training else 0.5)


class NotFiniteWhereAllAreUp(Healthy):
    caught_by, says = "shapes and dtypes", "is not finite"

    def logits(self, x: Tensor) -> Tensor:
        full = (x == self.local_dim - 1).all(1)
        return super().logits(x).masked_fill(full[:, None, None], float("nan"))


class SharedBetweenNetworks(Healthy):
    """A scale on the class that every new network sets anew."""

    caught_by, says = "hidden state", "a network of another shape was used"
    scale = 1.0

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        type(self).scale = self.n_sites**-0.5

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) * self.scale


class RunningStatistics(Healthy):
    caught_by, says = "hidden state", r"'norm\.running_mean' changed.*LayerNorm"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.norm = nn.BatchNorm1d(self.n_sites)

    def features(self, x: Tensor) -> Tensor:
        h = super().features(x)
        return self.norm(h) if len(h) > 1 else h


class MixesTheBatch(Healthy):
    caught_by, says = "batch invariance", "rows are mixed"

    def features(self, x: Tensor) -> Tensor:
        h = super().features(x)
        return h - h.mean(0)


class FixedBatch(Healthy):
    caught_by, says = "shapes and dtypes", r"RuntimeError.*broken_networks\.py:\d+, in features.*any batch"

    def features(self, x: Tensor) -> Tensor:
        return super().features(x).view(5, self.n_sites, self.width)


class SwappedAxes(Healthy):
    caught_by, says = "shapes and dtypes", r"shape \(1, 2, 4\), not \(1, 4, 2\)"

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x).transpose(1, 2)


class DoubleConstant(Healthy):
    caught_by, says = "shapes and dtypes", "dtype torch.float64.*without dtype"

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x) * torch.ones(self.local_dim, dtype=torch.float64)


class ChangesItsInput(Healthy):
    caught_by, says = "shapes and dtypes", "the configurations were changed"

    def features(self, x: Tensor) -> Tensor:
        h = super().features(x)
        x[:, -1] = 0
        return h


class TwoValuesOnly(Healthy):
    """Takes d = 4 for d = 2."""

    caught_by, says = "shapes and dtypes", "RuntimeError|not \\(1, 4, 4\\)"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.output = nn.Linear(self.width, 2, bias=False)


class RequiresAnOption(Healthy):
    caught_by, says = "construction", "TypeError.*every hyperparameter with a default"

    def __init__(self, shape: tuple[int, ...], local_dim: int, heads: int):
        super().__init__(shape, local_dim)


class LosesThePins(Healthy):
    caught_by, says = "pinned sites and support", "samples? lie off|lie off the support.*leaves out the pinned"

    def draw(self, uniforms: Tensor) -> Tensor:
        x = torch.zeros_like(uniforms, dtype=torch.int8)
        for site in self.order:
            x[:, site] = self._invert(self.logits(x)[:, site] + self.site_bias[site], uniforms[:, site])
        return x


class DensityWithoutPins(Healthy):
    caught_by, says = "pinned sites and support", "forbidden but has a probability.*override logits alone"

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.logits(x) + self.site_bias, -1).gather(-1, x.long()[..., None]).sum((-1, -2))


class DetachedLayer(Healthy):
    caught_by, says = "gradients", r"'first\.weight'.*detached"

    def features(self, x: Tensor) -> Tensor:
        return super().features(x).detach()


class KeepsDerivedWeights(Healthy):
    caught_by, says = "copies", "kept on self"

    def features(self, x: Tensor) -> Tensor:
        if not hasattr(self, "kept"):
            self.kept = self.first.weight * self.mask
        h = F.linear(self.encode(x).flatten(1), self.kept, self.first.bias)
        return torch.tanh(h).view(len(x), self.n_sites, self.width)


class PathAroundOutput(Healthy):
    caught_by, says = "product start", "around the layer 'output'"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.around = nn.Linear(self.width, local_dim)

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x) + self.around(self.features(x))


class NothingToSilence(Healthy):
    """Its last layer has another name, and beside it a site sees the one before without any parameter."""

    caught_by, says = "product start", "Override zero_output"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.last = self.output
        del self.output

    def logits(self, x: Tensor) -> Tensor:
        before = F.pad(self.encode(x)[:, :-1, :1], (0, 0, 1, 0))
        return self.last(self.features(x)) + before * torch.arange(self.local_dim)


class LayersKeptElsewhere(Healthy):
    """A copy of it goes on with the layer of the original."""

    caught_by, says = "copies", "first.weight.* would never change"
    kept: ClassVar[list[nn.Module]] = []

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.index = len(self.kept)
        self.kept.append(self.first)

    def features(self, x: Tensor) -> Tensor:
        first = self.kept[self.index]
        h = F.linear(self.encode(x).flatten(1), first.weight * self.mask, first.bias)
        return torch.tanh(h).view(len(x), self.n_sites, self.width)


class FrozenLayer(Healthy):
    caught_by, says = "gradients", "'first.weight' takes no gradient"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        self.first.weight.requires_grad_(False)


class WrongNeighbours(Healthy):
    caught_by, says = "neighbours", "log_prob_moves"

    def log_prob_moves(self, x: Tensor, deltas: np.ndarray, used: Tensor | None = None) -> Tensor:
        return super().log_prob_moves(x, deltas[::-1].copy(), used)


class IgnoresTheGenerator(Healthy):
    caught_by, says = "seeds", "uses the global random state"

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return super().sample(n)


class NumpyWeights(Healthy):
    caught_by, says = "seeds", r"numpy, random"

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        fresh = np.random.default_rng().normal(size=self.output.weight.shape)
        self.output.weight = nn.Parameter(torch.tensor(fresh, dtype=torch.float32))


class RandomMaskNotSaved(Healthy):
    caught_by, says = "save and load", "is not a parameter or persistent buffer"

    def seen(self, site: Tensor, other: Tensor) -> Tensor:
        return (other < site) & (torch.rand(self.n_sites, self.n_sites) < 0.5)


class PickledExtra(Healthy):
    caught_by, says = "save and load", "tensors and plain data only"

    def get_extra_state(self) -> object:
        return Healthy

    def set_extra_state(self, state: object) -> None:
        pass


class Cancels(Healthy):
    """Digits lost between two large terms."""

    caught_by, says = "float32", "large terms cancel"

    def features(self, x: Tensor) -> Tensor:
        return (super().features(x) + 3e5) - 3e5


BROKEN = [cls for cls in Healthy.__subclasses__() if cls.__module__ == __name__]
