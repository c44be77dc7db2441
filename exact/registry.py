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
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vanbench.exact import imports
from vanbench.exact.errors import InputError, unknown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
LOADING: list[str] = []  # modules that are being read now
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

    def find(self, name: str | T) -> T:
        """What ``name`` stands for, or the thing itself. Raises ``InputError``; an unknown name is answered with those
        that exist."""
        if not isinstance(name, str):
            return self.check(getattr(name, "__qualname__", repr(name)), name)
        if name in self.builtin:
            if name in self._entries():
                self._refuse(name)
            return self.builtin[name]
        if ":" in name and "=" in name.rpartition(":")[2]:
            raise InputError(f"{self.kind} {name!r}: from Python, give its options separately, like {{'width': 12}}.")
        if ":" in name:
            return self.check(name, _load(self.kind, name))
        entry = self._entries().get(name)
        if entry is None and name.endswith(".py"):
            raise InputError(f"{self.kind} {name!r}: say which name in the file, like {name}:{self._in_file(name)}.")
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

    def _in_file(self, name: str) -> str:
        """One that the file defines and that could be meant, for an example."""
        return next(iter(imports.defined(Path(name))), "NAME")

    def _entries(self) -> Mapping[str, EntryPoint]:
        return entries(self.kinds)

    def _refuse(self, name: str) -> None:
        giver = _giver(self._entries()[name])
        text = f"the {self.kind} {name!r} of {giver} is not used: vanbench has one of that name; it needs another name."
        warnings.warn(text, PluginWarning, stacklevel=3)

    def _loaded(self, entry: EntryPoint) -> T:
        try:
            with _no_arguments(entry.value):
                thing = entry.load()
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever somebody's module does while it is imported
            raise InputError(
                f"{self.kind} {entry.name!r} of {_giver(entry)} cannot be loaded: {type(error).__name__}: {error}."
            ) from error
        return self.check(entry.name, thing)


def entries(kinds: str) -> Mapping[str, EntryPoint]:
    """What installed packages give in the group ``vanbench.<kinds>``, by name; nothing is loaded."""
    return _entry_points(f"vanbench.{kinds}", tuple(sys.path))


@lru_cache(maxsize=64)
def _entry_points(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """By name, of all distributions on ``path``: ``sys.path``, here as the key of the cache."""
    from importlib.metadata import entry_points

    taken: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        first = taken.setdefault(entry.name, entry)
        if first.value != entry.value:
            text = f"{_giver(first)} and {_giver(entry)} both give {entry.name!r} in {group}: the first is taken."
            warnings.warn(text, PluginWarning, stacklevel=2)
    return taken


def digests(things: Iterable[Any]) -> dict[str, str]:
    """Which version of what comes from outside is used: 16 hex digits of each file that defines it or that such a file
    imports, outside site-packages, by the end of its path that tells it from the others."""
    outside = (thing for thing in things if getattr(thing, "__module__", OURS).split(".")[0] != OURS)
    files = imports.closure(path for thing in outside if (path := _file(thing)) is not None)
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in _told_apart(files).items()}


def _told_apart(files: Iterable[Path]) -> dict[str, Path]:
    """``layers.py``, or ``theirs/layers.py`` beside ``ours/layers.py``; as many folders as it takes."""
    names: dict[str, list[Path]] = {}
    for path in sorted(files):
        names.setdefault(path.name, []).append(path)
    out = {}
    for alike in names.values():
        depth = next(k for k in range(1, 100) if len({path.parts[-k:] for path in alike}) == len(alike))
        out.update({"/".join(path.parts[-depth:]): path for path in alike})
    return out


def _file(defined: Any) -> Path | None:
    try:
        taken = inspect.getsourcefile(defined)
    except (TypeError, OSError):  # made at run time, typed at a prompt, or in C
        return None
    return Path(taken).resolve() if taken and Path(taken).is_file() else None


def _giver(entry: EntryPoint) -> str:
    return f"the package {entry.dist.name}" if entry.dist else entry.value


def _load(kind: str, name: str) -> Any:
    source, _, attribute = name.rpartition(":")
    if source.endswith(".py") and not Path(source).is_file():
        raise InputError(f"{kind} file {source!r} does not exist.")
    try:
        with _no_arguments(source):
            module = _from_file(Path(source)) if source.endswith(".py") else importlib.import_module(source)
        return getattr(module, attribute)
    except InputError:
        raise
    except SystemExit as error:  # as argparse does
        raise InputError(
            f"{kind} {name!r} cannot be loaded: it ends the program while it is imported (does it parse sys.argv? "
            "Put that under `if __name__ == '__main__':`)."
        ) from error
    except Exception as error:  # whatever a user's file does while it is read
        raise InputError(f"{kind} {name!r} cannot be loaded: {type(error).__name__}: {error}.") from error


@contextmanager
def _no_arguments(source: str) -> Iterator[None]:
    """Inside, ``sys.argv`` is that of a script without arguments: those of this command are not for others to parse.
    What is printed goes to stderr: stdout is for the command's own answer."""
    held, sys.argv = sys.argv, [source]
    LOADING.append(source)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        LOADING.pop()
        sys.argv = held


def require_no_loading(call: str) -> None:
    """Raise ``InputError`` where a module that is read for what it defines makes this ``call``."""
    if LOADING:
        raise InputError(
            f"{LOADING[-1]} calls {call} while it is read for its definitions: put the call under "
            "`if __name__ == '__main__':`."
        )


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
