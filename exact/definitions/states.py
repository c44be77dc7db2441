"""The state space of a small system: which configurations exist and where each stands in a vector."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError

CHUNK = 1 << 15


def available_memory() -> int:
    """Bytes of memory that can be had now."""
    try:
        with open("/proc/meminfo") as info:
            return next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


SAMPLED = "`vanbench exact --method cloning`, which samples trajectories"


def require_memory(needed: float, what: str, advice: str = "a method that stores less") -> None:
    """Refuse, before anything is allocated, what does not fit; raises ``InputError`` naming the memory it takes."""
    have = available_memory()
    if needed > have:
        raise InputError(
            f"{what} needs about {needed / 2**30:.3g} GiB and {have / 2**30:.3g} GiB are available: "
            f"take a smaller shape, or {advice}."
        )


class StateSpace:
    """States of ``system`` in index order: base-``d`` numbers over the free sites, the first site most significant.

    With a restricted support only the allowed states are kept, in the same order.
    """

    def __init__(self, system: System):
        self.system = system
        self.free = np.array(system.free_sites, dtype=int)
        self.n_codes = system.local_dim ** len(self.free)
        if self.n_codes >= 2**62:
            needed = float(min(self.n_codes, 10**300)) * 8  # a lattice of 1024 sites is past the range of a float
            require_memory(needed, f"one vector over {system.local_dim}^{len(self.free)} states", SAMPLED)
        self.strides = system.local_dim ** np.arange(len(self.free) - 1, -1, -1, dtype=np.int64)

    @cached_property
    def codes(self) -> np.ndarray | None:
        """Allowed codes in order, or None when all are allowed."""
        support = self.system.support
        if support is None:
            return None
        require_memory(9.0 * self.n_codes, f"listing {self.n_codes} states")
        keep = [
            start + np.flatnonzero(support.contains(self.decode(np.arange(start, stop))))
            for start, stop in _ranges(self.n_codes)
        ]
        codes = np.concatenate(keep)
        if codes.size == 0:
            raise InputError("no configuration is left on the allowed support.")
        return codes

    @property
    def size(self) -> int:
        return self.n_codes if self.codes is None else len(self.codes)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes ``(m,)`` -> configurations ``(m, n_sites)``, int8."""
        x = np.empty((len(codes), self.system.n_sites), dtype=np.int8)
        for site, value in self.system.pinned.items():
            x[:, site] = value
        for site, stride in zip(self.free, self.strides):
            x[:, site] = (codes // stride) % self.system.local_dim
        return x

    def index(self, x: np.ndarray) -> np.ndarray:
        """Configurations ``(..., n_sites)`` -> positions ``(...)``; raises ``InputError`` off the support."""
        codes = np.zeros(x.shape[:-1], dtype=np.int64)
        for site, stride in zip(self.free, self.strides):
            codes += x[..., site].astype(np.int64) * stride
        return self.position(codes)

    def position(self, codes: np.ndarray) -> np.ndarray:
        if self.codes is None:
            return codes
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        if not (self.codes[at] == codes).all():
            raise InputError("the allowed support is not closed under the moves of this system.")
        return at

    def chunks(self, size: int = CHUNK) -> Iterator[tuple[slice, np.ndarray]]:
        """Positions and configurations, a block at a time."""
        for start, stop in _ranges(self.size, size):
            codes = np.arange(start, stop) if self.codes is None else self.codes[start:stop]
            yield slice(start, stop), self.decode(codes)

    def configurations(self) -> np.ndarray:
        """All configurations, ``(size, n_sites)`` int8."""
        require_memory(float(self.size) * self.system.n_sites, f"{self.size} configurations")
        return np.concatenate([x for _, x in self.chunks()])

    def initial(self) -> np.ndarray:
        """The initial distribution as a vector ``(size,)`` of total one."""
        start = self.system.initial
        if start.ndim == 1:
            if start.shape != (self.size,):
                raise InputError(f"the initial vector has length {len(start)}, but there are {self.size} states.")
            if not (np.isfinite(start).all() and (start >= 0).all() and start.any()):
                raise InputError("the initial vector must hold finite weights, none negative and not all zero.")
            return start / start.sum()
        p = np.empty(self.size)
        sites = np.arange(self.system.n_sites)
        for block, x in self.chunks():
            p[block] = start[sites, x].prod(1)
        total = p.sum()
        if total == 0:
            raise InputError("the initial distribution gives no weight to the allowed support.")
        return p / total


def _ranges(total: int, size: int = CHUNK) -> Iterator[tuple[int, int]]:
    for start in range(0, total, size):
        yield start, min(total, start + size)
