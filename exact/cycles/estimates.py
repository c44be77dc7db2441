"""Estimates for D > 16: the matrix M by sampling, and the published estimators beside it.

Rao-Blackwell: ``M[s', s]`` is the average of B(s'|x) over x drawn from A(.|s). Nothing is counted, so that rare
transitions are estimated from every sample. Errors: a delete-one-block jackknife over independent blocks.

Counting (published): simulate the chain, count the transitions. Convention for counts of zero: to each ordered pair
of different states of which at least one direction was seen, half a transition is added in both directions; a pair
never seen contributes nothing. The entropy production of N counted transitions is then bounded, of the order of ln 2N,
where the plain estimator is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vanbench.exact.cycles.chain import CycleParams, log_hidden, log_visible, logsumexp, sigmoid, visible_logits
from vanbench.exact.cycles.thermodynamics import Thermo, thermodynamics
from vanbench.exact.errors import InputError
from vanbench.exact.statistics import inverted, jackknife_error

N_BLOCKS = 16


@dataclass(frozen=True)
class SampledChain:
    """Rao-Blackwell estimate of one model: ``m``, ``m_stderr`` (S, S) = M[to, from]; rates per double step.

    ``blocks_log_m`` (16, S, S): ln M of each independent block, from which any other function of M gets its error.
    """

    m: np.ndarray
    m_stderr: np.ndarray
    log_m: np.ndarray
    thermo: Thermo
    blocks_log_m: np.ndarray
    full_entropy_production: float
    full_entropy_production_stderr: float

    @property
    def pi(self) -> np.ndarray:
        return self.thermo.pi

    def stderr(self, function: Callable[[Thermo], float]) -> float:
        """Jackknife standard error of a scalar function of the chain's thermodynamics."""
        without = [function(thermodynamics(np.exp(q), q)) for q in leave_one_out(self.blocks_log_m)]
        return float(jackknife_error(without))


def leave_one_out(blocks_log: np.ndarray) -> np.ndarray:
    """ln of the mean over all blocks but one, for each block left out; (K, ...) -> (K, ...)."""
    n_blocks = len(blocks_log)
    keep = ~np.eye(n_blocks, dtype=bool)
    return np.stack([logsumexp(blocks_log[k], axis=0) for k in keep]) - np.log(n_blocks - 1)


