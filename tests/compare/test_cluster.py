"""Sweeps over a dask.distributed cluster: the same records as here, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vanbench.compare.cli import main
from vanbench.compare.declare.task import load_suite
from vanbench.compare.run import cluster
from vanbench.compare.run.cluster import run_jobs_on
from vanbench.compare.run.pool import Job, Outcome
from vanbench.compare.run.record import FOLDER, records
from vanbench.compare.run.suite import run_suite
from vanbench.exact import InputError

distributed = pytest.importorskip("distributed")

SUITE = """
version = 1
[[tasks]]
name = "tiny"
system = "east"
shapes = [[2], [3]]
s = [0.1]
times = [0.1]
architectures = ["bernoulli"]
tracker_options = {dt = 0.1, samples = 20, epochs = 5, first_epochs = 5}
seeds = 3
"""


OPTIONS = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A scheduler with two workers, threads of this process that talk over TCP: what they exchange is serialised."""
    with distributed.LocalCluster(**OPTIONS, processes=False, protocol="tcp://") as local:
        yield local.scheduler_address


@pytest.fixture(autouse=True)
def any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler that is there answers in its own time; Dask's defaults give workers and connections seconds."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 3600)


@pytest.fixture
def suite(tmp_path: Path) -> str:
    (tmp_path / "tiny.toml").write_text(SUITE)
    return str(tmp_path / "tiny.toml")


def test_the_records_are_those_of_this_machine(suite: str, tmp_path: Path, address: str) -> None:
    there = run_suite(suite, tmp_path / "there", scheduler=address)
    assert (there.made, there.found, there.failures) == (6, 0, [])
    run_suite(suite, tmp_path / "here", workers=1)
    here = {path.name: record.errors for path, record in records(tmp_path / "here")}
    assert {path.name: record.errors for path, record in records(tmp_path / "there")} == here


def test_finished_records_are_not_computed_again(suite: str, tmp_path: Path, address: str) -> None:
    """Not even where another call finished them after this one had looked."""
    from vanbench.compare.run.suite import _execute

    run_suite(suite, tmp_path / "out", workers=1)
    before = {path: path.stat().st_mtime_ns for path, _ in records(tmp_path / "out")}
    assert run_suite(suite, tmp_path / "out", scheduler=address).found == 6
    run = next(load_suite(suite).tasks[0].runs())
    assert _execute(run, tmp_path / "out", "cpu", None).path == tmp_path / "out" / FOLDER / run.path
    assert {path: path.stat().st_mtime_ns for path, _ in records(tmp_path / "out")} == before


def _sleep_or_die(name: str, folder: Path, progress: object) -> str:
    """The job ``victim`` ends its worker the first time."""
    (folder / f"{name}-{time.time_ns()}").touch()
    if name == "victim" and len(list(folder.glob("victim-*"))) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def _always_die(progress: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow  # six workers start in turn
def test_a_lost_worker_costs_only_its_task(tmp_path: Path) -> None:
    jobs = [Job(name, _sleep_or_die, (name, tmp_path)) for name in ("a", "b", "victim", "c", "d")]
    jobs.append(Job("fatal", _always_die, ()))
    ended: list[Outcome] = []
    with distributed.LocalCluster(**OPTIONS) as local, distributed.Client(local) as client:  # processes, to be killed
        run_jobs_on(client, jobs, ended.append)
    assert {outcome.value for outcome in ended} == {"a", "b", "victim", "c", "d", None}
    (lost,) = [outcome for outcome in ended if outcome.failure]
    assert lost.job.label == "fatal"
    assert "was lost" in str(lost.failure)


def test_what_does_not_answer_is_told_before_anything_is_written(
    suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with pytest.raises(InputError, match="no dask scheduler answers"):
        run_suite(suite, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="no dask scheduler answers"):
        run_suite(suite, tmp_path / "out", scheduler="not an address")
    with pytest.raises(SystemExit) as stop:
        main(["run", suite, "--scheduler", "tcp://127.0.0.1:9", "--jobs", "2", "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "--jobs is for this machine" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
