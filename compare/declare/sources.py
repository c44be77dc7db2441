"""Which version of somebody's own network or system a run is of: digests of the files they are defined in."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from pathlib import Path

from vanbench.compare.declare.task import Run

OURS = "vanbench"  # the commit says which version it is


def sources(run: Run) -> dict[str, str]:
    """``{file name: 16 hex digits}``; empty where network and system are of this package."""
    return network_source(run.architecture.name) | system_source(run.task.system)


def network_source(name: str) -> dict[str, str]:
    from vanbench.neural.architectures import find

    network = find(name)
    return {} if network.__module__.split(".")[0] == OURS else _digest(_file(network))


def system_source(name: str) -> dict[str, str]:
    source, _, attribute = name.rpartition(":")
    if not source or source.split(".")[0] == OURS:
        return {}
    if source.endswith(".py"):
        return _digest(Path(source))
    return _digest(_file(getattr(importlib.import_module(source), attribute)))


def _digest(path: Path | None) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]} if path else {}


def _file(defined: object) -> Path | None:
    try:
        found = inspect.getsourcefile(defined)  # type: ignore[arg-type]
    except TypeError:  # made at run time, or in C
        return None
    return Path(found) if found else None
