"""Claims and parts: calls share the work of one folder, and none is done twice or left out."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from command_line import TINY_SUITE, run
from example_records import example, of_task
from hypothesis import given
from hypothesis import strategies as st

from vanbench.compare.declare.task import Suite, load_suite
from vanbench.compare.run import claims, suite
from vanbench.compare.run.parts import expected_cost, share
from vanbench.compare.run.record import FOLDER
from vanbench.compare.run.status import status
from vanbench.compare.run.suite import run_suite
from vanbench.exact import InputError
from vanbench.exact.files import write_json

pytestmark = pytest.mark.usefixtures("undrawn")


def claim_of(result: Path, **changes: object) -> Path:
    path = claims.path_of(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(replace(claims._own("a run"), **changes))))
    return path


def test_a_claim_excludes_others_and_is_taken_away_in_the_end(tmp_path: Path) -> None:
    result = tmp_path / "r" / "x.json"
    with claims.claimed(result, "mine", tmp_path) as other:
        assert other is None
        with claims.claimed(result, "theirs", tmp_path) as holder:
            assert holder is not None
            assert (holder.what, holder.process) == ("mine", os.getpid())
    assert not list(result.parent.iterdir())
    with pytest.raises(KeyboardInterrupt), claims.claimed(result, "mine", tmp_path):
        raise KeyboardInterrupt
    assert not list(result.parent.iterdir())


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    result = tmp_path / "x.json"
    claim_of(result, process=gone.pid, started="1")
    with claims.claimed(result, "mine", tmp_path) as other:
        assert other is None
    claim_of(result, started="of another process with this number")
    with claims.claimed(result, "mine", tmp_path) as other:
        assert other is None


def test_a_claim_of_another_machine_lives_as_long_as_it_is_renewed(tmp_path: Path) -> None:
    result = tmp_path / "x.json"
    path = claim_of(result, machine="elsewhere", host="elsewhere")
    with claims.claimed(result, "mine", tmp_path) as other:
        assert other is not None
        assert other.host == "elsewhere"
    os.utime(path, (0, path.stat().st_mtime - claims.DEAD - 1))
    with claims.claimed(result, "mine", tmp_path) as other:
        assert other is None


@pytest.mark.parametrize("content", ["", "{", "3", '{"what": 1}', "[" * 1000])
def test_a_claim_that_is_none_is_taken_over(tmp_path: Path, content: str) -> None:
    result = tmp_path / "x.json"
    claims.path_of(result).write_text(content)
    with claims.claimed(result, "mine", tmp_path) as other:
        assert other is None


@pytest.mark.parametrize("kind", ["link", "dangling", "loop", "pipe"])
def test_what_is_no_file_is_no_claim(tmp_path: Path, kind: str) -> None:
    result, outside = tmp_path / "r" / "x.json", tmp_path / "outside"
    path = claim_of(result)
    path.rename(outside)
    told = outside.read_bytes(), outside.stat().st_mtime_ns
    places = {"link": outside, "dangling": tmp_path / "nothing", "loop": path}
    os.mkfifo(path) if kind == "pipe" else path.symlink_to(places[kind])
    with claims.claimed(result, "mine", tmp_path) as other:
        assert other is None
        assert path.is_file()
        assert not path.is_symlink()
    assert (outside.read_bytes(), outside.stat().st_mtime_ns) == told
    assert not list(result.parent.iterdir())


@pytest.mark.parametrize("change", [{"what": [1]}, {"what": {}}, {"failed": [1]}, {"process": "../.."}, {"host": None}])
def test_claims_of_strangers_are_no_defect(tmp_path: Path, change: dict) -> None:
    """Also for `status`, which tells of every claim."""
    declared = load_suite(_tiny(tmp_path))
    write_json(tmp_path / "out" / "suite.json", declared.model_dump(mode="json"))
    path = claim_of(tmp_path / "out" / FOLDER / next(declared.tasks[0].runs()).path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    (row,) = status(tmp_path / "out")
    assert (row.missing, row.running, row.failed) == (6, 0, 0)


@pytest.mark.parametrize("text", ['{"name": "x"', "{}", '{"name": "x", "tasks": 3}', "[]"])
def test_status_names_a_suite_that_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    (tmp_path / "suite.json").write_text(text)
    assert run("status", tmp_path) == 2
    assert str(tmp_path / "suite.json") in capsys.readouterr().err.replace("\n", "")


def test_status_loads_no_code_that_a_record_or_a_suite_names(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass T: pass\n")
    name = f"{tmp_path}/evil.py:T"
    declared = load_suite(_tiny(tmp_path)).model_dump(mode="json")
    declared["tasks"][0] |= {"tracker": name, "system": name}
    write_json(tmp_path / "out" / "suite.json", declared)
    record = of_task(example(), tracker=name, system=name)
    record.save(tmp_path / "out" / FOLDER / "example" / "a.json")
    assert run("status", tmp_path / "out") == 5
    assert not (tmp_path / "ran").exists()


def _tiny(folder: Path) -> str:
    (folder / "tiny.toml").write_text(TINY_SUITE)
    return str(folder / "tiny.toml")


def test_one_of_many_gets_it(tmp_path: Path) -> None:
    claim_of(tmp_path / "x.json", started="long gone")

    def take(number: int) -> bool:
        return claims._take(claims.path_of(tmp_path / "x.json"), claims._own(str(number))) is None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(40))) == 1


def test_a_run_that_failed_is_told_and_tried_again(tmp_path: Path) -> None:
    with pytest.raises(InputError), claims.claimed(tmp_path / "x.json", "mine", tmp_path):
        raise InputError("no such thing.")
    held = claims.read(claims.path_of(tmp_path / "x.json"))
    assert held is not None
    assert held.failed == "no such thing."
    with claims.claimed(tmp_path / "x.json", "mine", tmp_path) as other:
        assert other is None


def test_a_run_that_failed_on_a_full_disk_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for this very process, which would wait for itself."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(claims, "write_json", full)
    with pytest.raises(OSError, match="No space"), claims.claimed(tmp_path / "x.json", "mine", tmp_path):
        full()
    assert not list(tmp_path.iterdir())
    with claims.claimed(tmp_path / "x.json", "mine", tmp_path) as other:
        assert other is None


def test_what_another_call_works_on_is_waited_for_and_taken_over_when_it_dies(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    out = tmp_path / "out"
    runs = list(load_suite(str(tmp_path / "tiny.toml")).tasks[0].runs())
    path = claim_of(out.resolve() / FOLDER / runs[0].path, machine="elsewhere", host="elsewhere", what=runs[0].label)
    failed = out / FOLDER / runs[1].path
    claim_of(failed, failed="it was too hard.", what=runs[1].label)
    (out / "suite.json").write_text(load_suite(str(tmp_path / "tiny.toml")).model_dump_json())
    assert run("status", out) == 5
    told = capsys.readouterr().out
    assert "on elsewhere works on it" in told
    assert "it was too hard." in told
    waits = []

    def dies(seconds: float) -> None:
        waits.append(len(list((out / FOLDER).rglob("[!.]*.json"))))
        os.utime(path, (0, path.stat().st_mtime - claims.DEAD - 1))

    monkeypatch.setattr(suite, "time", SimpleNamespace(sleep=dies))
    summary = run_suite(str(tmp_path / "tiny.toml"), out, workers=1)
    assert waits == [5]  # the others first
    assert (summary.made, summary.kept) == (6, 0)
    assert not list(out.rglob(claims.PATTERN))
    assert run("status", out, "--format", "json") == 0
    (row,) = json.loads(capsys.readouterr().out)["tasks"]
    assert (row["runs"], row["done"], row["left"]) == (6, 6, 0)
    assert row["spent"] > 0


costs = st.lists(st.integers(1, 1000), max_size=60)


@given(costs, st.integers(1, 70))
def test_parts_are_disjoint_complete_and_balanced(items: list[int], n: int) -> None:
    numbered = list(enumerate(items))
    parts = [share(numbered, lambda item: item[1], k, n) for k in range(1, n + 1)]
    assert sorted(item for part in parts for item in part) == numbered
    loads = [sum(cost for _, cost in part) for part in parts]
    assert max(loads) - min(loads) <= max(items, default=0)  # of the longest-first rule


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_the_parts_of_a_suite_are_its_runs(tmp_path: Path, n: int) -> None:
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    tiny: Suite = load_suite(str(tmp_path / "tiny.toml"))
    runs = [run for task in tiny.tasks for run in task.runs()]
    parts = [share(runs, expected_cost, k, n) for k in range(1, n + 1)]
    assert sorted(str(run.path) for part in parts for run in part) == sorted(str(run.path) for run in runs)


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "1/0", "a/b", "-1/2", "1/2/3", "1.0/2"])
def test_parts_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture, part: str) -> None:
    assert run("run", "validate", "--part", part, "--out", tmp_path / "x") == 2
    assert "--part" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["records", "references", "records/tiny", "_unfinished"])
def test_nothing_is_written_through_a_link(tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(outside)
    (out / "suite.json").touch()
    assert run("run", tmp_path / "tiny.toml", "--out", out, "-j", "1", "-q") == 5
    assert "leads out of" in capsys.readouterr().err
    assert not list(outside.rglob("*"))


TRACK = ["track", "east", "--shape", "3", "--s", "0.1", "--times", "0.1", "--dt", "0.1", "--samples", "20", "-q"]
TRACK += ["--epochs", "5", "--tracker-option", "first_epochs=5", "--architecture", "bernoulli"]


def test_two_tracks_into_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Not at once, and not over the checkpoint of another, finished or not."""
    note = tmp_path / "checkpoint" / "run.json"
    path = claim_of(note, machine="elsewhere", host="elsewhere", what="another run")
    assert run(*TRACK, "--out", tmp_path) == 2
    assert "on elsewhere runs another run into" in capsys.readouterr().err
    path.unlink()
    note.write_text(json.dumps({"path": "east/another.json", "label": "another run"}))
    kept = tmp_path / "checkpoint" / "checkpoint.pt"
    kept.touch()
    assert run(*TRACK, "--out", tmp_path) == 2
    assert "holds the checkpoint of another run, another run" in capsys.readouterr().err
    note.unlink()
    assert run(*TRACK, "--out", tmp_path) == 2
    assert "another run, which it does not name" in capsys.readouterr().err
    kept.unlink()
    assert run(*TRACK, "--out", tmp_path) == 0
    held = kept.read_bytes()
    for more in (["--seed", "2"], ["--shape", "4"], ["--no-resume", "--s", "0.2"]):  # the first is finished
        assert run(*TRACK, *more, "--out", tmp_path) == 2
        assert "another run, east 3 bernoulli #1: give another --out" in capsys.readouterr().err
    assert kept.read_bytes() == held
    assert len(list((tmp_path / FOLDER).rglob("*.json"))) == 1
