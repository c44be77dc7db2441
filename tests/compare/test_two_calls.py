"""Calls of one command in real processes: two share a folder, one is killed, one is stopped twice."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from command_line import run
from real_processes import began, start, until, waiting_suite

from vanbench.compare.run import claims
from vanbench.compare.run.record import records

pytestmark = pytest.mark.slow  # each starts processes, which load the libraries


@pytest.mark.parametrize("jobs", [1, 2])
def test_two_calls_share_a_folder_and_take_over_what_a_killed_one_had(tmp_path: Path, capsys, jobs: int) -> None:
    command = "run", waiting_suite(tmp_path), "--out", "out", "-j", jobs, "-q"
    killed = start(tmp_path, *command, role="killed")
    until(lambda: len(began(tmp_path, "killed")) == jobs, killed)
    killed.kill()
    killed.wait()  # its workers may live on until they have something to tell
    two = [start(tmp_path, *command, role=role) for role in ("a", "b")]
    until(lambda: all(began(tmp_path, role) for role in ("a", "b")), *two)
    assert run("status", tmp_path / "out", "--format", "json") == 5
    (row,) = json.loads(capsys.readouterr().out)["tasks"]
    assert (row["done"], row["failed"]) == (0, 0)
    assert row["running"] >= 2
    (tmp_path / "go").touch()
    told = [process.communicate() for process in two]
    assert [process.returncode for process in two] == [0, 0], told
    assert len(list(records(tmp_path / "out"))) == 6
    assert (
        len(began(tmp_path, "a")) + len(began(tmp_path, "b")) <= 6
    )  # each once; a worker of the killed may end its own
    assert not list((tmp_path / "out").rglob(claims.PATTERN))
    assert not list((tmp_path / "out").rglob("*.tmp"))


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drops_the_runs_in_hand(tmp_path: Path, jobs: int, number: int) -> None:
    process = start(tmp_path, "run", waiting_suite(tmp_path), "--out", "out", "-j", jobs, "-q")
    until(lambda: len(began(tmp_path)) == jobs, process)
    process.send_signal(number)
    _, told = process.communicate()
    assert (process.returncode, told) == (128 + number, "interrupted: the same command resumes from here.\n")
    assert not [path for path in (tmp_path / "out" / "records").rglob("*") if path.is_file()]


@pytest.mark.parametrize("jobs", [1, 2])
def test_more_signals_end_it_at_once(tmp_path: Path, jobs: int) -> None:
    """At whatever moment they come, also while it ends: no traceback, and no record that is half-written."""
    process = start(tmp_path, "run", waiting_suite(tmp_path), "--out", "out", "-j", jobs, "-q")
    until(lambda: len(began(tmp_path)) == jobs, process)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, told = process.communicate()
    assert process.returncode in (130, -signal.SIGINT), told
    once, twice = "interrupted: the same command resumes from here.\n", "stopped at once; what was finished is kept.\n"
    assert told in (once, twice, once + twice)
    assert not list((tmp_path / "out" / "records").rglob("[!.]*.json"))


def test_two_signals_end_a_scan_without_more_words(tmp_path: Path) -> None:
    """Ctrl-C goes to every process; the one that Python starts beside those of a scan has standard error, too."""
    asked = ["exact", "east", "--shape", "3x3", "--s", "0.01:1:0.01", "--processes", "2", "--out", "out"]
    process = start(tmp_path, *asked, start_new_session=True)
    until(lambda: list(tmp_path.glob("out/s=*")), process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate()
    words = [line for line in told.splitlines() if "s = " not in line]
    assert process.returncode in (130, -signal.SIGINT), told
    assert all(line.startswith(("interrupted: ", "stopped at once; ")) for line in words), told
