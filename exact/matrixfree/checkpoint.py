"""A long Lanczos run kept on disk, so that one that was cut off goes on."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vanbench.exact.files import require_file, write_bytes


@dataclass
class Checkpoint:
    """Saves every ``every`` seconds to a file of ``folder`` named after ``key``, in one move.

    ``key`` tells which run it is, so runs side by side do not meet. ``carried`` lists are saved and restored too.
    """

    folder: Path
    key: str
    every: float = 120.0
    last: float = field(default_factory=time.monotonic)
    carried: dict[str, list] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / f"lanczos-{hashlib.sha256(self.key.encode()).hexdigest()[:16]}.npz"

    def load(self) -> dict[str, np.ndarray] | None:
        """The arrays of the run, or None where there are none of this run."""
        try:
            require_file(self.path)
            with np.load(self.path, allow_pickle=False) as kept:
                stored = dict(kept)
            for name, items in self.carried.items():
                items[:] = list(stored.pop(name))
            return stored if str(stored["key"]) == self.key else None
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
            for items in self.carried.values():
                items.clear()
            return None

    def save(self, **arrays: np.ndarray | list) -> None:
        """Saves if the last time is long enough ago."""
        if time.monotonic() - self.last >= self.every:
            self._write(arrays)

    def finish(self, **arrays: np.ndarray | list) -> None:
        """Puts what a run that has ended is good for in place of its vectors: the same run need not be done again."""
        self._write(arrays)

    def _write(self, arrays: Mapping[str, np.ndarray | list]) -> None:
        content = {**arrays, **self.carried}
        everything = {"key": np.array(self.key), **{name: np.asarray(array) for name, array in content.items()}}
        held = io.BytesIO()
        np.savez(held, **everything)  # type: ignore[arg-type]
        write_bytes(self.path, held.getvalue(), self.folder.parent)
        self.last = time.monotonic()
