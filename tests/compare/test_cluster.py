"""Sweeps over a dask.distributed cluster: the same records as here, whatever happens to a worker."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from vanbench.compare.cli import main
from vanbench.compare.declare.task import Architecture, load_suite
from vanbench.compare.run import cluster, server
from vanbench.compare.run.cluster import Cluster
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
tracker_options = {dt = 0.1, samples = 20, epochs = 5, first_epochs = 5, order = 1, full_summation = false}
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


@pytest.mark.slow  # a server and its fork server for each worker
def test_the_records_are_those_of_this_machine(suite: str, tmp_path: Path, address: str) -> None:
    there = run_suite(suite, tmp_path / "there", scheduler=address)
    assert (there.made, there.kept, there.failures) == (6, 0, [])
    run_suite(suite, tmp_path / "here", workers=1)
    here = {path.name: record.errors for path, record in records(tmp_path / "here")}
    assert {path.name: record.errors for path, record in records(tmp_path / "there")} == here


def test_finished_records_are_not_computed_again(suite: str, tmp_path: Path, address: str) -> None:
    """Not even where another call finished them after this one had looked."""
    from vanbench.compare.run.suite import _execute

    run_suite(suite, tmp_path / "out", workers=1)
    before = {path: path.stat().st_mtime_ns for path, _ in records(tmp_path / "out")}
    assert run_suite(suite, tmp_path / "out", scheduler=address).kept == 6
    run = next(load_suite(suite).tasks[0].runs())
    assert _execute(run, tmp_path / "out", "cpu", None).path == tmp_path / "out" / FOLDER / run.path
    assert {path: path.stat().st_mtime_ns for path, _ in records(tmp_path / "out")} == before


NET = """
import torch
from vanbench.neural import Autoregressive

class Net(Autoregressive):
    def __init__(self, shape, local_dim=2):
        super().__init__(shape, local_dim)
        self.hidden = torch.nn.Linear(1, {width})
        self.output = torch.nn.Linear({width}, local_dim)

    def logits(self, x):
        x = x.to(self.output.weight.dtype)
        before = x.cumsum(1) - x
        return self.output(torch.tanh(self.hidden(before[..., None])))
"""


@pytest.mark.slow  # workers that live on, and two processes for each of them
def test_the_code_that_runs_is_the_code_that_is_named(suite, tmp_path, monkeypatch, address: str) -> None:
    """A file that changes between two calls, and one that is missing on a worker."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    parameters = []
    for width in (3, 5):
        (tmp_path / "net.py").write_text(NET.format(width=width))
        network = [Architecture(name=f"{tmp_path}/net.py:Net")]
        run_suite(suite, tmp_path / f"out{width}", network, scheduler=address)
        _, record = next(iter(records(tmp_path / f"out{width}")))
        parameters.append(record.diagnostics["n_parameters"])
        assert list(record.provenance["sources"]) == ["net.py"]
    assert parameters[1] - parameters[0] == 2 * (2 + 2)  # two units more, of two weights in and two out


@pytest.mark.slow
def test_workers_that_differ_are_refused_and_those_that_cannot_run_left_out(address, tmp_path, monkeypatch) -> None:
    own = load_suite(_file(tmp_path))
    runs = [next(own.tasks[0].runs())]
    (tmp_path / "out").mkdir()
    with distributed.Client(address) as client:
        one, other = client.scheduler_info(n_workers=-1)["workers"]
        here = cluster.state(runs, tmp_path / "out")
        held = Cluster(client, runs, tmp_path / "out")
        assert held._wrong(one, Outcome(None, here)) is None
        unlike = replace(here, versions={**here.versions, "torch": "0"})
        with pytest.raises(InputError, match=f"{one} and {other} differ: torch"):
            held._wrong(other, Outcome(None, unlike))
        with pytest.raises(InputError, match="another version of vanbench"):
            held._wrong(other, Outcome(None, replace(here, package="x")))
        assert "does not see" in str(held._wrong(other, Outcome(None, replace(here, seen=False))))
        held.here = replace(here, own={"net.py": "x"})
        assert "another version of net.py" in str(held._wrong(other, Outcome(None, here)))
        assert held._wrong(other, Outcome(None, failure="no module.")) == "no module."


def _file(folder: Path) -> str:
    (folder / "tiny.toml").write_text(SUITE)
    return str(folder / "tiny.toml")


def test_no_worker_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(cluster, "SILENCE", 0.0)
    nobody = distributed.LocalCluster(**{**OPTIONS, "n_workers": 0}, processes=False, protocol="tcp://")
    with nobody as local, distributed.Client(local) as client:
        held = Cluster(client, [], tmp_path)
        for _ in range(3):
            held._look(working=False)
    told = capsys.readouterr().err
    assert told.count("no worker is connected") == 1
    assert "dask worker tcp://" in told


def test_what_a_killed_call_started_on_a_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker lives on, and nobody closes the pipe."""
    monkeypatch.setattr(server, "IDLE", 0.01)
    reading, writing = os.pipe()
    with open(reading, "rb") as asked, open(writing, "wb"):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=asked))
        waiting = threading.Thread(target=server._answer, args=(io.BytesIO(),), daemon=True)
        waiting.start()
        waiting.join(60)
        assert not waiting.is_alive()


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


def test_a_scheduler_that_is_lost_while_it_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask cancels what the call waits for, with an exception of its own."""
    client = SimpleNamespace(
        status="running",
        scheduler_info=lambda **_: {"workers": {"tcp://w": {"nthreads": 1}}},
        subscribe_topic=lambda *_: None,
        submit=lambda *_, **__: Mock(),
    )

    def lost(*_: object, **__: object) -> None:
        client.status = "connecting"
        raise distributed.CancelledError

    monkeypatch.setattr("distributed.wait", lost)
    held = Cluster(client, [], tmp_path, fit={"tcp://w": 1})
    with pytest.raises(InputError, match=r"the scheduler is lost.*the same command resumes"):
        held.run([Job("a", print, ())], lambda outcome: None)
