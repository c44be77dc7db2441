"""A long Lanczos run kept on disk, so that one that was cut off goes on."""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Checkpoint:
    """Saves every ``every`` seconds to ``path``, in one move; ``key`` tells which run it belongs to."""

    path: Path
    key: str
    every: float = 120.0
    last: float = field(default_factory=time.monotonic)

    def load(self) -> dict[str, np.ndarray] | None:
        """The arrays of the run, or None where there are none of this run."""
        try:
            with np.load(self.path, allow_pickle=False) as kept:
                return dict(kept) if str(kept["key"]) == self.key else None
        except (OSError, KeyError, ValueError, zipfile.BadZipFile):
            return None

    def save(self, **arrays: np.ndarray | list) -> None:
        """Saves if the last time is long enough ago."""
        if time.monotonic() - self.last < self.every:
            return
        part = self.path.with_suffix(".part.npz")
        everything = {"key": np.array(self.key), **{name: np.asarray(array) for name, array in arrays.items()}}
        np.savez(part, **everything)  # type: ignore[arg-type]
        part.replace(self.path)
        self.last = time.monotonic()

    def done(self) -> None:
        self.path.unlink(missing_ok=True)
