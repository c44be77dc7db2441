"""Compiled loops over walkers: their jumps, and the logarithms of the guides that steer them."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from vanbench.exact.compiled import compiled
from vanbench.exact.threads import both

CHUNK = 512  # walkers that share one stream of random numbers
BLOCK = 1024  # configurations whose ln g is taken together: they stay in the cache


@njit(inline="always")
def _local(x, t, sites, strides):  # type: ignore[no-untyped-def]
    row = 0
    for i in range(sites.shape[1]):
        row += x[sites[t, i]] * strides[t, i]
    return row


@njit(inline="always")
def _rate(x, m, table, feeds, sites, strides):  # type: ignore[no-untyped-def]
    rate = 0.0
    for slot in range(feeds.shape[1]):
        t = feeds[m, slot]
        if t < 0:
            break
        rate += table[m, slot, _local(x, t, sites, strides)]
    return rate


@njit(inline="always")
def _steer(x, m, sites, strides, tables):  # type: ignore[no-untyped-def]
    """``g(x') / g(x)`` of move ``m``."""
    gain = 1.0
    for j in range(sites.shape[1]):
        row = 0
        for i in range(sites.shape[2]):
            row += x[sites[m, j, i]] * strides[m, j, i]
        gain *= tables[m, j, row]
    return gain


@njit(inline="always")
def _sum_terms(x, terms, table, sites, strides):  # type: ignore[no-untyped-def]
    total = 0.0
    for t in terms:
        if t < 0:
            break
        total += table[t, _local(x, t, sites, strides)]
    return total


def _advance(  # type: ignore[no-untyped-def]
    x, counts, log_weights, span, seeds, sites, strides, feeds, outgoing, increments, diagonal, potential,
    deltas, touched_moves, touched_terms, d, steer_sites, steer_strides, steer,
):  # fmt: skip
    n_moves, every_term = deltas.shape[0], np.arange(sites.shape[0])
    steered, counting = steer.shape[1] > 0, counts.shape[0] > 0
    for chunk in prange(seeds.size):
        np.random.seed(seeds[chunk])  # noqa: NPY002 (the generator of compiled code)
        rates = np.empty(n_moves)
        for walker in range(chunk * CHUNK, min(x.shape[0], (chunk + 1) * CHUNK)):
            here = x[walker]
            total = 0.0
            for m in range(n_moves):
                rates[m] = _rate(here, m, outgoing, feeds, sites, strides)
                if steered and rates[m] > 0.0:
                    rates[m] *= _steer(here, m, steer_sites, steer_strides, steer)
                total += rates[m]
            staying = _sum_terms(here, every_term, diagonal, sites, strides)
            flow = _sum_terms(here, every_term, potential, sites, strides) if counting else 0.0
            left, weight, count = span, 0.0, 0.0
            while True:
                wait = -np.log(1.0 - np.random.random()) / total if total > 0.0 else np.inf  # noqa: NPY002
                stay = min(wait, left)
                weight += (total + staying) * stay
                count += flow * stay
                left -= stay
                if left <= 0.0:
                    break
                mark, m = np.random.random() * total, 0  # noqa: NPY002
                while m < n_moves - 1 and mark >= rates[m]:
                    mark -= rates[m]
                    m += 1
                if rates[m] <= 0.0:  # rounding at the upper end of the sum: draw again
                    continue
                if counting:
                    plain = _rate(here, m, outgoing, feeds, sites, strides)
                    count += _rate(here, m, increments, feeds, sites, strides) / plain
                    flow -= _sum_terms(here, touched_terms[m], potential, sites, strides)
                staying -= _sum_terms(here, touched_terms[m], diagonal, sites, strides)
                for i in range(here.size):
                    if deltas[m, i]:
                        here[i] = (here[i] + deltas[m, i]) % d
                staying += _sum_terms(here, touched_terms[m], diagonal, sites, strides)
                if counting:
                    flow += _sum_terms(here, touched_terms[m], potential, sites, strides)
                for other in touched_moves[m]:
                    if other < 0:
                        break
                    rates[other] = _rate(here, other, outgoing, feeds, sites, strides)
                    if steered and rates[other] > 0.0:
                        rates[other] *= _steer(here, other, steer_sites, steer_strides, steer)
                total = 0.0  # summed anew: no drift
                for other in range(n_moves):
                    total += rates[other]
            if counting:
                counts[walker] += count
            log_weights[walker] += weight


ADVANCE = both(_advance, fastmath=False)  # waiting times may be infinite


@compiled()
def log_guide(x, sites, values, factors):  # type: ignore[no-untyped-def]
    out = np.empty(x.shape[0])
    for first in range(0, x.shape[0], BLOCK):
        here = x[first : first + BLOCK].T.copy()  # walkers run fastest: many in one instruction
        total, agrees = out[first : first + BLOCK], np.empty(here.shape[1], dtype=np.bool_)
        total[:] = 0.0
        for k in range(factors.shape[0]):
            agrees[:] = here[sites[k, 0]] == values[k, 0]
            for i in range(1, sites.shape[1]):
                agrees &= here[sites[k, i]] == values[k, i]
            total += factors[k] * agrees
    return out
