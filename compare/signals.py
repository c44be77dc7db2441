"""SIGTERM and SIGHUP end a command as Ctrl-C does: what is half done is dropped, and what is done is kept."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from vanbench.compare.exits import SIGNAL

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


# for processes that start from here: one of them tells what a process that is ended at once leaves, and takes it away
LEFT = "ignore:resource_tracker"


class Stopped(KeyboardInterrupt):
    """Raised in the main thread by the first signal; ``code`` is the exit code for it, ``told`` whether somebody said
    how it goes on."""

    def __init__(self, number: int):
        super().__init__()
        self.code, self.told = SIGNAL + number, False


@contextlib.contextmanager
def raised() -> Iterator[list[Stopped]]:
    """Inside, the first ending signal raises `Stopped`, and a second one ends this process at once, with its children.

    Yields the list that it comes into, as others may swallow it. What is ignored, as SIGHUP under ``nohup``, stays so.
    After a signal, Ctrl-C ends the process without a word.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    if LEFT not in sys.warnoptions:
        sys.warnoptions.append(LEFT)
    before = {number: signal.getsignal(number) for number in ENDING}
    heard = [number for number in ENDING if before[number] not in (signal.SIG_IGN, None)]

    came: list[Stopped] = []

    def first(number: int, frame: FrameType | None) -> None:
        for other in heard:
            signal.signal(other, _second)
        came.append(Stopped(number))
        raise came[0]

    untold = sys.unraisablehook

    def swallowed(problem: sys.UnraisableHookArgs) -> None:
        """A signal that comes while an object is deleted cannot be raised there, and is in ``came``."""
        if not isinstance(problem.exc_value, Stopped):
            untold(problem)

    try:
        sys.unraisablehook = swallowed
        for number in heard:
            signal.signal(number, first)
        yield came
    finally:
        sys.unraisablehook = untold
        for number in heard:
            python = bool(came) and before[number] is signal.default_int_handler  # whose traceback would end the output
            signal.signal(number, signal.SIG_DFL if python else before[number])


def _second(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(Exception):  # the first came in the middle of starting or ending one
        for child in multiprocessing.active_children():
            child.kill()
    with contextlib.suppress(OSError):
        os.write(2, b"stopped at once; what was finished is kept.\n")
    os._exit(SIGNAL + number)
