"""The exact ansatz: one logit for every prefix and value. It tells solver errors from fit errors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vanbench.exact import InputError
from vanbench.neural.autoregressive import Autoregressive

MAX_PARAMETERS = 1 << 24


class Table(Autoregressive):
    """A full table, any distribution of small systems: ``d (d^n - 1) / (d - 1)`` parameters.

    Raises ``InputError`` if there are more than 2^24.
    """

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2):
        super().__init__(shape, local_dim)
        powers = local_dim ** torch.arange(min(self.n_sites, 62))
        prefixes = (local_dim**self.n_sites - 1) // (local_dim - 1)
        if prefixes * local_dim > MAX_PARAMETERS:
            raise InputError(
                f"a table over {local_dim}^{self.n_sites} configurations has more than {MAX_PARAMETERS} entries: "
                "take a smaller shape or another architecture."
            )
        self.output = nn.Embedding(prefixes, local_dim)
        self._powers: Tensor
        self._offsets: Tensor
        self.register_buffer("_powers", powers, persistent=False)
        self.register_buffer("_offsets", powers.cumsum(0) - powers, persistent=False)

    def logits(self, x: Tensor) -> Tensor:
        digits = x.long() * self._powers
        before = digits.cumsum(-1) - digits  # the prefix as a number, first site least significant
        return self.output(before + self._offsets)
