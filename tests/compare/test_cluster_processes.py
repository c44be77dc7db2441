"""A Dask scheduler and workers in processes of their own, which are killed in the middle of runs."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_processes import began, start, until, waiting_suite

from vanbench.compare.run.record import records

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow  # a dozen processes, which load the libraries

OFTEN = "from vanbench.compare.run import progress; progress.EVERY = 0.0; from vanbench.compare.cli import main; main()"


class Processes:
    """A scheduler and two workers in ``folder``, and one call of ``vanbench run`` on them; all are ended with it."""

    def __init__(self, folder: Path):
        self.folder, self.all, self.errors = folder, [], folder / "stderr"

    def begin(self) -> None:
        """Until each worker has begun a run."""
        self.scheduler = self._dask("scheduler", "--port", "0", "--no-dashboard", "--host", "127.0.0.1")
        until(self._address, self.scheduler)
        self.workers = [self._dask("worker", "--no-nanny", "--nthreads", "1", "--no-dashboard") for _ in range(2)]
        arguments = "run", waiting_suite(self.folder), "--out", "out", "--scheduler", self._address()
        with self.errors.open("w") as told:
            streams = {"stdout": subprocess.DEVNULL, "stderr": told}
            self.call = self._start(*arguments, command=[sys.executable, "-c", OFTEN], **streams)
        until(lambda: len(began(self.folder)) == 2 or self.call.poll() is not None)
        assert self.call.poll() is None, self.told()

    def _dask(self, kind: str, *options: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--scheduler-file", "scheduler.json"]
        return self._start(*options, command=command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _start(self, *arguments: object, **more: object) -> subprocess.Popen:
        self.all.append(start(self.folder, *arguments, **more))
        return self.all[-1]

    def _address(self) -> str:
        """Of the scheduler; empty as long as it has told none."""
        file = self.folder / "scheduler.json"
        return "".join(re.findall(r"tcp://[\d.:]+(?=\")", file.read_text())[:1]) if file.exists() else ""

    def told(self) -> str:
        return self.errors.read_text()

    def counts(self) -> list[str]:
        """The numbers that the bar of the runs has shown."""
        return re.findall(r"networks.* (\d+)/6", self.told())

    def end(self) -> None:
        (self.folder / "go").touch()
        for process in self.all:
            process.kill()
            process.wait()
        for name in began(self.folder):  # whose servers know nothing of it before they have something to tell
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(name.split("-")[1]), signal.SIGKILL)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    held = Processes(tmp_path)
    try:
        held.begin()
        yield held
    finally:
        held.end()


def test_a_lost_worker_costs_nothing(processes: Processes) -> None:
    """In the middle of a run; and what a run does is told while it lasts."""
    until(lambda: re.search(r"tiny.*: t = 0.1", processes.told()), processes.call)
    assert not list((processes.folder / "out").rglob("records/**/[!.]*.json"))
    processes.workers[0].kill()
    (processes.folder / "go").touch()
    assert processes.call.wait() == 0, processes.told()
    assert len(list(records(processes.folder / "out"))) == 6
    assert processes.counts()[-1] == "6"


def test_a_lost_scheduler_is_a_sentence(processes: Processes) -> None:
    processes.scheduler.kill()
    (processes.folder / "go").touch()
    assert processes.call.wait() == 2, processes.told()
    told = processes.told()
    assert told.count("error: ") == 1
    assert "the scheduler is lost" in told
    assert "Traceback" not in told
    assert not {"6"} & set(processes.counts())
