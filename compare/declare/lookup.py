"""A system by name: one of this package, or somebody's own as ``file.py:function`` or ``package.module:function``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vanbench.exact import SYSTEMS, Connections, InputError, System, build
from vanbench.exact.errors import unknown
from vanbench.exact.systems import ALIASES, parameters


def build_system(name: str, shape: tuple[int, ...], params: Mapping[str, Any] | None = None) -> System:
    """The system ``name`` on a lattice of ``shape`` with ``params``.

    A name with a colon is a function ``make(shape, **params) -> System``. Raises ``InputError`` for what does not
    exist, has the wrong type, or is no system.
    """
    params = dict(params or {})
    if ":" not in name:
        return _builtin(name, shape, params)
    make = _load(name)
    for key in params:
        if key not in (known := _parameters(make)):
            raise unknown(f"parameter of {name}", key, list(known))
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


def canonical_name(name: str) -> str:
    return ALIASES.get(name, name)


def default_parameters(name: str) -> dict[str, Any]:
    """Parameter names of a system and their defaults."""
    name = canonical_name(name)
    if ":" in name:
        return _parameters(_load(name))
    if name not in SYSTEMS:
        raise unknown("system", name, [*SYSTEMS, *ALIASES])
    return parameters(name)


def _builtin(name: str, shape: tuple[int, ...], params: dict[str, Any]) -> System:
    known = default_parameters(name)
    for key, default in known.items():
        given = params.get(key)
        if isinstance(default, str) and given is not None:
            params[key] = str(given)  # initial=0 and boundary=1 are told as unknown names
        elif isinstance(default, int | float) and given is not None and not _is_number(given):
            raise InputError(f"{key} = {given!r}: {key} of {name} must be a number.")
    try:
        return build(name, shape, **params)
    except TypeError as error:
        raise InputError(f"a parameter of {name} has the wrong type: {error}.") from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _parameters(make: Callable[..., Any]) -> dict[str, Any]:
    return {key: p.default for key, p in list(inspect.signature(make).parameters.items())[1:]}


def _load(name: str) -> Callable[..., Any]:
    source, _, attribute = name.rpartition(":")
    try:
        module = _from_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
        found = getattr(module, attribute)
    except InputError:
        raise
    except Exception as error:  # whatever a user's file does while it is read
        raise InputError(f"system {name!r} cannot be loaded: {type(error).__name__}: {error}.") from error
    if not callable(found):
        raise InputError(f"system {name!r}: {attribute} is no function of a shape.")
    return found


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"system file {str(path)!r} does not exist.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
