"""Random parameters of the two-kernel chain, for tests of its exact values, its gradients and its training."""

from __future__ import annotations

import numpy as np

from vanbench.exact.cycles.chain import CycleParams


def random_params(reading: str, d: int = 5, n_hidden: int = 3, seed: int = 0, scale: float = 1.0) -> CycleParams:
    rng = np.random.default_rng(seed)
    return CycleParams(
        w=scale * rng.normal(size=(d, n_hidden)),
        b=scale * rng.normal(size=d) if reading == "binary" else np.zeros(d),
        wbar=2 * scale * rng.normal(size=(n_hidden, d)),
        abar=rng.normal(size=n_hidden),
        centre=rng.random(d),
        reading=reading,
    )
