"""The systems by name: ``build("fa", (4, 4), c=0.3)``."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, number, unknown
from vanbench.exact.systems.exclusion import asep, ssep
from vanbench.exact.systems.kcm import east, fa, free
from vanbench.exact.systems.quantum import heisenberg, tfim
from vanbench.exact.systems.voter import voter

SYSTEMS: dict[str, Callable[..., System]] = {
    "free": free,
    "fa": fa,
    "east": east,
    "voter": voter,
    "ssep": ssep,
    "asep": asep,
    "tfim": tfim,
    "heisenberg": heisenberg,
}
MAX_SITES = 1 << 16  # each has terms of its own; far beyond any network or vector
ALIASES = {"south-east": "east", "south-east-front": "east"}


def build(name: str, shape: tuple[int, ...], /, **params: Any) -> System:
    """The system ``name`` on a lattice of ``shape``; unknown names are answered with those that exist."""
    name = ALIASES.get(name, name)
    if name not in SYSTEMS:
        raise unknown("system", name, [*SYSTEMS, *ALIASES])
    if not shape or any(not number("shape", length).is_integer() or length < 1 for length in shape):
        raise InputError(f"shape {tuple(shape)}: every length must be a positive integer.")
    if (sites := math.prod(int(length) for length in shape)) > MAX_SITES:
        raise InputError(f"shape {'x'.join(map(str, shape))}: {sites} sites, more than the {MAX_SITES} that are taken.")
    known = parameters(name)
    for key in params:
        if key not in known:
            raise unknown(f"parameter of {name}", key, list(known))
    return SYSTEMS[name](tuple(int(length) for length in shape), **params)


def parameters(name: str) -> dict[str, Any]:
    """Parameter names of a system with their defaults."""
    found = {
        key: p.default
        for key, p in inspect.signature(SYSTEMS[name]).parameters.items()
        if key != "shape" and p.kind != inspect.Parameter.VAR_KEYWORD
    }
    if name == "ssep":
        found = {**parameters("asep"), **found}
        found.pop("q")
    return found
