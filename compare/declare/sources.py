"""Which version of somebody's own system, network, tracker or quantity a run is of: digests of their files."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

from vanbench.compare.declare.task import Run, Task
from vanbench.exact import systems
from vanbench.exact.definitions import quantities

OURS = "vanbench"  # the commit says which version it is


def sources(run: Run) -> dict[str, str]:
    """``{file name: 16 hex digits}``; empty where all is of this package."""
    from vanbench.neural import architectures, trackers

    used = [architectures.find(run.architecture.name), trackers.find(run.task.tracker)]
    return _digests(used) | reference_sources(run.task)


def reference_sources(task: Task) -> dict[str, str]:
    """Of what the exact values of ``task`` depend on."""
    rows = [quantities.REGISTRY.find(name) for name in task.quantities]
    return _digests([systems.REGISTRY.find(task.system), *(row.observe for row in rows if row.observe)])


def _digests(things: list[Any]) -> dict[str, str]:
    files = {_file(thing) for thing in things if getattr(thing, "__module__", OURS).split(".")[0] != OURS}
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in sorted(filter(None, files))}


def _file(defined: Any) -> Path | None:
    try:
        found = inspect.getsourcefile(defined)
    except TypeError:  # made at run time, or in C
        return None
    return Path(found) if found else None
