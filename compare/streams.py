"""Output that nobody reads on, as after ``| head -1``, is no error: the command goes on and its exit code counts."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Stream:
    """``inner``, silenced once its reader is gone; a full disk is raised where it is ``needed``."""

    def __init__(self, inner: TextIO, name: str, needed: bool):
        self.inner, self.name, self.needed = inner, name, needed
        self.fault: OSError | None = None  # raised again: who probes the stream may swallow it

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def write(self, text: str) -> int:
        with self._forgiving():
            self.inner.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        with self._forgiving():
            self.inner.flush()

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        if self.fault is not None:
            raise self.fault
        try:
            yield
        except OSError as error:
            self._silence()
            if self.needed and not isinstance(error, BrokenPipeError):
                error.filename = self.name
                self.fault = error
                raise

    def _silence(self) -> None:
        """What is held back, and all that comes, goes nowhere: Python would fail on it again when it ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.inner.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def forgiving() -> Iterator[None]:
    """Inside, stdout and stderr are such streams; where they are closed, they lead nowhere."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names of files need not be text
    with contextlib.ExitStack() as stack:
        out, err = (stack.enter_context(open(os.devnull, "w")) if s is None else s for s in before)
        sys.stdout = Stream(out, "standard output", needed=True)  # type: ignore[assignment]
        sys.stderr = Stream(err, "standard error", needed=False)  # type: ignore[assignment]
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # the command has flushed what it vouches for
                sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before
