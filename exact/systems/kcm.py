"""Kinetically constrained models: free spins, Fredrickson-Andersen, and the East family in any dimension.

A site flips up at rate ``c f_i`` and down at rate ``(1-c) f_i``, with ``f_i`` its number of up neighbours (``fa``), of
up lower neighbours along each axis (``east``: East, South-East, South-East-Front), or 1 (``free``).
Ritort and Sollich, Adv. Phys. 52, 219 (2003).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vanbench.exact.definitions.lattice import check_boundary, check_edges, lower_bonds, outside
from vanbench.exact.definitions.system import Excluding, System
from vanbench.exact.definitions.terms import Term, jumps
from vanbench.exact.errors import InputError, number
from vanbench.exact.systems.starts import classical_start


def free(shape: tuple[int, ...], c: float = 0.5, initial: str = "stationary", pinned: Any = None) -> System:
    """Independent spins, ``f_i = 1``; has a closed form at any size, for checks."""
    _check_c(c)
    n = int(np.prod(shape))
    pins = parse_pinned(pinned, n) or {}
    terms = tuple(jumps((i,), _flip(c)) for i in range(n) if i not in pins)
    return _kcm("free", shape, terms, c, initial, pins, np.zeros((0, 2), dtype=int), exclude=False)


def fa(
    shape: tuple[int, ...],
    c: float = 0.5,
    boundary: str | None = None,
    initial: str = "stationary",
    pinned: Any = None,
    edges: Any = None,
) -> System:
    """Fredrickson-Andersen model on a lattice or on a graph (``edges``).

    Default boundary: spins up in 1D, down in 2D and 3D and on graphs. Without an up boundary or a pinned up spin, the
    isolated all-down state is excluded: ``P_0`` is then the product measure divided by ``1 - P(all down)``.
    """
    _check_c(c)
    n = int(np.prod(shape))
    pins = parse_pinned(pinned, n) or {}
    boundary = check_boundary(boundary or ("up" if len(shape) == 1 and edges is None else "down"))
    if edges is not None:
        pairs = check_edges(edges, n)
        if boundary in ("up", "periodic"):
            raise InputError("a graph has no outside: leave 'boundary' out when 'edges' are given.")
    else:
        pairs = np.array([b[:2] for b in lower_bonds(shape, boundary == "periodic")], dtype=int).reshape(-1, 2)
    constrained = [(i, j) for i, j in pairs] + [(j, i) for i, j in pairs]
    ends = outside(shape) if boundary == "up" else np.zeros(n, dtype=int)
    terms = _constrained_flips(constrained, ends, c, pins)
    exclude = boundary != "up" and not any(pins.values())
    params = {"boundary": boundary, **({"edges": pairs.tolist()} if edges is not None else {})}
    return _kcm("fa", shape, terms, c, initial, pins, pairs, exclude, params)


def east(
    shape: tuple[int, ...],
    c: float = 0.5,
    boundary: str | None = None,
    initial: str = "stationary",
    pinned: Any = None,
) -> System:
    """East (1D), South-East (2D), South-East-Front (3D): ``f_i`` counts the up lower neighbours along each axis.

    Default boundary: up in 1D; down in 2D and 3D, with the first spin pinned up.
    """
    _check_c(c)
    n = int(np.prod(shape))
    boundary = check_boundary(boundary or ("up" if len(shape) == 1 else "down"))
    given = parse_pinned(pinned, n)
    pins = given if given is not None else ({} if boundary in ("up", "periodic") else {0: 1})
    bonds = lower_bonds(shape, boundary == "periodic")
    if boundary == "periodic":  # both directions of a length-2 ring are lower neighbours of each other
        bonds += [(b, a, axis) for a, b, axis in bonds if shape[axis] == 2]
    ends = outside(shape, lower_only=True) if boundary == "up" else np.zeros(n, dtype=int)
    terms = _constrained_flips([(b, a) for a, b, _ in bonds], ends, c, pins)
    exclude = boundary != "up" and not any(pins.values())
    pairs = np.array([b[:2] for b in bonds], dtype=int).reshape(-1, 2)
    return _kcm("east", shape, terms, c, initial, pins, pairs, exclude, {"boundary": boundary})


def parse_pinned(pinned: Any, n_sites: int) -> dict[int, int] | None:
    """``None``, ``"none"``, ``"first"`` (first spin up), ``"0:1,5:0"`` or a mapping -> ``{site: value}`` or None."""
    if pinned is None:
        return None
    text = str(pinned)
    if text in ("none", ""):
        return {}
    if text == "first":
        return {0: 1}
    try:
        pairs = list(pinned.items()) if isinstance(pinned, Mapping) else [item.split(":") for item in text.split(",")]
        pins = {int(site): int(value) for site, value in pairs}
    except (TypeError, ValueError) as error:
        raise InputError(f"pinned {text!r}: write 'first', 'none' or 'site:value,site:value'.") from error
    if any(not 0 <= site < n_sites or value not in (0, 1) for site, value in pins.items()):
        raise InputError(f"pinned {text!r}: sites run from 0 to {n_sites - 1} and values are 0 or 1.")
    if len(pins) < len(pairs):
        raise InputError(f"pinned {text!r} names a site twice.")
    return pins


def _check_c(c: float) -> None:
    if not 0 < number("c", c) < 1:
        raise InputError(f"c = {c}: the flip-up rate must lie strictly between 0 and 1.")


def _flip(c: float) -> np.ndarray:
    return np.array([[0.0, 1.0 - c], [c, 0.0]])


def _constrained_flips(
    pairs: list[tuple[int, int]], ends: np.ndarray, c: float, pinned: Mapping[int, int]
) -> tuple[Term, ...]:
    """Terms that flip the first site of each pair while the second is up, and ``ends[i]`` times without a condition."""
    facilitated = np.kron(_flip(c), np.diag([0.0, 1.0]))
    terms = [jumps((int(i), int(j)), facilitated) for i, j in pairs if i not in pinned]
    terms += [jumps((int(i),), ends[i] * _flip(c)) for i in np.flatnonzero(ends) if i not in pinned]
    return tuple(terms)


def _kcm(
    name: str,
    shape: tuple[int, ...],
    terms: tuple[Term, ...],
    c: float,
    initial: str,
    pinned: dict[int, int],
    edges: np.ndarray,
    exclude: bool,
    params: dict[str, Any] | None = None,
) -> System:
    n = int(np.prod(shape))
    return System(
        name=name,
        shape=tuple(shape),
        local_dim=2,
        terms=terms,
        initial=classical_start(initial, n, c, pinned),
        pinned=pinned,
        support=Excluding(np.zeros((1, n), dtype=np.int8)) if exclude else None,
        edges=edges,
        params={"c": c, "initial": initial, "pinned": dict(pinned), **(params or {})},
    )
