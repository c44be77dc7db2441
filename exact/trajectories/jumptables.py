"""Moves of a classical system compiled for trajectory samplers, and the one loop that runs them.

A walker jumps with the tilted rates ``W_s[x', x]`` and gathers the weight ``exp(int (W_s^T 1)(x) dt)``: at ``s = 0``
that weight is 1 and the walk is the plain dynamics (Gillespie, J. Comput. Phys. 22, 403 (1976)). A guide ``g`` turns
the rates into ``g(x') W_s[x', x] / g(x)`` and the weight into ``exp(int (W_s^T g)(x) / g(x) dt)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.states import StateSpace
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.threads import both, pick
from vanbench.exact.trajectories.guide import Clusters
from vanbench.exact.trajectories.steering import NO_STEERING, Steering, compile_steering

UNSTEERED = np.zeros((1, 0, 0))
CHUNK = 512  # walkers that share one stream of random numbers
MOST_DRAWS = 1000  # rounds of rejection before a start on a tiny support is given up


@dataclass(frozen=True, eq=False)
class JumpTables:
    """Look-up tables of one tilted generator; see ``Connections`` for their layout."""

    arrays: tuple
    system: System
    steering: Steering


def compile_moves(
    system: System, s: float = 0.0, observable: str = "activity", clusters: Clusters | None = None
) -> JumpTables:
    """For walkers without a guide, or for guides over ``clusters``.

    Raises ``InputError`` where a tilted rate is negative (a signed generator has no trajectories).
    """
    now = Connections(system, s, observable)
    tables, counted = now.tables(), observable in system.observables
    slope = Connections(system, s, observable, 1).tables() if counted else None
    if (tables["outgoing"] < 0).any():
        raise InputError(f"{system.name} has rates that are not positive: it has no classical trajectories.")
    changed = now.deltas != 0
    used = _used_sites(system)  # (n_terms, n_sites)
    touched_terms = (changed[:, None, :] & used[None]).any(-1)  # (n_moves, n_terms)
    term_of = tables["term_of"].reshape(now.n_moves, now.slots)
    filled = tables["outgoing"].reshape(now.n_moves, now.slots, now.rows).any(-1)
    feeds = np.zeros((now.n_moves, len(used)), dtype=bool)
    for m in range(now.n_moves):
        feeds[m, term_of[m][filled[m]]] = True
    reads = (feeds.astype(int) @ used) > 0  # (n_moves, n_sites): what the rate of a move depends on
    steering = compile_steering(clusters, now.deltas, system.local_dim) if clusters is not None else NO_STEERING
    if clusters is not None:
        reads |= steering.read(system.n_sites)
    touched_moves = (changed[:, None, :] & reads[None]).any(-1)
    shape = (now.n_moves, now.slots, now.rows)
    outgoing = tables["outgoing"].reshape(shape)
    return JumpTables(
        (
            tables["sites"], tables["strides"], _lists(feeds), _per_term(outgoing, term_of, filled, feeds),
            _per_term(-slope["outgoing"].reshape(shape), term_of, filled, feeds) if slope else np.zeros((1, 1, 1)),
            tables["diagonal"].reshape(-1, now.rows),
            -slope["diagonal"].reshape(-1, now.rows) if slope else np.zeros((len(used), now.rows)),
            now.deltas, _lists(touched_moves), _lists(touched_terms), system.local_dim,
            steering.sites, steering.strides,
        ),
        system,
        steering,
    )  # fmt: skip


def _used_sites(system: System) -> np.ndarray:
    used = np.zeros((len(system.terms), system.n_sites), dtype=bool)
    for t, term in enumerate(system.terms):
        used[t, list(term.sites)] = True
    return used


def _lists(flags: np.ndarray) -> np.ndarray:
    """The true columns of each row, padded with -1."""
    width = int(flags.sum(1).max(initial=min(1, flags.shape[1])))
    out = np.full((len(flags), width), -1, dtype=np.int64)
    for row, line in enumerate(flags):
        columns = np.flatnonzero(line)
        out[row, : len(columns)] = columns
    return out


def _per_term(table: np.ndarray, term_of: np.ndarray, filled: np.ndarray, feeds: np.ndarray) -> np.ndarray:
    """The rate tables of each move in the order of its list of terms."""
    out = np.zeros((len(feeds), int(feeds.sum(1).max(initial=1)), table.shape[-1]))
    for m, line in enumerate(feeds):
        slots = {int(t): i for i, t in enumerate(np.flatnonzero(line))}
        for slot in np.flatnonzero(filled[m]):
            out[m, slots[int(term_of[m, slot])]] += table[m, slot]
    return out


def draw_starts(system: System, count: int, rng: np.random.Generator) -> np.ndarray:
    """Configurations ``(count, n_sites)`` int8 from the initial distribution; rejection on a restricted support."""
    start = system.initial
    if start.ndim == 1:
        space = StateSpace(system)
        return space.configurations()[rng.choice(space.size, size=count, p=space.initial())]
    edges = np.cumsum(start, axis=1)[:, :-1]
    last = start.shape[1] - 1 - (start > 0)[:, ::-1].argmax(1)  # rounded sums need not reach 1
    kept: list[np.ndarray] = []
    for _ in range(MOST_DRAWS):
        x = np.minimum((rng.random((count, system.n_sites, 1)) >= edges).sum(-1), last).astype(np.int8)
        kept.append(x if system.support is None else x[system.support.contains(x)])
        if sum(map(len, kept)) >= count:
            return np.concatenate(kept)[:count]
    raise InputError("the initial distribution gives almost no weight to the allowed support: start from a vector.")


def advance(
    tables: JumpTables,
    x: np.ndarray,
    counts: np.ndarray,
    log_weights: np.ndarray,
    span: float,
    seed: int,
    steer: np.ndarray = UNSTEERED,
) -> None:
    """Runs every walker for ``span``, in place: configurations, integrated observable, log weights.

    Empty ``counts``: nothing is integrated. ``steer``: ``tables.steering.tables(guide)``.
    """
    chunks = (len(x) + CHUNK - 1) // CHUNK
    seeds = np.random.SeedSequence(seed).generate_state(chunks)
    pick(_ADVANCE, 16 * len(x))(x, counts, log_weights, span, seeds, *tables.arrays, steer)


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


_ADVANCE = both(_advance, fastmath=False)  # waiting times may be infinite
