"""Code that is not of this package: the files that a file imports, without running anything, and where one failed."""

from __future__ import annotations

import ast
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

INSTALLED = ("site-packages", "dist-packages")
OURS = "vanbench"
HERE = {Path(__file__).parents[1], Path(__file__).resolve().parents[1]}  # as imported, and behind the links
STANDARD = Path(sysconfig.get_paths()["stdlib"]).resolve()


def closure(files: Iterable[Path]) -> set[Path]:
    """``files`` and what they import, and what that imports: neither this package, nor installed, nor of Python.

    A file that is itself installed is followed within its own package.
    """
    known: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file in known:
            continue
        known.add(file)
        waiting += [other for other in _imported(file) if not _installed(other) or _beside(file, other)]
    return known


def defined(file: Path) -> list[str]:
    """The public functions and classes of a Python file; none where it cannot be read."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    nodes = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    return [node.name for node in nodes if not node.name.startswith("_")]


def _installed(file: Path) -> bool:
    return any(part in INSTALLED for part in file.parts) or file.is_relative_to(STANDARD)


def _beside(file: Path, other: Path) -> bool:
    """Whether both are of one installed package."""
    at = next((k for k, part in enumerate(file.parts) if part in INSTALLED), None)
    return at is not None and file.parts[: at + 2] == other.parts[: at + 2]


def _imported(file: Path) -> Iterator[Path]:
    for name in _names(file.read_bytes(), _package(file)):
        if name.split(".")[0] not in (OURS, *sys.builtin_module_names):
            yield from _files(name, file.parent)


def _package(file: Path) -> tuple[str, ...]:
    """The packages that a file is in, outermost first."""
    folders = []
    for folder in file.parents:
        if not (folder / "__init__.py").is_file():
            break
        folders.append(folder.name)
    return tuple(reversed(folders))


@lru_cache(maxsize=256)
def _names(source: bytes, package: tuple[str, ...]) -> tuple[str, ...]:
    """Of the modules, or of things in them, that a source imports anywhere."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # not Python
        return ()
    out = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            out += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            out += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(dict.fromkeys(name for name in out if name))


def _files(name: str, folder: Path) -> Iterator[Path]:
    """The files of a dotted name and of the packages above it, as far as it names modules."""
    parts = name.split(".")
    places: list[str] | None = [*sys.path, str(folder)]
    for k in range(len(parts)):
        module = sys.modules.get(".".join(parts[: k + 1]))
        spec = getattr(module, "__spec__", None) or PathFinder.find_spec(".".join(parts[: k + 1]), places)
        if spec is None:
            return
        if spec.origin and spec.origin.endswith(".py"):
            yield Path(spec.origin).resolve()
        if spec.submodule_search_locations is None:
            return
        places = list(spec.submodule_search_locations)


def foreign(error: BaseException) -> str | None:
    """``net.py:12, in logits``, where an exception came out of somebody's own code, or a library that it called."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if any(file.is_relative_to(folder) for folder in HERE):
            return None
        if file.is_file() and not _installed(file):
            return f"{file.name}:{frame.lineno}, in {frame.name}"
    return None