def rao_blackwell(params: CycleParams, samples: int, seed: int | np.random.SeedSequence) -> SampledChain:
    """Estimate M from ``samples`` visible states per hidden state (a multiple of 16; more is rounded up)."""
    if samples < N_BLOCKS:
        raise InputError(f"The estimate of M needs at least {N_BLOCKS} samples per hidden state, got {samples}.")
    rng = np.random.default_rng(seed)
    per_block = -(-samples // N_BLOCKS)
    probability = sigmoid(visible_logits(params))  # (S, D)
    n_states = len(probability)
    log_m_blocks = np.empty((N_BLOCKS, n_states, n_states))
    forward_minus_back = np.empty((N_BLOCKS, n_states))
    for k in range(N_BLOCKS):
        for s in range(n_states):
            x = (rng.random((per_block, params.n_visible)) < probability[s]).astype(float)
            log_b, log_a = log_hidden(params, x), log_visible(params, x)
            log_m_blocks[k, :, s] = logsumexp(log_b, axis=0) - np.log(per_block)
            ratio = log_a - log_b
            # E over x ~ A_s of [ln A/B at s - sum_s' B ln A/B]: averaged with pi it is the full entropy production
            forward_minus_back[k, s] = np.mean(ratio[:, s] - np.sum(np.exp(log_b) * ratio, axis=1))
    log_m = logsumexp(log_m_blocks, axis=0) - np.log(N_BLOCKS)
    thermo = thermodynamics(np.exp(log_m), log_m)
    full = thermo.pi @ forward_minus_back.mean(axis=0)
    full_left = [
        thermodynamics(np.exp(q), q).pi @ np.delete(forward_minus_back, k, axis=0).mean(axis=0)
        for k, q in enumerate(leave_one_out(log_m_blocks))
    ]
    return SampledChain(
        m=np.exp(log_m),
        m_stderr=np.exp(log_m_blocks).std(axis=0, ddof=1) / np.sqrt(N_BLOCKS),
        log_m=log_m,
        thermo=thermo,
        blocks_log_m=log_m_blocks,
        full_entropy_production=float(full),
        full_entropy_production_stderr=float(jackknife_error(full_left)),
    )


def simulate(
    params: CycleParams, steps: int, chains: int, seed: int | np.random.SeedSequence, burn_in: int = 48
) -> np.ndarray:
    """Hidden states visited by ``chains`` independent chains, (steps + 1, chains) of state indices, after burn-in."""
    rng = np.random.default_rng(seed)
    probability = sigmoid(visible_logits(params))
    state = rng.integers(len(probability), size=chains)
    path = np.empty((steps + 1, chains), dtype=np.int64)
    for t in range(-burn_in, steps + 1):
        if t >= 0:
            path[t] = state
        x = (rng.random((chains, params.n_visible)) < probability[state]).astype(float)
        state = inverted(np.exp(log_hidden(params, x)), rng.random(chains))
    return path


def transition_counts(path: np.ndarray, n_states: int) -> np.ndarray:
    """Counts (S, S) = [to, from] of the transitions along ``path`` (T + 1, chains)."""
    if len(path) < 2:
        raise InputError("Counting transitions needs at least two recorded steps of the chain.")
    pair = path[1:].ravel() * n_states + path[:-1].ravel()
    return np.bincount(pair, minlength=n_states**2).reshape(n_states, n_states)


def counted_entropy_production(counts: np.ndarray) -> float:
    """Entropy production per step from transition counts (S, S), with the stated convention for zero counts."""
    seen = (counts + counts.T) > 0
    half = 0.5 * (seen & ~np.eye(len(counts), dtype=bool))
    flow = (counts + half) / max(1.0, float(counts.sum()))
    ratio = np.log(np.where(seen, flow, 1.0))
    return float(0.5 * np.sum((flow - flow.T) * (ratio - ratio.T)))


def counted_stderr(path: np.ndarray, n_states: int) -> float:
    """Jackknife standard error of the counted entropy production, leaving out one sixteenth of the chains at a time."""
    groups = np.array_split(np.arange(path.shape[1]), min(N_BLOCKS, path.shape[1]))
    if len(groups) < 2:
        raise InputError("An error of the counted entropy production needs at least two independent chains.")
    counts = np.stack([transition_counts(path[:, g], n_states) for g in groups])
    return float(jackknife_error([counted_entropy_production(counts.sum(axis=0) - c) for c in counts]))


def chain_log_likelihood(params: CycleParams, data: np.ndarray, visited: np.ndarray) -> np.ndarray:
    """Long-chain estimator: ln of the mean of A(x_n|z_t) over every visited hidden state, T x N_D terms; (N,)."""
    log_a = log_visible(params, data)
    z = visited.ravel()
    return np.array([logsumexp(row[z], axis=0) for row in log_a]) - np.log(len(z))


def occupancy_log_likelihood(params: CycleParams, data: np.ndarray, occupancy: np.ndarray) -> np.ndarray:
    """The same sum with equal terms collected, L x N_D terms: ln sum_s occupancy_s A(x_n|s); (N,).

    ``occupancy`` (S,) are visit frequencies, or a stationary vector. A state never visited contributes nothing.
    """
    log_weight = np.log(np.where(occupancy > 0, occupancy, 1.0))
    log_weight = np.where(occupancy > 0, log_weight, -np.inf)
    return logsumexp(log_visible(params, data) + log_weight, axis=-1)
