"""Live logs for TensorBoard: each step's figures of each counting field, as they come. Imported when asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vanbench.exact.errors import optional

KEYS = ("step", "t", "s")  # of a row: where its figures belong, not figures


def tensorboard(folder: Path) -> Callable[[list[dict[str, Any]]], None]:
    """A ``watch`` of ``neural.track`` that writes event files under ``folder``. Raises ``InputError`` without the
    library.

    Tags are ``ln_Z:<estimator>/s=0.1`` and so on, over the step; what is not finite is left out.
    """
    optional("tensorboard", "--tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), flush_secs=10)

    def watch(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            for name, value in row.items():
                if name not in KEYS and isinstance(value, int | float) and math.isfinite(value):
                    writer.add_scalar(f"{name}/s={row['s']:g}", value, row["step"])

    return watch
