"""What the local terms say about a batch of configurations: neighbours, rates, escape rates, local ratios.

The moves of all terms are merged once, when a `Connections` is made: two terms that lead to the same configuration
share one move, so a network is evaluated once for each distinct neighbour. Everything after that is table look-up
and runs on NumPy arrays and torch tensors alike (array API).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from array_api_compat import array_namespace, device

from vanbench.exact.definitions.system import System
from vanbench.exact.definitions.terms import Term
from vanbench.exact.errors import InputError, unknown

Array = Any


class Connections:
    """Tilted generator ``W_s`` of ``system`` as look-up tables.

    s
        one counting field, or a sequence of ``R`` of them; then every batch carries a leading axis ``R``:
        configurations ``(R, B, n_sites)``, results ``(R, B, ...)``. With one ``s``: ``(B, n_sites)`` and ``(B, ...)``.
    order
        0 for ``W_s``, 1 or 2 for its derivatives in ``s``.

    Raises ``InputError`` for an observable no term counts (when ``s`` is not zero) and for a term that moves a
    pinned site.
    """

    def __init__(self, system: System, s: float | Sequence[float] = 0.0, observable: str = "activity", order: int = 0):
        self.system = system
        self.single = np.ndim(s) == 0
        self.s = np.atleast_1d(np.asarray(s, dtype=float))
        if (self.s.any() or order) and observable not in system.observables:
            raise unknown(f"observable of {system.name}", observable, system.observables)
        self._compile(observable, order)
        self._on: dict[Any, dict[str, Array]] = {}

    # -- compiling -------------------------------------------------------------------------------------------------

    def _compile(self, observable: str, order: int) -> None:
        system, d = self.system, self.system.local_dim
        width = max((len(t.sites) for t in system.terms), default=1)
        n_terms, rows = len(system.terms), d**width
        sites = np.zeros((n_terms, width), dtype=np.int64)
        strides = np.zeros((n_terms, width), dtype=np.int64)
        diagonal = np.zeros((len(self.s), n_terms, rows))
        column = np.zeros((len(self.s), n_terms, rows))
        entries: dict[tuple, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        for t, term in enumerate(system.terms):
            k = len(term.sites)
            sites[t, :k], strides[t, :k] = term.sites, d ** np.arange(k - 1, -1, -1)
            local = np.stack([term.tilted(observable, s, order) for s in self.s])
            diagonal[:, t, : d**k] = np.diagonal(local, axis1=1, axis2=2)
            column[:, t, : d**k] = local.sum(1)
            for move, (arriving, leaving) in _moves(term, local, d, system.pinned).items():
                entries.setdefault(move, []).append((t, _pad(arriving, rows), _pad(leaving, rows)))
        self.rows = rows
        moves = sorted(entries)
        self.deltas = np.zeros((len(moves), system.n_sites), dtype=np.int8)
        slots = max((len(entries[m]) for m in moves), default=1)
        term_of = np.zeros((len(moves), slots), dtype=np.int64)
        tables = {w: np.zeros((len(self.s), len(moves), slots, rows)) for w in ("incoming", "outgoing")}
        for m, move in enumerate(moves):
            for site, delta in move:
                self.deltas[m, site] = delta
            for slot, (t, arriving, leaving) in enumerate(entries[move]):
                term_of[m, slot] = t
                tables["incoming"][:, m, slot], tables["outgoing"][:, m, slot] = arriving, leaving
        self.slots = slots
        self._tables: dict[str, Array] = {
            "sites": sites,
            "strides": strides,
            "deltas": self.deltas,
            "term_of": term_of.reshape(-1),
            "diagonal": diagonal.reshape(-1),
            "column": column.reshape(-1),
            **{name: table.reshape(-1) for name, table in tables.items()},
        }

    @property
    def n_moves(self) -> int:
        return len(self.deltas)

    def tables(self) -> dict[str, Array]:
        """The compiled tables as flat NumPy arrays, for the numba kernels."""
        return self._tables

    # -- look-ups --------------------------------------------------------------------------------------------------

    def _local(self, x: Array) -> tuple[Any, dict[str, Array], Array]:
        """Namespace, tables on the device of ``x``, and the local index of every term: ``(R, B, n_terms)``."""
        xp = array_namespace(x)
        key = (xp.__name__, str(device(x)))
        if key not in self._on:
            self._on[key] = {name: xp.asarray(table, device=device(x)) for name, table in self._tables.items()}
        on = self._on[key]
        picked = xp.reshape(xp.take(x, xp.reshape(on["sites"], (-1,)), axis=-1), (*x.shape[:-1], *on["sites"].shape))
        return xp, on, xp.sum(xp.astype(picked, xp.int64) * on["strides"], axis=-1)

    def _look_up(self, xp: Any, table: Array, local: Array, entries: int) -> Array:
        """``table[r, entry, local]`` for local indices ``(R, B, entries)``."""
        replica = xp.arange(local.shape[0], dtype=xp.int64, device=device(local))
        entry = xp.arange(entries, dtype=xp.int64, device=device(local))
        flat = local + self.rows * (entry + entries * xp.reshape(replica, (-1, 1, 1)))
        return xp.reshape(xp.take(table, xp.reshape(flat, (-1,))), flat.shape)

    def _lift(self, x: Array) -> Array:
        if x.shape[-1] != self.system.n_sites:
            raise InputError(f"configurations have {x.shape[-1]} sites, the system {self.system.n_sites}.")
        return x[None] if self.single else x

    def _drop(self, out: Array) -> Array:
        return out[0] if self.single else out

    def _rates(self, x: Array, which: str) -> Array:
        xp, on, local = self._local(self._lift(x))
        if self.n_moves == 0:
            return self._drop(xp.zeros((*local.shape[:-1], 0), dtype=xp.float64, device=device(x)))
        per_slot = self._look_up(xp, on[which], xp.take(local, on["term_of"], axis=-1), self.n_moves * self.slots)
        return self._drop(xp.sum(xp.reshape(per_slot, (*local.shape[:-1], self.n_moves, self.slots)), axis=-1))

    def _term_sum(self, x: Array, which: str) -> Array:
        xp, on, local = self._local(self._lift(x))
        return self._drop(xp.sum(self._look_up(xp, on[which], local, local.shape[-1]), axis=-1))

    def incoming_rates(self, x: Array) -> Array:
        """``W_s[x, x']`` for each move, ``(..., B, n_moves)``; zero where the move does not lead to ``x``."""
        return self._rates(x, "incoming")

    def outgoing_rates(self, x: Array) -> Array:
        """``W_s[x', x]`` for each move out of ``x``, ``(..., B, n_moves)``."""
        return self._rates(x, "outgoing")

    def sources(self, x: Array) -> Array:
        """The configurations ``x'`` that lead to ``x``, one a move: ``(..., B, n_moves, n_sites)``."""
        xp, on, _ = self._local(x)
        return xp.remainder(x[..., None, :] - on["deltas"], self.system.local_dim)

    def targets(self, x: Array) -> Array:
        """The configurations that ``x`` leads to, one a move: ``(..., B, n_moves, n_sites)``."""
        xp, on, _ = self._local(x)
        return xp.remainder(x[..., None, :] + on["deltas"], self.system.local_dim)

    def diagonal(self, x: Array) -> Array:
        """``W_s[x, x]``, ``(..., B)``; minus the escape rate for a classical counter."""
        return self._term_sum(x, "diagonal")

    def column_sum(self, x: Array) -> Array:
        """``(W_s^T 1)(x) = sum_x' W_s[x', x]``, ``(..., B)``: the local growth rate of the normaliser."""
        return self._term_sum(x, "column")

    def local_ratio(self, x: Array, log_prob: Callable[[Array], Array], log_prob_x: Array | None = None) -> Array:
        """``(W_s p)(x) / p(x)``, ``(..., B)``, for a ``log_prob`` of configurations ``(..., K, n_sites)``.

        With one ``s`` the network sees only the neighbours whose rate is not zero; with several it sees all of them,
        in one batch.
        """
        xp = array_namespace(x)
        rates = self.incoming_rates(x)
        here = log_prob(x) if log_prob_x is None else log_prob_x
        sources = self.sources(x)
        if len(self.s) == 1:
            used = rates != 0
            there = sources[used] if self.single else sources[used][None]
            log_ratio = xp.reshape(log_prob(there), (-1,)) - xp.broadcast_to(here[..., None], used.shape)[used]
            flow = xp.zeros_like(rates)
            flow[used] = rates[used] * xp.exp(log_ratio)
        else:
            flat = xp.reshape(sources, (x.shape[0], -1, x.shape[-1]))
            flow = rates * xp.exp(xp.reshape(log_prob(flat), rates.shape) - here[..., None])
        return self.diagonal(x) + xp.sum(flow, axis=-1)


def _moves(
    term: Term, local: np.ndarray, d: int, pinned: Any
) -> dict[tuple[tuple[int, int], ...], tuple[np.ndarray, np.ndarray]]:
    """Off-diagonal elements of a term, by the change they make: ``{((site, delta), ...): (arriving, leaving)}``.

    ``arriving[r, row]`` is the rate into local state ``row`` by this change, ``leaving[r, column]`` out of it.
    """
    k = len(term.sites)
    digits = np.stack(np.unravel_index(np.arange(d**k), (d,) * k), axis=-1)
    pattern = term.matrix != 0
    for counter in term.counters.values():
        for _, jump in counter:
            pattern = pattern | (jump != 0)
    connections: dict[tuple[tuple[int, int], ...], tuple[np.ndarray, np.ndarray]] = {}
    for row, col in zip(*np.nonzero(pattern & ~np.eye(d**k, dtype=bool))):
        if any(pinned.get(site, value) != value for site, value in zip(term.sites, digits[col])):
            continue
        change = (digits[row] - digits[col]) % d
        key = tuple(sorted((int(site), int(c)) for site, c in zip(term.sites, change) if c))
        if any(site in pinned for site, _ in key):
            raise InputError(f"the term on sites {term.sites} moves the pinned site {key[0][0]}: leave that move out.")
        arriving, leaving = connections.setdefault(key, (np.zeros(local.shape[:2]), np.zeros(local.shape[:2])))
        arriving[:, row] += local[:, row, col]
        leaving[:, col] += local[:, row, col]
    return connections


def _pad(table: np.ndarray, rows: int) -> np.ndarray:
    return np.pad(table, ((0, 0), (0, rows - table.shape[1])))
