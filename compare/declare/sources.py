"""Which version of somebody's own system, network, tracker or quantity a run is of: digests of their files."""

from __future__ import annotations

from pathlib import Path

from vanbench.compare.declare.task import Run, Task
from vanbench.exact import systems
from vanbench.exact.definitions import quantities
from vanbench.exact.registry import digests


def sources(run: Run) -> dict[str, str]:
    """``{file name: 16 hex digits}``; empty where all is of this package."""
    from vanbench.neural import architectures, trackers
    from vanbench.neural.backend import weights

    own = digests([architectures.find(run.architecture.name), trackers.find(run.task.tracker)])
    start = run.task.start_from
    began = {} if start is None else {Path(start).name: weights.digest(Path(start))}
    return reference_sources(run.task) | own | began


def reference_sources(task: Task) -> dict[str, str]:
    """Of what the exact values of ``task`` depend on."""
    return digests([systems.REGISTRY.find(task.system), *quantities.functions(task.quantities)])
