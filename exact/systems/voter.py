"""The voter model: a site takes the opinion of a random neighbour. Liggett, Interacting Particle Systems (1985)."""

from __future__ import annotations

from typing import Any

import numpy as np

from vanbench.exact.definitions.lattice import check_boundary, check_edges, lower_bonds, outside
from vanbench.exact.definitions.system import System
from vanbench.exact.definitions.terms import jumps
from vanbench.exact.errors import InputError
from vanbench.exact.systems.kcm import parse_pinned
from vanbench.exact.systems.starts import classical_start


def voter(
    shape: tuple[int, ...],
    boundary: str = "periodic",
    initial: str = "bernoulli:0.5",
    pinned: Any = None,
    edges: Any = None,
) -> System:
    """A site flips at a rate equal to the fraction of its neighbours that disagree.

    ``boundary``: ``periodic``, ``open``, or ``up``/``down`` (fixed opinions outside, which count as neighbours);
    ``edges`` puts it on any graph. A site without neighbours never changes.
    """
    n = int(np.prod(shape))
    check_boundary(boundary)
    pins = parse_pinned(pinned, n) or {}
    if edges is not None:
        if boundary in ("up", "down"):
            raise InputError("a graph has no outside: leave 'boundary' out when 'edges' are given.")
        pairs, boundary = check_edges(edges, n), "open"
    else:
        pairs = np.array([b[:2] for b in lower_bonds(shape, boundary == "periodic")], dtype=int).reshape(-1, 2)
    ends = outside(shape) if boundary in ("up", "down") else np.zeros(n, dtype=int)
    degree = np.bincount(pairs.ravel(), minlength=n) + ends
    disagree = np.zeros((4, 4))
    disagree[0b11, 0b01] = disagree[0b00, 0b10] = 1.0  # sites (i, j): i takes the value of j
    terms = [jumps((int(i), int(j)), disagree / degree[i]) for i, j in [*pairs, *pairs[:, ::-1]] if int(i) not in pins]
    opinion = np.array([[0.0, 0.0], [1.0, 0.0]]) if boundary == "up" else np.array([[0.0, 1.0], [0.0, 0.0]])
    terms += [jumps((int(i),), ends[i] / degree[i] * opinion) for i in np.flatnonzero(ends) if int(i) not in pins]
    return System(
        name="voter",
        shape=tuple(shape),
        local_dim=2,
        terms=tuple(terms),
        initial=classical_start(initial, n, None, pins),
        pinned=pins,
        edges=pairs,
        params={
            "boundary": boundary,
            "initial": initial,
            "pinned": pins,
            **({"edges": pairs.tolist()} if edges is not None else {}),
        },
    )
