"""Sweeps that are killed, shared or repeated: only complete records, and the same numbers in the end."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from vanbench.compare.run.pool import PRELOAD
from vanbench.compare.run.record import Record
from vanbench.compare.run.suite import run_suite

KILLS = 50
SUITE = """
version = 1
[[tasks]]
name = "tiny"
system = "east"
shapes = [[2], [3]]
s = [0.1]
times = [0.1, 0.2]
architectures = ["bernoulli"]
tracker_options = {dt = 0.1, samples = 20, epochs = 5, first_epochs = 5, order = 1, full_summation = false}
seeds = 6
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("suite") / "tiny.toml"
    path.write_text(SUITE)
    return str(path)


def start(suite: str, out: Path) -> Any:
    """A sweep in a process of its own, forked from one that has the libraries loaded."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=run_suite, args=(suite, out), kwargs={"workers": 1})
    process.start()
    return process


def held(out: Path) -> dict[str, tuple[Record, int]]:
    """Every record under ``out`` and when it was written; one that cannot be read is an error."""
    paths = sorted(out.glob("records/**/*.json"))
    return {path.name: (Record.load(path), path.stat().st_mtime_ns) for path in paths}


@pytest.fixture(scope="module")
def whole(suite: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, float]:
    """The records of a sweep that nothing disturbs, and how long one takes."""
    out = tmp_path_factory.mktemp("whole")
    start(suite, out / "first").join()  # the libraries' own start is no part of a sweep
    began = time.monotonic()
    start(suite, out / "second").join()
    return held(out / "second"), time.monotonic() - began


@pytest.mark.slow  # two minutes
def test_fifty_kills_leave_complete_records_and_a_folder_that_goes_on(
    suite: str, tmp_path: Path, whole: tuple[dict, float]
) -> None:
    expected, seconds = whole
    moments, kills, folder = random.Random(5), 0, 0
    while kills < KILLS:
        out = tmp_path / str(folder)
        before = held(out)
        process = start(suite, out)
        more = min(len(before) + moments.randrange(3), len(expected) - 1)  # records to wait for, however long they take
        while len(list(out.glob("records/**/*.json"))) < more and process.is_alive():
            process.join(0.01)
        process.join(moments.uniform(0, seconds / len(expected)))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        after = held(out)
        assert {name: after[name] for name in before} == before  # kept, and not computed again
        folder += len(after) == len(expected)
    assert any(held(out) for out in tmp_path.iterdir())  # some kill fell between two records
    for out in tmp_path.iterdir():
        start(suite, out).join()
        assert {name: record.rows for name, (record, _) in held(out).items()} == {
            name: record.rows for name, (record, _) in expected.items()
        }


@pytest.mark.slow  # waited without end once, at the end of a whole run on loaded cores; alone it takes half a minute
def test_two_sweeps_into_one_folder(suite: str, tmp_path: Path, whole: tuple[dict, float]) -> None:
    processes = [start(suite, tmp_path) for _ in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert {name: record.errors for name, (record, _) in held(tmp_path).items()} == {
        name: record.errors for name, (record, _) in whole[0].items()
    }
    assert not list(tmp_path.rglob("*.tmp"))
