"""Moves of a classical system compiled for trajectory samplers, and the one loop that runs them.

A walker jumps with the tilted rates ``W_s[x', x]`` and gathers the weight ``exp(int (W_s^T 1)(x) dt)``: at ``s = 0``
that weight is 1 and the walk is the plain dynamics (Gillespie, J. Comput. Phys. 22, 403 (1976)). A guide ``g`` turns
the rates into ``g(x') W_s[x', x] / g(x)`` and the weight into ``exp(int (W_s^T g)(x) / g(x) dt)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.states import StateSpace
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.trajectories.guide import Clusters
from vanbench.exact.trajectories.steering import NO_STEERING, Steering, compile_steering

UNSTEERED = np.zeros((1, 0, 0))
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
    from vanbench.exact.threads import pick
    from vanbench.exact.trajectories.walking import ADVANCE, CHUNK

    chunks = (len(x) + CHUNK - 1) // CHUNK
    seeds = np.random.SeedSequence(seed).generate_state(chunks)
    pick(ADVANCE, 16 * len(x))(x, counts, log_weights, span, seeds, *tables.arrays, steer)
