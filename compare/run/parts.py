"""Shares of a suite's runs: disjoint, complete, balanced by what each run is expected to cost."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from vanbench.compare.declare.task import Run, Task
from vanbench.exact import InputError

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
    """In arbitrary units: steps in time, samples and iterations of each, and two passes over the sites for a sample.

    A tracker of somebody's own is not loaded for it (a record may name any file): its options say what they say.
    """
    task, options = run.task, _options(run.task)
    steps = task.times[-1] / options.get("dt", 1.0)
    each = options.get("samples", 1.0) * options.get("epochs", 1.0)
    return max(steps, 1.0) * each * len(task.s) * math.prod(run.shape) ** 2


def _options(task: Task) -> dict[str, float]:
    """The tracker's options that are positive numbers."""
    from vanbench.neural import trackers

    held = task.tracker_options
    if task.tracker in trackers.TRACKERS:
        with contextlib.suppress(InputError):  # options of a record that nobody can run
            held = vars(trackers.make(task.tracker, held))
    return {name: value for name, value in held.items() if type(value) in (int, float) and value > 0}
