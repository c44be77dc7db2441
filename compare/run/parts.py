"""Shares of a suite's runs: disjoint, complete, balanced by what each run is expected to cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vanbench.compare.declare.task import Run

T = TypeVar("T")


def share(items: Sequence[T], cost: Callable[[T], float], k: int, n: int) -> list[T]:
    """The ``k``-th of ``n`` shares of ``items``, ``k`` from 1, the same for every call.

    The dearest first, each goes to the share that has least so far (Graham, SIAM J. Appl. Math. 17, 416 (1969)).
    """
    loads, mine = [0.0] * n, set()
    for index in sorted(range(len(items)), key=lambda index: -cost(items[index])):
        least = loads.index(min(loads))
        loads[least] += cost(items[index])
        if least == k - 1:
            mine.add(index)
    return [item for index, item in enumerate(items) if index in mine]


def expected_cost(run: Run) -> float:
    """In arbitrary units: steps in time, samples and iterations of each, and two passes over the sites for a sample."""
    from vanbench.neural import trackers

    task = run.task
    method = trackers.make(task.tracker, task.tracker_options)
    sites = 1
    for length in run.shape:
        sites *= length
    steps = task.times[-1] / (getattr(method, "dt", None) or 1.0)
    each = float(getattr(method, "samples", None) or 1) * float(getattr(method, "epochs", None) or 1)
    return max(steps, 1.0) * each * len(task.s) * sites**2
