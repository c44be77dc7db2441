"""Densities without conditionals, such as mixtures, flows, and averages over a group of symmetries.

A torch module with three methods is enough; configurations are as `forms.Form` encodes them:

    log_prob(x) -> (batch,)            normalised, and differentiable in the parameters
    draw(uniforms) or sample(n)        independent configurations, from uniform numbers (n, n_sites), or from torch's
                                       own generator
    initialise(product)                become the product distribution (n_sites, d), exactly, or raise ValueError if
                                       this is impossible; without this method a density can be evaluated and trained
                                       on energies, but not tracked from a system's start

Excluded configurations are rejected. Pinned sites and fixed sums are not possible, since they need conditionals.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vanbench.exact import InputError
from vanbench.neural.autoregressive import FLOOR, Autoregressive, integers
from vanbench.neural.backend.seeds import seed_torch
from vanbench.neural.outside.wrapped import Wrapped, first_line

TRIED = 64  # configurations drawn where a network is made


class Density(Wrapped):
    """The base of what `wrap` makes with ``output="log_prob"``."""

    net: Any  # with the methods above
    one_order = False
    pinning = False

    def learn_form(self) -> None:
        """Nothing is found; what cannot be a density is refused. Raises ``InputError``."""
        lacks = [] if _has(self.net, "log_prob") else ["log_prob(x)"]
        lacks += [] if _has(self.net, "draw") or _has(self.net, "sample") else ["draw(uniforms) or sample(n)"]
        if lacks:
            raise InputError(f"{type(self).__name__} has no {' and no '.join(lacks)}: output='log_prob' needs them.")
        self.starts = _has(self.net, "initialise")
        zeros = torch.zeros_like(self.site_bias)
        del self.site_bias
        self.register_buffer("site_bias", zeros, persistent=False)  # no parameter: it cannot act
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            self._try()

    def _try(self) -> None:
        before, uniforms = self.site_bias.dtype, torch.rand(TRIED, self.n_sites, dtype=torch.float64)
        self.to(getattr(torch, self.dtypes[0]))
        try:
            drawn = self._drawn(uniforms.to(self.site_bias))
            values = self._log_prob_unrestricted(self.form.configurations(drawn, self.shape, self.local_dim))
        except Exception as error:  # whatever somebody's module does
            what = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {first_line(error)}."
            raise InputError(f"{type(self).__name__} cannot draw {TRIED} samples and weigh them: {what}") from error
        finally:
            self.to(before)
        x = self.form.configurations(drawn, self.shape, self.local_dim)
        again = self.form.encoded(x, self.shape, self.local_dim, torch.float64).reshape(drawn.shape)
        if not ((x >= 0) & (x < self.local_dim)).all() or not torch.equal(again, drawn.to(again.dtype)):
            raise InputError(f"{type(self).__name__}: its samples are not {self.form.input}, as input= says.")
        if values.shape != (TRIED,):
            raise InputError(
                f"{type(self).__name__}: log_prob gives {tuple(values.shape)} for a batch of {TRIED}, not ({TRIED},)."
            )

    def logits(self, x: Tensor) -> Tensor:
        raise InputError(f"{type(self).__name__} is a density without conditionals: use log_prob and sample.")

    def zero_output(self) -> None:
        self.logits(self._pins[None])

    def _restricted_logits(self, x: Tensor) -> Tensor:
        return self.logits(x)

    def _log_prob_unrestricted(self, x: Tensor) -> Tensor:
        given = self.form.encoded(x, self.shape, self.local_dim, self.site_bias.dtype)
        return self.net.log_prob(given).to(self.site_bias.dtype)

    def draw(self, uniforms: Tensor) -> Tensor:
        x = self.form.configurations(self._drawn(uniforms), self.shape, self.local_dim)
        return x.to(integers(self.local_dim))

    def _drawn(self, uniforms: Tensor) -> Tensor:
        """As the module gives them. Where it takes no uniform numbers, these are the seed of torch's generator."""
        if _has(self.net, "draw"):
            return self.net.draw(uniforms)
        digest = hashlib.blake2b(uniforms[:1].cpu().numpy().tobytes(), digest_size=7).digest()
        devices = [uniforms.device] if uniforms.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            seed_torch(int.from_bytes(digest, "big"))
            return self.net.sample(len(uniforms))

    @torch.no_grad()
    def initialise(self, product: np.ndarray) -> Autoregressive:
        if not self.starts:
            raise InputError(
                f"{type(self).__name__} has no initialise(product), and a run begins in the product distribution of "
                "its system: write one, or start from trained parameters (--start-from, evaluate)."
            )
        p = torch.as_tensor(np.maximum(product, FLOOR), dtype=torch.float64)
        try:
            self.net.initialise((p / p.sum(-1, keepdim=True)).to(self.site_bias))
        except ValueError as error:
            raise InputError(f"{type(self).__name__} cannot become the start of this system: {error}") from error
        return self


def _has(net: nn.Module, method: str) -> bool:
    return callable(getattr(net, method, None))
