"""The tilted generator of a small system as a scipy CSR matrix."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.states import StateSpace, require_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError


def generator(
    system: System,
    s: float = 0.0,
    observable: str = "activity",
    order: int = 0,
    space: StateSpace | None = None,
) -> sp.csr_array:
    """``W_s`` (or its ``order``-th derivative in ``s``), shape ``(size, size)``, column = from, row = to.

    Raises ``InputError`` when it does not fit memory or the support is not closed under the moves.
    """
    space = space or StateSpace(system)
    connections = Connections(system, s, observable, order)
    size = space.size
    require_memory(sparse_bytes(size, connections.n_moves), f"the sparse generator of {size} states")
    rows, cols, values = [], [], []
    for block, x in space.chunks():
        rates = connections.incoming_rates(x)
        if order == 0 and system.support is not None:
            _check_closed(system, connections, x)
        used = rates != 0
        sources = connections.sources(x)
        if system.support is not None:  # a closed support may still be entered from outside it
            used &= system.support.contains(sources)
        here, _ = np.nonzero(used)
        rows += [block.start + here, np.arange(block.start, block.stop)]
        cols += [space.index(sources[used]), np.arange(block.start, block.stop)]
        values += [rates[used], connections.diagonal(x)]
    flat = (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols)))
    return sp.csr_array(flat, shape=(size, size))


def block(system: System, s: float, observable: str, codes: np.ndarray) -> sp.csr_array:
    """The elements of ``W_s`` between the states of the rising ``codes``, in their order."""
    space, connections = StateSpace(system), Connections(system, s, observable)
    x = space.decode(codes)
    rates, sources = connections.incoming_rates(x), connections.sources(x)
    values = sources[..., space.free].astype(np.int64) @ space.strides
    at = np.minimum(np.searchsorted(codes, values), len(codes) - 1)
    here, move = np.nonzero((rates != 0) & (codes[at] == values))
    own = np.arange(len(codes))
    flat = (
        np.concatenate([rates[here, move], connections.diagonal(x)]),
        (np.concatenate([here, own]), np.concatenate([at[here, move], own])),
    )
    return sp.csr_array(flat, shape=(len(codes), len(codes)))


def sparse_bytes(size: int, n_moves: int) -> float:
    """Memory that building the CSR matrix takes: coordinates and values of every element, twice."""
    return float(size) * (n_moves + 1) * 24 * 1.5


def _check_closed(system: System, connections: Connections, x: np.ndarray) -> None:
    leaving = connections.targets(x)[connections.outgoing_rates(x) != 0]
    assert system.support is not None
    if len(leaving) and not system.support.contains(leaving).all():
        raise InputError("the allowed support is not closed under the moves of this system.")
