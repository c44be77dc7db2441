"""Lattices and graphs: which sites are neighbours, and how many neighbours lie outside."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from vanbench.exact.errors import InputError, unknown

Shape = int | Sequence[int]  # a chain by its length
BOUNDARIES = ("up", "down", "open", "periodic")


def lengths(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple; a chain may be its length. Raises ``InputError`` for what is no shape."""
    given = (shape,) if isinstance(shape, Real) else tuple(shape) if np.iterable(shape) else ()
    numbers = [float(n) if isinstance(n, Real) and not isinstance(n, bool) else 0.0 for n in given]
    if not numbers or not all(n.is_integer() and n >= 1 for n in numbers):
        told = f"shape {given}" if given and not isinstance(shape, str) else f"shape {shape!r}"
        raise InputError(f"{told}: every length must be a positive integer, as in 8 or (4, 4).")
    return tuple(int(n) for n in numbers)


def lower_bonds(shape: tuple[int, ...], periodic: bool) -> list[tuple[int, int, int]]:
    """``(lower, upper, axis)`` for every pair of neighbours along every axis, row-major site numbers.

    A periodic direction of length 2 has one bond, not two; a direction of length 1 has none.
    """
    sites = np.arange(int(np.prod(shape))).reshape(shape)
    bonds = []
    for axis, length in enumerate(shape):
        ahead = np.roll(sites, -1, axis)
        keep = length - 1 if not periodic or length <= 2 else length
        lower = np.take(sites, range(keep), axis).ravel()
        upper = np.take(ahead, range(keep), axis).ravel()
        bonds += [(int(a), int(b), axis) for a, b in zip(lower, upper)]
    return bonds


def outside(shape: tuple[int, ...], lower_only: bool = False) -> np.ndarray:
    """How many neighbours of each site lie outside the lattice (only below it along each axis, if asked)."""
    count = np.zeros(shape, dtype=int)
    for axis in range(len(shape)):
        edge = np.moveaxis(count, axis, 0)
        edge[0] += 1
        if not lower_only:
            edge[-1] += 1
    return count.ravel()


def check_boundary(boundary: str) -> str:
    if boundary not in BOUNDARIES:
        raise unknown("boundary", boundary, list(BOUNDARIES))
    return boundary


def check_edges(edges: object, n_sites: int) -> np.ndarray:
    """An edge list ``(m, 2)`` of a simple graph, each edge once; raises ``InputError`` otherwise."""
    try:
        array = np.asarray(edges)
    except ValueError:  # ragged
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 2 or not np.issubdtype(array.dtype, np.integer):
        raise InputError("edges must be a list of pairs of site numbers.")
    pairs = {tuple(sorted(map(int, pair))) for pair in array}
    if array.min(initial=0) < 0 or array.max(initial=-1) >= n_sites or any(a == b for a, b in pairs):
        raise InputError(f"edges must join two different sites among 0..{n_sites - 1}.")
    if len(pairs) < len(array):
        kinds, counts = np.unique(np.sort(array, axis=1), axis=0, return_counts=True)
        a, b = kinds[np.argmax(counts > 1)]
        raise InputError(f"edges name the pair {a}, {b} twice (in either order): give each edge once.")
    return np.array(sorted(pairs), dtype=int).reshape(-1, 2)
