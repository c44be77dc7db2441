"""Two gloo processes give the numbers of one: samples, gradients and Fisher products are shared."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist

from vanbench.compare.cli import main
from vanbench.compare.run.record import Record
from vanbench.compare.run.stored import read_json
from vanbench.exact import InputError, build
from vanbench.exact.files import write_json
from vanbench.neural import track
from vanbench.neural.backend.distributed import mine, size, total, whole

KL = {"dt": 0.1, "samples": 101, "epochs": 4, "first_epochs": 8, "learning_rate": 0.01}  # 101: shares of 50 and 51
RUNS = {
    "kl": {"tracker": "kl", "tracker_options": KL},
    "kl, all configurations": {"tracker": "kl", "tracker_options": {**KL, "full_summation": True}},
    "tdvp, few parameters": {"tracker": "tdvp", "tracker_options": {"samples": 101}, "architecture": "bernoulli"},
    "tdvp, groups": {"tracker": "tdvp", "tracker_options": {"samples": 101}, "architecture": "bernoulli"},
    "tdvp, few samples": {"tracker": "tdvp", "tracker_options": {"samples": 31}},
    "tdvp, symmetrised": {"tracker": "tdvp", "tracker_options": {"samples": 101, "picture": "symmetrised"}},
}
ROUNDING = 1e-9  # sums in another order, 1e-16 a term, grow over a few dozen training steps; a wrong share gives 1e-3


def values(name: str) -> list[float]:
    system = build("fa", (2, 2))  # without its all-down state: some draws are rejected
    options = {"architecture": "made", **RUNS[name]}
    with pytest.MonkeyPatch.context() as patch:
        if "groups" in name:  # the scores of both fields, 8 each, fit for the share of 50, not for that of 51
            patch.setattr("vanbench.neural.trackers.tangent.regression.KEPT", 2 * 50 * 8 + 1)
        found = track(system, s=[0.1, 0.3], times=[0.2], quantities=["ln_Z", "density"], **options)
    return [*found.records.value, *found.records.sampling_stderr]


def _process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    content = {name: values(name) for name in RUNS}
    x = torch.arange(14).view(2, 7)
    content["parts"] = [mine(x).tolist(), whole(mine(x), 7).tolist(), total(torch.ones(1)).tolist()]
    write_json(Path(folder) / f"{rank}.json", content)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("gloo")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vanbench.compare.run.execute", "torch._dynamo"])  # imported once for both
    processes = [context.Process(target=_process, args=(rank, str(folder))) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return [read_json(folder / f"{rank}.json") for rank in (0, 1)]


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_give_the_numbers_of_one(two: list[dict], name: str) -> None:
    np.testing.assert_array_equal(two[0][name], two[1][name])  # or they would part ways
    np.testing.assert_allclose(two[0][name], values(name), rtol=ROUNDING, atol=ROUNDING)


def test_shares_cover_a_batch_once(two: list[dict]) -> None:
    (first, all_of_it, ones), (second, _, _) = two[0]["parts"], two[1]["parts"]
    assert [a + b for a, b in zip(first, second)] == all_of_it == torch.arange(14).view(2, 7).tolist()
    assert ones == [2.0]


def test_alone_nothing_is_shared() -> None:
    x = torch.arange(6.0).view(2, 3)
    assert size() == 1
    assert mine(x).equal(x)
    assert whole(x, 3) is x
    assert total(x) is x


def test_a_group_that_cannot_be_joined_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="WORLD_SIZE is set"):
        track(build("fa", (2,)), times=[0.1])


def test_a_suite_is_not_for_torchrun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as stop:
        main(["run", "tiny"])
    assert stop.value.code == 2
    assert "--scheduler" in capsys.readouterr().err


COMMAND = "track east --shape 3 --s 0.1 --t-final 0.2 --tracker tdvp --samples 60 --format json --tensorboard --out"


@pytest.mark.slow  # three interpreters start
def test_torchrun_writes_one_record(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    command = [*run, "vanbench.compare.cli", *COMMAND.split(), str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"records"') == 1
    (path,) = (tmp_path / "two" / "records").rglob("*.json")
    assert Record.load(path).diagnostics["processes"] == 2
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1
