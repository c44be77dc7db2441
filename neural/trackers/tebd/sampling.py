"""Configurations from the squares of a matrix product state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact.mps.state import MatrixProductState


def draw(state: MatrixProductState, n: int, generator: torch.Generator) -> Tensor:
    """Configurations ``(n, n_sites)`` from the squares of the entries."""
    state.move_centre(0)
    generator = on_cpu(generator)
    rows, out = torch.ones(n, 1, dtype=torch.float64), []
    for tensor in state.tensors:
        ahead: Any = torch.einsum("nl,lvr->nvr", rows, torch.from_numpy(np.ascontiguousarray(tensor)))
        weights = ahead.square().sum(2)
        value = torch.multinomial(weights, 1, generator=generator)
        out.append(value[:, 0])
        rows = ahead[torch.arange(n), value[:, 0]]
        rows = rows / rows.norm(dim=1, keepdim=True)
    return torch.stack(out, 1)


def on_cpu(generator: torch.Generator) -> torch.Generator:
    """Itself, or one that begins with a number from it."""
    if generator.device.type == "cpu":
        return generator
    seed = torch.randint(1 << 62, (1,), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))
