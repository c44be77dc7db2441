"""Several copies of one network, one for each counting field, in one batched program.

The parameters carry a leading axis ``R`` and every call is one ``vmap`` over it, so ``R`` values of ``s`` cost one
kernel launch; drawn from the same uniform numbers, their samples share their noise (common random numbers), which is
what makes differences over ``s`` sharp.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from vanbench.exact.registry import PluginWarning
from vanbench.neural.autoregressive import MAX_TRIES, Autoregressive, Collapsed
from vanbench.neural.backend.distributed import memory, mine, whole
from vanbench.neural.backend.replay import Replayed
from vanbench.neural.outside.copies import duplicate

Parameters = Mapping[str, Tensor]
SITE_BYTES = 8192  # of a site of a configuration in one call: a transformer takes as much, `sitewise` a hundredth
REFUSED = (RuntimeError, ValueError, NotImplementedError)  # what `vmap` raises where it cannot batch an operation
SHARE = 0.25  # of the memory of a GPU for one call


class Ensemble:
    """``R`` copies of ``net`` with parameters ``{name: (R, ...)}`` of their own, equal at the start.

    A network that ``vmap`` cannot batch is looped over instead; ``batched`` says which.
    """

    def __init__(self, net: Autoregressive, replicas: int = 1):
        self.net = duplicate(net).requires_grad_(False)
        self.replicas = replicas
        self.parameters: dict[str, Tensor] = {
            name: value.detach().expand(replicas, *value.shape).clone().requires_grad_()
            for name, value in net.named_parameters()
        }
        self.batched = replicas > 1 and self._vmap_works()
        self.replayed = Replayed()

    @property
    def n_parameters(self) -> int:
        """Of one copy."""
        return sum(p[0].numel() for p in self.parameters.values())

    @property
    def device(self) -> torch.device:
        return self.net.site_bias.device

    def at_once(self, on_a_cpu: int) -> int:
        """Configurations of each counting field in one call; a GPU takes what fills it, as each call costs launches."""
        if self.device.type == "cpu":
            return on_a_cpu
        sites = int(SHARE * memory(self.device) / SITE_BYTES)
        return max(1, sites // (self.net.n_sites * self.replicas))

    def frozen(self) -> dict[str, Tensor]:
        """The parameters as they are now, for ``log_prob(x, parameters)``."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    @torch.no_grad()
    def load(self, parameters: Parameters) -> None:
        for name, value in self.parameters.items():
            value.copy_(parameters[name])

    @torch.no_grad()
    def start_from(self, products: np.ndarray) -> None:
        """Each copy becomes the product distribution of its own ``(R, n_sites, d)``, as by `initialise`."""
        for r, product in enumerate(products):
            self.net.initialise(product)
            self.put(r, self.net)

    @torch.no_grad()
    def put(self, replica: int, net: Autoregressive) -> None:
        """One member becomes ``net``."""
        for name, value in self.parameters.items():
            value[replica].copy_(net.get_parameter(name))

    @torch.no_grad()
    def move(self, start: Parameters, direction: Tensor, span: float = 1.0) -> None:
        """To ``start + span * direction``, all parameters of a copy in a row: ``(R, n_parameters)``."""
        at = 0
        for name, value in self.parameters.items():
            size = value[0].numel()
            value.copy_(start[name] + span * direction[:, at : at + size].view_as(value))
            at += size

    def copy_of(self, replica: int) -> Autoregressive:
        """One member as a network of its own."""
        net = duplicate(self.net)
        with torch.no_grad():
            for name, value in net.named_parameters():
                value.copy_(self.parameters[name][replica])
        return net

    def log_prob(self, x: Tensor, parameters: Parameters | None = None) -> Tensor:
        """``ln p_r(x)`` for ``x`` of shape ``(R, batch, n_sites)``; ``(R, batch)``."""
        return self._call(self.parameters if parameters is None else parameters, x, "log_prob")

    def log_prob_all(self, x: Tensor, parameters: Parameters | None = None) -> Tensor:
        """``ln p_r`` of all configurations ``x`` ``(R, d**n_sites, n_sites)``, row-major; ``(R, d**n_sites)``."""
        return self._call(self.parameters if parameters is None else parameters, x, "log_prob_all")

    def log_prob_moves(
        self, x: Tensor, deltas: np.ndarray, parameters: Parameters | None = None, used: Tensor | None = None
    ) -> Tensor:
        """``ln p_r`` of the neighbours ``(x - deltas[m]) mod d``, ``(R, batch, n_moves)``.

        ``used``, ``(R, batch, n_moves)``, names the entries that matter; the others may be minus infinity.
        """
        p = self.parameters if parameters is None else parameters
        if self.batched or used is None:
            return self._call(p, x, "log_prob_moves", deltas)
        rows = [self._one(_replica(p, r), x[r], "log_prob_moves", deltas, used[r]) for r in range(self.replicas)]
        return torch.stack(rows)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, parameters: Parameters | None = None) -> Tensor:
        """``(R, n, n_sites)`` configurations, int8, every copy from the same uniform numbers."""
        parameters = self.parameters if parameters is None else parameters
        x = self._draw(n, generator, parameters)
        for _ in range(MAX_TRIES):
            bad = self.net.rejected(x)
            if not bad.any():
                return x
            again = self._draw(n, generator, parameters)
            x = torch.where(bad[..., None], again, x)
        raise Collapsed

    def _draw(self, n: int, generator: torch.Generator | None, parameters: Parameters) -> Tensor:
        return whole(self.replayed(self.draw, parameters, mine(self._uniforms(n, generator))), n)

    def draw(self, parameters: Parameters, uniforms: Tensor) -> Tensor:
        """Configurations from uniform numbers ``(R, n, n_sites)``, none rejected."""
        return self._call(parameters, uniforms, "draw")

    def _uniforms(self, n: int, generator: torch.Generator | None) -> Tensor:
        return self.net._uniforms(n, generator).expand(self.replicas, n, self.net.n_sites)

    def _call(self, parameters: Parameters, x: Tensor, call: str, *arguments: Any) -> Tensor:
        if self.batched:
            return vmap(lambda p, y: self._one(p, y, call, *arguments))(dict(parameters), x)
        return torch.stack([self._one(_replica(parameters, r), x[r], call, *arguments) for r in range(self.replicas)])

    def _one(self, parameters: Parameters, x: Tensor, call: str, *arguments: Any) -> Tensor:
        return functional_call(self.net, dict(parameters), (x, call, *arguments))

    def _vmap_works(self) -> bool:
        self.batched = True
        try:
            self.log_prob(self._call(self.parameters, self._uniforms(2, None), "draw"))
        except REFUSED:
            return False
        return True

    def gradients(self, parameters: Parameters, x: Tensor) -> dict[str, Tensor]:
        """``d ln p(x) / d theta`` of each of ``(batch, n_sites)`` in one member: ``{name: (batch, ...)}``."""
        if self.scores_together or not len(x):
            return self._together(parameters, x)
        return self._row_by_row(parameters, x)

    @cached_property
    def scores_together(self) -> bool:
        """Whether ``vmap`` can batch them; where it cannot, they are computed row by row, which is told once."""
        try:
            with torch.random.fork_rng(devices=[]):
                self._together(_replica(self.frozen(), 0), self._uniforms(2, None)[0].to(torch.int8))
        except REFUSED:
            warnings.warn(
                f"torch.vmap cannot batch the gradients of {type(self.net).__name__} (nn.GRU, a .data mask, .item()?): "
                "they are computed configuration by configuration, exactly but slowly.",
                PluginWarning,
                stacklevel=2,
            )
            return False
        return True

    def _together(self, parameters: Parameters, x: Tensor) -> dict[str, Tensor]:
        return vmap(grad(lambda p, y: self._one(p, y[None], "log_prob")[0]), in_dims=(None, 0))(dict(parameters), x)

    def _row_by_row(self, parameters: Parameters, x: Tensor) -> dict[str, Tensor]:
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        rows = []
        with torch.enable_grad():
            for y in x:
                value = self._one(leaves, y[None], "log_prob")[0]
                rows.append(
                    torch.autograd.grad(value, list(leaves.values()), allow_unused=True, materialize_grads=True)
                )
        return {name: torch.stack(column) for name, column in zip(leaves, zip(*rows))}


def _replica(parameters: Parameters, r: int) -> dict[str, Tensor]:
    return {name: value[r] for name, value in parameters.items()}
