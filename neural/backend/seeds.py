"""The seed of torch's own random numbers, which modules of others draw from."""

from __future__ import annotations

import torch


def seed_torch(seed: int) -> None:
    """As `torch.manual_seed`, which formats the stack once for each kind of device that is not there: milliseconds."""
    if torch.cuda.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
