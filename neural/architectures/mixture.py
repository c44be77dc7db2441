"""One network over several site orders: the "string states" of Luo et al., Phys. Rev. Lett. 128, 090501 (2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from vanbench.exact import InputError
from vanbench.neural.architectures.lattice import strings as all_strings
from vanbench.neural.autoregressive import Autoregressive


class Mixture(Autoregressive):
    """``p(x) = (1/K) sum_k p_net(x along string k)``; exact density, exact sampling.

    String 0 is the raster path, the others are the symmetry images of the snake path (``lattice.strings``): 1-8 in
    two dimensions. One network serves all of them; the site biases belong to the sites of the lattice, so the product
    start is exact on every string.

    strings
        how many, taken from string 1 on (string 0 is never among them); or a list of string numbers; 0 is the
        raster path alone.
    network
        the architecture that is shared, with its own ``options``.

    Raises ``InputError`` for strings that do not exist, and from ``logits`` and ``conditionals``, which only a network
    with one order has.
    """

    one_order = False

    def __init__(
        self,
        shape: tuple[int, ...],
        local_dim: int = 2,
        strings: int | Sequence[int] = 2,
        network: str = "transformer",
        **options: Any,
    ):
        super().__init__(shape, local_dim)
        from vanbench.neural.architectures import build, find

        if issubclass(find(network), Mixture):
            raise InputError("a mixture cannot contain a mixture: give all its strings at once.")
        self.net = build(network, self.shape, local_dim, **options)
        paths = _chosen(self.shape, strings)
        # site of the lattice that stands at each site of the network, so that its path becomes the string
        places = torch.empty(len(paths), self.n_sites, dtype=torch.long)
        places[:, self.net.order] = torch.tensor(paths)
        self._paths = paths
        self._places: Tensor
        self._back: Tensor
        self._along: Tensor
        self.register_buffer("_places", places, persistent=False)
        self.register_buffer("_back", places.argsort(1), persistent=False)
        self.register_buffer("_along", torch.tensor(paths), persistent=False)
        self._adopt()

    def _adopt(self) -> None:
        """The site biases stand here; the network keeps zeros that are no parameters."""
        zeros = self.net.site_bias.detach()
        del self.net.site_bias
        self.net.register_buffer("site_bias", torch.zeros_like(zeros), persistent=False)

    def zero_output(self) -> None:
        self.net.zero_output()

    def logits(self, x: Tensor) -> Tensor:
        raise InputError("a mixture over site orders has no conditionals of one order: use log_prob and sample.")

    def _restricted_logits(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def _log_prob_unrestricted(self, x: Tensor) -> Tensor:
        strings, n, d = len(self._paths), self.n_sites, self.local_dim
        y = x[:, self._places].transpose(0, 1)  # (strings, batch, n_sites)
        logits = self.net.logits(y.reshape(-1, n)).view(strings, len(x), n, d)
        logits = logits + self.site_bias[self._places][:, None]
        if self._total is not None:
            back = np.argsort(self.net.order).tolist()
            ways = [
                self._completion(part[:, self.net.order], table)[:, back] for part, table in zip(y.unbind(), self._ways)
            ]
            logits = logits + torch.stack(ways)
        taken = self._free_sum(self._taken(logits, y), self._free[self._places][:, None])
        return taken.logsumexp(0) - math.log(strings)

    def log_prob_all(self, x: Tensor) -> Tensor:
        """As in the base, string by string; the network's table of values along a string, its axes put to the sites."""
        if self._pinned or self._total is not None:
            return super().log_prob_all(x)
        parts = []
        for places, back in zip(self._places, self._back.tolist()):
            along = functional_call(self.net, {"site_bias": self.site_bias[places]}, (x, "log_prob_all"))
            parts.append(along.view((self.local_dim,) * self.n_sites).permute(back).flatten())
        return self._on_support(x, torch.stack(parts).logsumexp(0) - math.log(len(parts)))

    def _count_ways(self, product: Tensor) -> None:
        self._ways = torch.stack([self._ways_along(path, product) for path in self._paths])

    def draw(self, uniforms: Tensor) -> Tensor:
        """As in the base; the first number of each row also chooses the string, by its leading digit in base K."""
        count, rows = len(self._paths), len(uniforms)
        leading = (uniforms[:, 0] * count).clamp_max(count - 0.5).floor()
        string = leading.long()
        rest = torch.cat([(uniforms[:, :1] * count - leading[:, None]).clamp(0, 1), uniforms[:, 1:]], 1)
        z = torch.zeros_like(uniforms, dtype=self._pins.dtype)
        y = torch.zeros_like(z)
        cache = self.net.start(rows)
        for k, place in enumerate(self.net.order):
            site = self._along[:, k][string]
            logits, cache = self.net.step(k, y, cache)
            logits = logits + self.site_bias[site]
            if self._total is not None:
                logits = logits + self._completion(z, self._ways[string], k, k + 1)[:, 0]
            value = self._invert(logits, rest.gather(1, site[:, None])[:, 0])
            if self._pinned:
                value = torch.where(self._free[site] > 0, value, self._pins[site])
            z[:, k] = value
            y[:, place] = value
        return y.gather(1, self._back[string])


def _chosen(shape: tuple[int, ...], strings: int | Sequence[int]) -> list[list[int]]:
    known = all_strings(shape)
    if isinstance(strings, float):
        raise InputError(f"strings = {strings}: a mixture takes a whole number of them, or their numbers, like 1,2.")
    if isinstance(strings, int):
        numbers = list(range(1, strings + 1)) if strings else [0]
    else:
        numbers = [int(number) for number in strings]
    if not numbers or min(numbers) < 0 or max(numbers) >= len(known) or len(set(numbers)) < len(numbers):
        raise InputError(
            f"strings = {strings}: a lattice of shape {shape} has the strings 0 to {len(known) - 1}; "
            "name each at most once."
        )
    return [known[number] for number in numbers]
