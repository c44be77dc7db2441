"""The systems by name: ``build("fa", (4, 4), c=0.3)``; somebody's own as `exact.registry` finds it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.lattice import Shape, lengths
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, unknown
from vanbench.exact.registry import Registry
from vanbench.exact.systems.exclusion import asep, ssep
from vanbench.exact.systems.ising import ising
from vanbench.exact.systems.kcm import east, fa, free
from vanbench.exact.systems.quantum import heisenberg, tfim
from vanbench.exact.systems.voter import voter

Make = Callable[..., System]  # of a shape and parameters

SYSTEMS: dict[str, Make] = {
    "free": free,
    "fa": fa,
    "east": east,
    "voter": voter,
    "ssep": ssep,
    "asep": asep,
    "tfim": tfim,
    "heisenberg": heisenberg,
    "ising": ising,
}
MAX_SITES = 1 << 16  # each has terms of its own; far beyond any network or vector
ALIASES = {"south-east": "east", "south-east-front": "east"}


def _checked(name: str, make: Any) -> Make:
    if not callable(make):
        raise InputError(f"system {name!r}: {name.rpartition(':')[2]} is not a function of a shape.")
    return make


REGISTRY = Registry(
    "system", "systems", {**SYSTEMS, **{alias: SYSTEMS[name] for alias, name in ALIASES.items()}}, _checked
)


def build(name: str, shape: Shape, /, **params: Any) -> System:
    """The system ``name`` on a lattice of ``shape``, ``(4, 4)``, or on a chain of ``shape`` sites.

    Raises ``InputError`` for a name or a parameter that does not exist, a value of the wrong type, and a user's
    function that fails, returns no system, or returns one that does not conserve probability.
    """
    make, known = REGISTRY.find(name), parameters(name)
    for key in params:
        if key not in known:
            raise unknown(f"parameter of {name}", key, list(known))
    shape = lengths(shape)
    if (sites := math.prod(shape)) > MAX_SITES:
        raise InputError(f"shape {'x'.join(map(str, shape))}: {sites} sites, more than the limit of {MAX_SITES}.")
    if name not in REGISTRY.builtin:
        return _from_outside(name, make, shape, params)
    try:
        return make(shape, **_typed(name, known, params))
    except TypeError as error:
        raise InputError(f"a parameter of {name} has the wrong type: {error}.") from error


def canonical_name(name: str) -> str:
    return ALIASES.get(name, name)


def parameters(name: str) -> dict[str, Any]:
    """Parameter names of a system with their defaults; the first argument is the shape."""
    signature = list(inspect.signature(REGISTRY.find(name)).parameters.items())[1:]
    defaults = {key: p.default for key, p in signature if p.kind != inspect.Parameter.VAR_KEYWORD}
    if name == "ssep":
        defaults = {**parameters("asep"), **defaults}
        defaults.pop("q")
    return defaults


def about(name: str) -> str:
    """The first sentence of what a system says of itself; empty where it says nothing."""
    text = " ".join((inspect.getdoc(REGISTRY.find(name)) or "").partition("\n\n")[0].split())
    return text.replace("``", "")


def _typed(name: str, known: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """``params``, numbers where the defaults are numbers; a number in place of a name is told as an unknown name."""
    out = dict(params)
    for key, given in params.items():
        if given is not None and isinstance(known[key], str):
            out[key] = str(given)
        elif given is not None and isinstance(known[key], Real) and not _is_number(given):
            raise InputError(f"{key} = {given!r}: it must be a number.")
    return out


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _from_outside(name: str, make: Make, shape: tuple[int, ...], params: dict[str, Any]) -> System:
    try:
        system = make(shape, **params)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"system {name!r} failed: {type(error).__name__}: {error}.") from error
    if not isinstance(system, System):
        raise InputError(f"system {name!r} returned {type(system).__name__}: it must return an exact.System.")
    _require_conservation(name, system)
    return system


def _require_conservation(name: str, system: System) -> None:
    """The columns of a generator sum to zero; looked at for configurations drawn at random."""
    x = np.random.default_rng(0).integers(system.local_dim, size=(256, system.n_sites))
    for site, value in system.pinned.items():
        x[:, site] = value
    connections = Connections(system)
    lost = np.abs(connections.column_sum(x)).max()
    if lost > 1e-9 * max(1.0, np.abs(connections.diagonal(x)).max()):
        raise InputError(
            f"system {name!r} does not conserve probability: the columns of its generator (column = from, row = to) "
            f"must sum to zero, one sums to {lost:.3g}. exact.jumps makes a term from its rates alone."
        )
