"""Streams of random numbers that never coincide: every chain, population and trajectory has its own.

``seed + k`` would give run ``seed`` at ``k + 1`` the numbers of run ``seed + 1`` at ``k``, and the two would count as
independent. A stream is therefore named by the seed *and* a key, which `numpy.random.SeedSequence` hashes together.
"""

from __future__ import annotations

import numpy as np

Seed = int | np.random.SeedSequence


def stream(seed: Seed, *key: int) -> np.random.SeedSequence:
    """The stream ``key`` (integers from 0) of ``seed`` (from 0), or of a stream already named."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key))
    return np.random.SeedSequence(seed, spawn_key=key)


def number(seed: Seed, *key: int) -> int:
    """A 64-bit seed drawn from the stream ``key`` of ``seed``, for generators that take one number."""
    return int(stream(seed, *key).generate_state(1, np.uint64)[0])
