"""The first stretch of a start with probabilities of zero, summed exactly: networks take over where all is reached.

From a point, or a start that leaves out values of a site, samples of a network see nothing of what is next to come. So
up to a short time, in which ``lambda`` moves are made on average, ``exp(t W_s) P_0`` is summed over the configurations
that up to ``L`` moves reach; what lies beyond has a weight of about ``lambda^(L+1) / (L+1)!``. Networks begin as the
product of its marginals, which misses correlations of the order ``lambda^2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import expm_multiply

from vanbench.exact import Connections, InputError
from vanbench.neural.trackers.base import Problem
from vanbench.neural.trackers.still import starts

MOST = 20_000  # configurations that are summed over
DEEPEST = 4  # moves
MOVES = 0.05  # made on average: pairs of moves have a weight of 1e-3
BEYOND = 1e-5  # the weight of what is not reached


@dataclass(frozen=True)
class Opening:
    """At ``t``: ``ln Z`` ``(R,)`` and the marginals ``(R, n_sites, d)``."""

    t: float
    ln_z: np.ndarray
    product: np.ndarray


def opening(problem: Problem, first: float) -> Opening | None:
    """Of a classical start that has probabilities of zero, before the time ``first``; None for any other.

    Raises ``InputError`` where the start has too many configurations.
    """
    system = problem.system
    free = np.asarray(system.free_sites, dtype=int)
    if system.quantum is not None or not (system.initial[free] == 0).any():
        return None
    begun = starts(system)
    if begun is None or len(begun[0]) > MOST:
        raise InputError(
            "a start that gives some values no probability, and is no point either, is out of reach of networks: start "
            "from a point, like up, from all values, like bernoulli:0.99, or take the tracker clones."
        )
    connections = Connections(system, 0.0, problem.observable)
    x, deep = _reached(connections, begun[0])
    start = np.zeros(len(x))
    start[: len(begun[0])] = begun[1]
    fastest = float(-Connections(system, problem.s, problem.observable).diagonal(_each(problem, x)).min())
    moves = min(MOVES, (BEYOND * math.factorial(deep + 1)) ** (1 / (deep + 1)))
    t = min(moves / max(fastest, 1e-300), first / 4)
    ln_z, product = [], []
    for s in problem.s:
        p = expm_multiply(t * _generator(Connections(system, s, problem.observable), x), start)
        ln_z.append(np.log(p.sum()))
        p = p / p.sum()
        product.append(np.stack([(x == value).T @ p for value in range(system.local_dim)], 1))
    return Opening(float(t), np.array(ln_z), np.stack(product))


def _each(problem: Problem, x: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x, (len(problem.s), *x.shape))


def _reached(connections: Connections, x: np.ndarray) -> tuple[np.ndarray, int]:
    """The configurations that a few moves lead to, ``x`` first, and how many moves; at least one."""
    edge = x
    for deep in range(DEEPEST):
        leaves = connections.outgoing_rates(edge) > 0
        new = np.unique(connections.targets(edge)[leaves], axis=0)
        known = {row.tobytes() for row in x}
        new = np.array([row for row in new if row.tobytes() not in known], dtype=np.int8).reshape(-1, x.shape[1])
        if not len(new):
            return x, 2 * DEEPEST  # all there is
        if deep and len(x) + len(new) > MOST:
            return x, deep
        x, edge = np.concatenate([x, new]), new
    return x, DEEPEST


def _generator(connections: Connections, x: np.ndarray) -> sp.csr_array:
    """``W_s`` among the configurations ``x``; what leads out of them is lost."""
    index = {row.tobytes(): k for k, row in enumerate(x)}
    rates, targets = connections.outgoing_rates(x), connections.targets(x).astype(np.int8)
    columns, moves = np.nonzero(rates)
    rows = np.array([index.get(targets[c, m].tobytes(), -1) for c, m in zip(columns, moves)], dtype=int)
    inside = rows >= 0
    values = rates[columns, moves][inside]
    off = sp.csr_array((values, (rows[inside], columns[inside])), shape=(len(x), len(x)))
    return (off + sp.diags_array(np.asarray(connections.diagonal(x), dtype=float))).tocsr()
