"""Jobs in child processes, some at a time, each in a scratch copy of its own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Job = TypeVar("Job")
PATIENCE = 3600.0  # seconds after which a child that neither ends nor uses its CPU time is stopped


def each(
    todo: Iterable[Job], slots: int, start: Callable[[Job, int], int], keep: Callable[[Job, int, int], None]
) -> None:
    """``start(job, slot)`` gives a process id, ``keep(job, slot, status)`` is called when that process has ended."""
    waiting, free = iter(todo), list(range(slots))
    running: dict[int, tuple[Job, int, float]] = {}
    following = next(waiting, None)
    try:
        while following is not None or running:
            while following is not None and free:
                slot = free.pop()
                running[start(following, slot)] = following, slot, time.monotonic()
                following = next(waiting, None)
            for pid, status in _ended(running):
                job, slot, _ = running.pop(pid)
                free.append(slot)
                keep(job, slot, status)
    finally:
        for pid in running:
            os.killpg(pid, signal.SIGKILL)


def _ended(running: dict[int, tuple[Job, int, float]]) -> Iterator[tuple[int, int]]:
    time.sleep(0.1)
    for pid, (_, _, since) in list(running.items()):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            yield pid, status
        elif time.monotonic() - since > PATIENCE:
            os.killpg(pid, signal.SIGKILL)
