"""Calls of the command line in processes of their own, whose runs begin and then wait for the file ``go``: what is done
to them comes in the middle on any machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from command_line import TINY_SUITE

COMMAND = [sys.executable, "-m", "vanbench"]
PATIENCE = 1200.0  # seconds after which a test gives up: far beyond what any machine takes
WAITS = """
import os, time
from pathlib import Path
from uuid import uuid4
from vanbench.neural.trackers import TRACKERS

class Waits(TRACKERS["kl"]):
    def step(self, problem, state, *more):
        if state.steps == 1:  # the first is told as progress
            Path("began").mkdir(exist_ok=True)
            Path("began", f"{os.environ.get('ROLE')}-{os.getpid()}-{uuid4().hex}").touch()
            while not Path("go").exists():
                time.sleep(0.02)
        return super().step(problem, state, *more)
"""


def waiting_suite(folder: Path) -> Path:
    """A suite of six runs, each of which writes a file into ``folder/began`` and waits for ``folder/go``."""
    (folder / "waits.py").write_text(WAITS)
    path = folder / "waiting.toml"
    path.write_text(TINY_SUITE + 'tracker = "waits.py:Waits"\n')
    return path


def start(
    folder: Path, *arguments: object, role: str = "", command: Sequence[str] = COMMAND, **more: object
) -> subprocess.Popen:
    """``vanbench ARGUMENTS``, or another ``command`` with them, in ``folder``."""
    options: dict = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
    environment = {**os.environ, "ROLE": role}
    return subprocess.Popen([*command, *map(str, arguments)], cwd=folder, env=environment, **options)


def began(folder: Path, role: str = "") -> list[str]:
    """The runs that have begun in processes with this role."""
    return [path.name for path in folder.glob(f"began/{role}-*")]


def until(condition: Callable[[], object], *processes: subprocess.Popen) -> None:
    """Wait until ``condition`` holds, as long as the processes live."""
    given_up = time.monotonic() + PATIENCE
    while not condition():
        for process in processes:
            if process.poll() is not None:
                raise AssertionError(f"{process.args} ended with {process.returncode}: {process.communicate()}")
        if time.monotonic() > given_up:
            raise AssertionError("it never came")
        time.sleep(0.02)
