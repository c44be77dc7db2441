"""A signal that comes at an odd moment ends a command without a traceback."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from vanbench.compare import signals


class Deleted:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(1000))  # the handler runs at one of the next instructions


def test_a_signal_while_an_object_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python cannot raise there: it prints a traceback and goes on. What came is known."""
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    with signals.raised() as came:
        Deleted()
    assert [stop.code for stop in came] == [128 + signal.SIGTERM]
    assert printed == []
    assert sys.unraisablehook == printed.append
