"""The base of every network: an exactly normalised distribution over configurations, one site after another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.exact import Excluding, FixedSum, InputError
from vanbench.exact.definitions.system import Support
from vanbench.neural.outside.probe import silence

FLOOR = 1e-6  # probability given to an outcome that the product start gives none: a logit must be finite
TABLE_CHUNK = 1 << 14  # configurations in one call where all are gone through
MAX_TRIES = 1000  # of rejection sampling, before the network is told to sit on excluded configurations


class Collapsed(InputError):
    """Nearly all the weight of a network lies on excluded configurations: no sample is left after many tries."""

    def __init__(self, *arguments: object) -> None:  # as pickle calls it
        super().__init__(f"a network puts nearly all its weight on excluded configurations ({MAX_TRIES} rejections).")


def inverted(p: Tensor, uniform: Tensor) -> Tensor:
    """The value whose share of ``[0, 1]`` holds ``uniform`` ``(...)``, for probabilities ``p`` ``(..., d)``.

    Never one of probability zero, although sums of rounded probabilities need not reach 1.
    """
    value = (uniform[..., None] >= p.cumsum(-1)[..., :-1]).sum(-1)
    last = p.shape[-1] - 1 - (p > 0).flip(-1).to(torch.int8).argmax(-1)
    return torch.minimum(value, last).to(integers(p.shape[-1]))


def integers(local_dim: int) -> torch.dtype:
    """The type of configurations: int8 up to 128 values a site, then int16."""
    return torch.int8 if local_dim <= 128 else torch.int16


class Autoregressive(nn.Module):
    """``p(x) = prod_i p(x_i | x_<i)``, sites in ``order``; Wu, Wang, Zhang, Phys. Rev. Lett. 122, 080602 (2019).

    A network is made as ``MyNet(shape, local_dim=2, **hyperparameters)`` and implements one method::

        logits(x) -> (batch, n_sites, local_dim)      entry i may depend only on the sites before i in self.order

    for integer configurations ``x`` of shape ``(batch, n_sites)``; ``encode`` turns them into numbers. The base class
    adds a bias for each site and value, and provides ``log_prob``, ``sample``, pinned sites, the restricted support,
    and the exact start from a product distribution. For this start, a network may name its last layer ``self.output``
    and give it no bias, or override ``zero_output``; otherwise the last layer is detected. To sample without a full
    pass for each site, it may override ``start`` and ``step``; ``neural.architectures.incremental.Incremental`` gives
    both, and faster neighbours, from one method.

    The attributes below declare what a network cannot do; `restrict` and the constructor then refuse it.
    """

    dimensions: tuple[int, ...] = (1, 2, 3)
    local_dims: tuple[int, ...] | None = None  # None: any
    square: bool = False  # True where all lengths of a lattice must be equal
    dtypes: tuple[str, ...] = ("float64", "float32")
    _pins: Tensor
    pinning: bool = True  # False where a density of its own cannot hold sites at values, or their sum
    starts: bool = True  # False where it cannot become a product distribution
    one_order: bool = True  # False where `conditionals` and `step` do not exist
    scores_when_restricted: bool = False  # True where a network's own ``scores`` holds with pins and supports too

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__()
        self.shape = tuple(int(length) for length in shape)
        self.local_dim = local_dim
        self.n_sites = math.prod(self.shape)
        if len(self.shape) not in self.dimensions:
            raise InputError(
                f"{type(self).__name__} is for lattices of dimension {' or '.join(map(str, self.dimensions))}, "
                f"not for shape {self.shape}."
            )
        if self.local_dims is not None and local_dim not in self.local_dims:
            claimed = " or ".join(map(str, self.local_dims))
            raise InputError(f"{type(self).__name__} is for local dimension {claimed}, not {local_dim}.")
        if self.square and len(set(self.shape)) > 1:
            raise InputError(f"{type(self).__name__} is for lattices of equal lengths, not for shape {self.shape}.")
        self.order: list[int] = list(range(self.n_sites))
        self.channels = 1 if local_dim == 2 else local_dim
        self.site_bias = nn.Parameter(torch.zeros(self.n_sites, local_dim))
        self.register_buffer("_free", torch.ones(self.n_sites), persistent=False)
        self.register_buffer("_pins", torch.zeros(self.n_sites, dtype=integers(local_dim)), persistent=False)
        self.register_buffer("_excluded", torch.zeros(0, self.n_sites, dtype=integers(local_dim)), persistent=False)
        self._total: int | None = None
        self._pinned = False

    # -- what a network implements ---------------------------------------------------------------------------------

    def logits(self, x: Tensor) -> Tensor:
        """Unnormalised log-probabilities of each site's value given the sites before it, ``(batch, n_sites, d)``."""
        raise NotImplementedError(f"{type(self).__name__} must implement logits(x).")

    def zero_output(self) -> None:
        """Set the last layer to zero, so that ``logits`` is the same for every ``x``: ``self.output`` or, if there is
        none, the last layers that have this effect (`probe.silence`). Raises ``InputError`` if none have it."""
        output = getattr(self, "output", None)
        if isinstance(output, nn.Module):
            for parameter in output.parameters():
                nn.init.zeros_(parameter)
        else:
            x = torch.rand(8, self.n_sites, generator=torch.Generator().manual_seed(0)) * self.local_dim
            silence(self, self.logits, x.to(device=self.site_bias.device, dtype=self._pins.dtype), [self.site_bias])

    def start(self, n: int) -> Any:
        """A cache for sampling ``n`` configurations, or None for a network without one."""
        return None

    def step(self, k: int, x: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Logits of site ``order[k]``, ``(batch, d)``, and the cache for the next; ``x`` is filled before ``k``."""
        return self.logits(x)[:, self.order[k]], None

    # -- what the base gives ---------------------------------------------------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        """Configurations as numbers ``(batch, n_sites, channels)``: -1 and 1 for two values, else one-hot."""
        dtype = self.site_bias.dtype
        if self.local_dim == 2:
            return (2 * x.to(dtype) - 1)[..., None]
        values = torch.arange(self.local_dim, device=x.device)
        return (x[..., None] == values).to(dtype)

    def restrict(self, pinned: Mapping[int, int] | None = None, support: Support | None = None) -> Autoregressive:
        """Fix ``pinned`` sites at their values and restrict the distribution to ``support``; it stays exactly
        normalised."""
        rejects = isinstance(support, Excluding) and type(self).log_prob is Autoregressive.log_prob
        if not self.pinning and (pinned or not (support is None or rejects)):
            raise InputError(
                f"{type(self).__name__} cannot be restricted: it supports neither pinned sites nor a fixed sum, and "
                "this system has them."
            )
        device = self.site_bias.device
        self._free = torch.ones(self.n_sites, device=device, dtype=self.site_bias.dtype)
        self._pins = torch.zeros_like(self._pins)
        self._pinned = bool(pinned)
        for site, value in (pinned or {}).items():
            self._free[site], self._pins[site] = 0.0, value
        self._excluded = torch.zeros(0, self.n_sites, device=device, dtype=self._pins.dtype)
        self._total = None
        if isinstance(support, Excluding):
            excluded = torch.as_tensor(np.asarray(support.configurations), dtype=self._pins.dtype, device=device)
            self._excluded = excluded[((excluded == self._pins) | (self._free > 0)).all(1)]  # pins exclude the others
        elif isinstance(support, FixedSum):
            self._total = support.total
            self._count_ways(torch.full((self.n_sites, self.local_dim), 1.0 / self.local_dim))
        elif support is not None:
            raise InputError(f"networks take the supports Excluding and FixedSum, not {type(support).__name__}.")
        return self

    @property
    def restricted(self) -> bool:
        """Whether sites are pinned, configurations are excluded, or the sum of the values is fixed."""
        return self._pinned or len(self._excluded) > 0 or self._total is not None

    @property
    def tiltable(self) -> bool:
        """Whether a field on the sites can be added, by which trackers reach rare configurations."""
        return isinstance(self.site_bias, nn.Parameter)

    def conditionals(self, x: Tensor) -> Tensor:
        """``ln p(x_i = v | x_<i)``, ``(batch, n_sites, d)``, without the factor that excludes configurations."""
        return torch.log_softmax(self._restricted_logits(x), -1)

    def log_prob(self, x: Tensor) -> Tensor:
        """``ln p(x)``, ``(batch,)``; minus infinity off the support."""
        return self._on_support(x, self._log_prob_unrestricted(x))

    def log_prob_all(self, x: Tensor) -> Tensor:
        """``ln p`` of all configurations, ``x`` ``(d**n_sites, n_sites)`` in row-major order (`tables.configurations`).

        Networks override this if they can do it faster than one configuration after another.
        """
        return torch.cat([self.log_prob(part) for part in x.split(TABLE_CHUNK)])

    def log_prob_moves(self, x: Tensor, deltas: np.ndarray, used: Tensor | None = None) -> Tensor:
        """``ln p`` of the neighbours ``(x - deltas[m]) mod d``, ``(batch, n_moves)``, for moves ``(n_moves, n_sites)``.

        With ``used``, ``(batch, n_moves)``, only those entries are computed and the others are minus infinity.
        """
        y = self._moved(x[:, None], deltas)
        if used is None:
            return self.log_prob(y.flatten(0, 1)).view(y.shape[:2])
        out = self.site_bias.new_full(used.shape, -torch.inf)
        out[used] = self.log_prob(y[used])
        return out

    def _moved(self, x: Tensor, delta: np.ndarray) -> Tensor:
        """``(x - delta) mod d``, without the slow remainder of integers."""
        y = x - torch.as_tensor(np.asarray(delta) % self.local_dim, dtype=x.dtype, device=x.device)
        return torch.where(y < 0, y + self.local_dim, y)

    def _on_support(self, x: Tensor, total: Tensor) -> Tensor:
        """``ln p`` of ``(..., n_sites)`` from the plain product of conditionals ``(...)``."""
        if self._pinned:
            total = total.masked_fill(~((x == self._pins) | (self._free > 0)).all(-1), -torch.inf)
        if len(self._excluded):
            lost = self._log_prob_unrestricted(self._excluded).logsumexp(0)
            total = (total - torch.log(-torch.expm1(lost))).masked_fill(self.rejected(x), -torch.inf)
        if self._total is not None:
            total = total.masked_fill(x.sum(-1) != self._total, -torch.inf)
        return total

    def _log_prob_unrestricted(self, x: Tensor) -> Tensor:
        return self._free_sum(self._taken(self._restricted_logits(x), x), self._free)

    def _restricted_logits(self, x: Tensor) -> Tensor:
        logits = self.logits(x) + self.site_bias
        if self._total is not None:
            ranked = self._completion(x[:, self.order], self._ways)
            logits = logits + ranked[:, np.argsort(self.order).tolist()]
        return logits

    def _taken(self, logits: Tensor, x: Tensor) -> Tensor:
        """``ln`` of the normalised probability of the value at hand, for logits ``(..., d)`` and values ``(...)``."""
        if self.local_dim == 2:  # five times faster than a softmax over an axis of length two
            apart = (logits[..., 1] - logits[..., 0]) * (2 * x - 1)
            if x.device.type != "cpu":  # torch 2.11 has no gradient of logsigmoid under two vmaps on CUDA
                return -F.softplus(-apart, threshold=40)  # exact to rounding; a half slower on a CPU
            return F.logsigmoid(apart)
        values_first = logits.movedim(-1, 0).contiguous()  # a softmax over a short last axis is three times slower
        return torch.log_softmax(values_first, 0).gather(0, x.long()[None])[0]

    def _free_sum(self, taken: Tensor, free: Tensor) -> Tensor:
        return (torch.where(free > 0, taken, 0.0) if self._pinned else taken).sum(-1)

    def _completion(self, z: Tensor, ways: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """``ln`` weight of all ways to reach the fixed sum after each value, for the sites ``order[first:last]``.

        ``z`` holds the configurations in that order, ``(batch, n_sites)``. Added to the logits it keeps every sample
        on the support, and makes zero logits the product start conditioned on the sum, exactly. Where no value can
        reach it (off the support) it is zero. ``ways`` is the table of one order, or one for each row.
        ``(batch, last - first, d)``.
        """
        assert self._total is not None
        last = self.n_sites if last is None else last
        part = z[:, first:last].long()
        before = z[:, :first].sum(-1, keepdim=True) + part.cumsum(-1) - part
        need = (self._total - before)[..., None] - torch.arange(self.local_dim, device=z.device)
        inside = (need >= 0) & (need < ways.shape[-1])
        table = ways[..., first + 1 : last + 1, :].expand(len(z), -1, -1)
        weight = torch.where(inside, table.gather(-1, need.clamp(0, ways.shape[-1] - 1)), -torch.inf)
        return torch.where((weight > -torch.inf).any(-1, keepdim=True), weight, 0.0)

    def _count_ways(self, product: Tensor) -> None:
        """``_ways[k, m] = ln P(the sites from the k-th on add up to m)`` under a product distribution."""
        self._ways = self._ways_along(self.order, product)

    def _ways_along(self, order: Sequence[int], product: Tensor) -> Tensor:
        most = self.n_sites * (self.local_dim - 1)
        pins = F.one_hot(self._pins.long(), self.local_dim).double().cpu()
        product = torch.where(self._free[:, None].cpu() > 0, product.double().cpu(), pins)
        ways = torch.zeros(self.n_sites + 1, most + 1, dtype=torch.float64)
        ways[self.n_sites, 0] = 1.0
        for k in reversed(range(self.n_sites)):
            for value in range(self.local_dim):
                ways[k, value:] += product[order[k], value] * ways[k + 1, : most + 1 - value]
        return ways.log().to(self.site_bias)

    def forward(self, x: Tensor, call: str = "log_prob", *arguments: Any) -> Tensor:
        """Call the method named ``call`` (``log_prob``, ``draw``, ...), so that ``torch.func.functional_call`` reaches
        all of them."""
        return getattr(self, call)(x, *arguments)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Configurations, of the type `integers`, from uniform numbers ``(n, n_sites)`` by inverting each conditional.

        The same numbers give the same sample up to changes of the network (common random numbers). Excluded
        configurations can appear here; ``sample`` rejects them.
        """
        x = torch.zeros_like(uniforms, dtype=self._pins.dtype)
        cache = self.start(len(uniforms))
        for k, site in enumerate(self.order):
            logits, cache = self.step(k, x, cache)
            logits = logits + self.site_bias[site]
            if self._total is not None:
                logits = logits + self._completion(x[:, self.order], self._ways, k, k + 1)[:, 0]
            value = self._invert(logits, uniforms[:, site])
            x[:, site] = torch.where(self._free[site] > 0, value, self._pins[site]) if self._pinned else value
        return x

    def _invert(self, logits: Tensor, uniform: Tensor) -> Tensor:
        """The value whose cumulative probability holds ``uniform``."""
        if self.local_dim == 2:
            first = torch.sigmoid(logits[..., 0] - logits[..., 1])
            return ((uniform >= first) & (first < 1)).to(torch.int8)
        return inverted(torch.softmax(logits, -1), uniform)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """``n`` independent configurations ``(n, n_sites)``, of the type `integers`, exactly from ``exp(log_prob)``."""
        x = self.draw(self._uniforms(n, generator))
        for _ in range(MAX_TRIES):
            bad = self.rejected(x)
            if not bad.any():
                return x
            x[bad] = self.draw(self._uniforms(int(bad.sum()), generator))
        raise Collapsed

    def rejected(self, x: Tensor) -> Tensor:
        """Which configurations ``(..., n_sites)`` are excluded from the support."""
        return (x[..., None, :] == self._excluded).all(-1).any(-1)

    def _uniforms(self, n: int, generator: torch.Generator | None) -> Tensor:
        device = self.site_bias.device
        return torch.rand(n, self.n_sites, generator=generator, device=device, dtype=self.site_bias.dtype)

    @torch.no_grad()
    def initialise(self, product: np.ndarray) -> Autoregressive:
        """Represent the product distribution ``(n_sites, d)`` exactly (zero probabilities are raised to ``FLOOR``)."""
        self.zero_output()
        p = torch.as_tensor(np.maximum(product, FLOOR), dtype=torch.float64)
        p = p / p.sum(-1, keepdim=True)
        rest = self.logits(self._pins[None])[0].double() if self.one_order else 0.0  # of a last layer's bias
        self.site_bias.copy_(p.log().to(self.site_bias.device) - rest)
        if self._total is not None:
            self._count_ways(p)
        return self
