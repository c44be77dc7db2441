"""The two-kernel chain solved by enumerating its 2^D visible states (D <= 16)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vanbench.exact.cycles.chain import CycleParams, log_hidden, log_visible, logsumexp
from vanbench.exact.cycles.gradient import Gradient, exact_gradient, two_step_gradient
from vanbench.exact.cycles.thermodynamics import Thermo, thermodynamics
from vanbench.exact.errors import InputError

MAX_VISIBLE = 16
MAX_TABLE = 2**24  # entries of A and of B: 128 MiB each in float64


@lru_cache(maxsize=2)
def configurations(n_visible: int) -> np.ndarray:
    """All 2^D binary configurations as rows, (2^D, D), first unit most significant."""
    if n_visible > MAX_VISIBLE:
        raise InputError(
            f"Exact enumeration takes at most {MAX_VISIBLE} visible units, got {n_visible}: use the sampled estimates."
        )
    words = np.arange(2**n_visible)[:, None] >> np.arange(n_visible - 1, -1, -1)
    table = (words & 1).astype(float)
    table.setflags(write=False)
    return table


@dataclass(frozen=True)
class ExactChain:
    """The solved chain of one model. ``x`` (2^D, D); ``log_a``, ``log_b`` (2^D, S); ``m`` (S, S) = M[to, from]."""

    params: CycleParams
    x: np.ndarray
    log_a: np.ndarray
    log_b: np.ndarray
    m: np.ndarray
    log_m: np.ndarray
    thermo: Thermo

    @property
    def pi(self) -> np.ndarray:
        """Stationary distribution of the hidden states, (S,)."""
        return self.thermo.pi

    @property
    def log_p(self) -> np.ndarray:
        """ln of the stationary distribution of the visible states, (2^D,)."""
        return logsumexp(self.log_a + np.log(self.pi), axis=-1)

    def log_likelihood(self, data: np.ndarray) -> np.ndarray:
        """ln p(x_n) for each row of ``data`` (N, D)."""
        return logsumexp(log_visible(self.params, data) + np.log(self.pi), axis=-1)

    def full_entropy_production(self) -> float:
        """Entropy production of the alternating chain z -> x -> z' ..., per double step.

        The chain is a walk on the bipartite graph of hidden and visible states; per double step
        sum_xs [pi_s A(x|s) - p(x) B(s|x)] ln [A(x|s) / B(s|x)], the symmetric divergence of the two joint
        distributions. Looking at z alone is a coarse-graining: its entropy production is a lower bound to this.
        """
        difference = np.exp(self.log_a + np.log(self.pi)) - np.exp(self.log_b + self.log_p[:, None])
        return float(np.sum(difference * (self.log_a - self.log_b)))

    def gradient(self, data: np.ndarray) -> Gradient:
        """The exact gradient of the mean log-likelihood."""
        return exact_gradient(self.params, data, self.x, self.log_a, self.pi)

    def approximate_gradient(self, data: np.ndarray) -> Gradient:
        """The published two-step gradient, summed over all x' with the stationary p: no sampling noise."""
        return two_step_gradient(self.params, data, self.x, self.log_p)[0]


def enumerate_chain(params: CycleParams) -> ExactChain:
    """Solve one model (no leading axes, NumPy float64). Raises InputError beyond D = 16 or 2^24 table entries."""
    x = configurations(params.n_visible)
    n_states = 2**params.n_hidden if params.reading == "binary" else params.n_hidden
    if len(x) * n_states > MAX_TABLE:
        raise InputError(
            f"2^{params.n_visible} visible times {n_states} hidden states exceed the table of {MAX_TABLE} entries: "
            "take fewer hidden units."
        )
    log_a, log_b = log_visible(params, x), log_hidden(params, x)
    m = np.exp(log_b).T @ np.exp(log_a)
    m = m / m.sum(axis=0)  # round-off of the 2^D-term sums only
    with np.errstate(divide="ignore"):
        log_m = np.log(m)
    if not np.all(np.isfinite(log_m)):  # underflow: the slow, safe route
        log_m = np.stack([logsumexp(log_b + log_a[:, [s]], axis=0) for s in range(n_states)], axis=1)
    return ExactChain(params, x, log_a, log_b, m, log_m, thermodynamics(m, log_m))
