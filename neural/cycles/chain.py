"""Sampling many two-kernel chains of many models at once: the inner loop of training.

One compiled kernel goes through all models, chains and double steps; batched tensor operations for the same loop spend
most of their time between small operations (measured: three to four times slower). Each hidden state has a row of
pixel thresholds, so that a pixel of x is one comparison with 32 random bits. Random words come from a counter, through
the mixing function of SplitMix64 (Steele, Lea and Flood 2014), from a start of its own for each model: a model's
results depend neither on the threads nor on the models beside it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import torch

from vanbench.exact.compiled import compiled
from vanbench.exact.cycles.chain import READINGS, CycleParams, sigmoid, visible_logits

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = (np.uint64(n) for n in (30, 27, 31, 11))
_SOFTMAX, _SIGMOID, _BINARY = (READINGS.index(name) for name in ("softmax", "sigmoid", "binary"))


@numba.njit(inline="always")
def _word(counter: np.uint64) -> np.uint64:
    v = counter * _GAMMA
    v = (v ^ (v >> _S30)) * _M1
    v = (v ^ (v >> _S27)) * _M2
    return v ^ (v >> _S31)


@numba.njit(inline="always")
def _uniform(counter: np.uint64) -> float:
    return np.float64(_word(counter) >> _S11) * 2.0**-53


@numba.njit(inline="always")
def _draw_hidden(h: np.ndarray, reading: int, counter: np.uint64) -> int:
    """Index of the hidden state drawn from B at the fields ``h`` (L,), which are overwritten."""
    n = len(h)
    if reading == _BINARY:
        state = 0
        for l in range(n):
            on = _uniform(counter + np.uint64(l)) * (1.0 + np.exp(-h[l])) < 1.0
            state = 2 * state + (1 if on else 0)
        return state
    top = h.max()
    total = 0.0
    if reading == _SIGMOID and top > -30.0:
        for l in range(n):
            h[l] = 1.0 / (1.0 + np.exp(-np.float64(h[l])))
            total += h[l]
    else:  # far below zero a sigmoid is an exponential, and all the sigmoids of a configuration might underflow
        for l in range(n):
            h[l] = np.exp(h[l] - top)
            total += h[l]
    left = _uniform(counter) * total
    for l in range(n - 1):
        left -= h[l]
        if left < 0.0:
            return l
    return n - 1


# additions of a field may be reordered: it makes the sum over pixels a vector operation
@compiled(nogil=True, fastmath={"reassoc", "contract"})
def _advance(z, x, threshold, wbar, shift, counters, reading, steps):
    runs, chains, kept, n_visible = x.shape
    n_hidden = wbar.shape[1]
    n_words = (n_visible + 1) // 2
    for r in range(runs):
        words = np.empty(n_words, np.uint64)
        halves = words.view(np.uint32)
        pixel = np.empty(n_visible, np.float32)
        h = np.empty(n_hidden, np.float32)
        counter = counters[r]
        for c in range(chains):
            state = z[r, c]
            for step in range(steps):
                for k in range(n_words):
                    words[k] = _word(counter + np.uint64(k))
                row = threshold[r, state]
                for i in range(n_visible):
                    pixel[i] = np.float32(1.0) if halves[i] < row[i] else np.float32(0.0)
                for l in range(n_hidden):
                    total = shift[r, l]
                    for i in range(n_visible):
                        total += wbar[r, l, i] * pixel[i]
                    h[l] = total
                state = _draw_hidden(h, reading, counter + np.uint64(n_words))
                counter += np.uint64(n_words + n_hidden)
                if step >= steps - kept:
                    x[r, c, step - steps + kept] = pixel
            z[r, c] = state
        counters[r] = counter


class PersistentChains:
    """The persistent chains of all models; ``z`` (runs, chains) indexes :func:`exact.cycles.chain.hidden_states`."""

    def __init__(self, params: CycleParams, chains: int, seed: int):
        runs, n_states = visible_logits(params).shape[:2]
        rng = np.random.default_rng(seed)
        self._counters = rng.integers(0, 2**64, size=runs, dtype=np.uint64)
        self._reading = READINGS.index(params.reading)
        # plain threads on a share of the models each: they sleep when done, where a parallel loop would spin
        cores = min(runs, os.cpu_count() or 1)
        self._shares = [slice(k * runs // cores, (k + 1) * runs // cores) for k in range(cores)]
        self._pool = ThreadPoolExecutor(cores)
        self.z = rng.integers(n_states, size=(runs, chains))

    def advance(self, params: CycleParams, size: int, double_steps: int, kept: int = 1) -> torch.Tensor:
        """Advance the first ``size`` chains of every model by ``double_steps`` of z -> x -> z'.

        Returns the visible states of the last ``kept`` double steps, those from which ``z`` were drawn: (runs, size *
        kept, D) float32.
        """
        probability = sigmoid(visible_logits(params)).double()
        threshold = torch.clamp(torch.round(probability * 2.0**32), max=2.0**32 - 1).numpy().astype(np.uint32)
        shift = (params.abar - params.wbar @ params.centre).float().numpy()
        wbar = params.wbar.float().contiguous().numpy()
        z = np.ascontiguousarray(self.z[:, :size])
        x = np.empty((*z.shape, kept, params.n_visible), dtype=np.float32)

        def share(of: slice) -> None:
            tables = z[of], x[of], threshold[of], wbar[of], shift[of], self._counters[of]
            _advance(*tables, self._reading, double_steps)  # type: ignore[call-arg]  # compiled: no signature to check

        list(self._pool.map(share, self._shares))
        self.z[:, :size] = z
        return torch.from_numpy(x.reshape(len(x), -1, params.n_visible))
