"""Systems, networks, trackers, quantities and suites by name: built in, installed, or in somebody's own file.

A name is one of this package, one that an installed distribution gives as an entry point (groups ``vanbench.systems``,
``vanbench.architectures``, ``vanbench.trackers``, ``vanbench.quantities``, ``vanbench.suites``), ``file.py:name``, or
``package.module:name``.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from vanbench.exact.errors import InputError, unknown

T = TypeVar("T")
OURS = "vanbench"  # the commit says which version it is


class PluginWarning(UserWarning):
    """An entry point that cannot be used; everything else can."""


@dataclass(frozen=True)
class Registry(Generic[T]):
    """What goes by a name of one kind.

    kind, kinds
        the word for one of them and for several; ``vanbench.<kinds>`` is the group of the entry points.
    builtin
        those of this package.
    check
        ``check(name, thing)`` returns what comes from outside, or raises ``InputError`` where it is not of this kind.
    """

    kind: str
    kinds: str
    builtin: Mapping[str, T]
    check: Callable[[str, Any], T]

    def find(self, name: str) -> T:
        """What ``name`` stands for. Raises ``InputError``; an unknown name is answered with those that exist."""
        if name in self.builtin:
            if name in self._entries():
                self._refuse(name)
            return self.builtin[name]
        if ":" in name:
            return self.check(name, _load(self.kind, name))
        entry = self._entries().get(name)
        if entry is None:
            raise unknown(self.kind, name, self.names())
        return self._loaded(entry)

    def names(self) -> list[str]:
        """Built in and installed."""
        return list(dict.fromkeys([*self.builtin, *self._entries()]))

    def installed(self) -> dict[str, T]:
        """What entry points give; one that cannot be used is left out with a ``PluginWarning``."""
        out = {}
        for name, entry in self._entries().items():
            if name in self.builtin:
                self._refuse(name)
                continue
            try:
                out[name] = self._loaded(entry)
            except InputError as error:
                warnings.warn(str(error), PluginWarning, stacklevel=2)
        return out

    def _entries(self) -> Mapping[str, EntryPoint]:
        return _entry_points(f"vanbench.{self.kinds}", tuple(sys.path))

    def _refuse(self, name: str) -> None:
        giver = _giver(self._entries()[name])
        text = f"the {self.kind} {name!r} of {giver} is not used: vanbench has one of that name; it needs another name."
        warnings.warn(text, PluginWarning, stacklevel=3)

    def _loaded(self, entry: EntryPoint) -> T:
        try:
            thing = entry.load()
        except Exception as error:  # whatever somebody's module does while it is imported
            raise InputError(
                f"{self.kind} {entry.name!r} of {_giver(entry)} cannot be loaded: {type(error).__name__}: {error}."
            ) from error
        return self.check(entry.name, thing)


@lru_cache(maxsize=64)
def _entry_points(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """By name, of all distributions on ``path``: ``sys.path``, here as the key of the cache."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        first = found.setdefault(entry.name, entry)
        if first.value != entry.value:
            text = f"{_giver(first)} and {_giver(entry)} both give {entry.name!r} in {group}: the first is taken."
            warnings.warn(text, PluginWarning, stacklevel=2)
    return found


def digests(things: Iterable[Any]) -> dict[str, str]:
    """Which version of what comes from outside is used: the files that define it and those beside them that they
    import, by name, with 16 hex digits each."""
    outside = (thing for thing in things if getattr(thing, "__module__", OURS).split(".")[0] != OURS)
    files: set[Path] = set()
    for thing in outside:
        if (path := _file(thing)) is not None:
            files |= {path, *_imported(sys.modules.get(thing.__module__), path.parent, set())}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(files)}


def _imported(module: ModuleType | None, folder: Path, seen: set[str]) -> Iterator[Path]:
    """Files under ``folder`` that ``module`` has names of, and those that they have names of."""
    for value in list(vars(module).values()) if module else ():
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        other = sys.modules.get(name) if isinstance(name, str) and name not in seen else None
        path = Path(getattr(other, "__file__", None) or "/")
        if other is not None and path.suffix == ".py" and path.is_relative_to(folder):
            seen.add(str(name))
            yield path
            yield from _imported(other, folder, seen)


def _file(defined: Any) -> Path | None:
    try:
        found = inspect.getsourcefile(defined)
    except TypeError:  # made at run time, or in C
        return None
    return Path(found) if found else None


def _giver(entry: EntryPoint) -> str:
    return f"the package {entry.dist.name}" if entry.dist else entry.value


def _load(kind: str, name: str) -> Any:
    source, _, attribute = name.rpartition(":")
    if source.endswith(".py") and not Path(source).is_file():
        raise InputError(f"{kind} file {source!r} does not exist.")
    try:
        module = _from_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
        return getattr(module, attribute)
    except InputError:
        raise
    except Exception as error:  # whatever a user's file does while it is read
        raise InputError(f"{kind} {name!r} cannot be loaded: {type(error).__name__}: {error}.") from error


def _from_file(path: Path) -> ModuleType:
    """Read once as long as the file stays the same, so that its classes stay the same."""
    digest = hashlib.sha256(bytes(path.resolve()) + path.read_bytes()).hexdigest()[:12]
    name = f"{path.stem}@{digest}"  # no name of a module that could be imported
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
