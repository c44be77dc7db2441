"""Runs and tracks from the command line: records, budgets, folders that resume, processes that die."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import NETWORK_FILE, TINY_SUITE, run

from vanbench.compare.declare.task import load_suite
from vanbench.compare.judge.goals import goals
from vanbench.compare.run.pool import Job, Outcome, run_jobs
from vanbench.compare.run.record import Record, records, unfinished
from vanbench.compare.run.references import reference_path
from vanbench.exact import InputError, build, solve
from vanbench.exact.files import write_json

# -- run, track --------------------------------------------------------------------------------------------------------


def test_run_from_exact_to_tables_and_again(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert run("run", suite, "--out", out, "-j", "1", "--quiet") == 0
    assert "Everything is in" in capsys.readouterr().out
    held = dict(records(out))
    assert len(held) == 6
    record = next(r for r in held.values() if r.run.shape == (3,))
    compared = record.frame("errors").query("quantity == 'ln_Z' and t == 0.2").iloc[0]
    exact = solve(build("east", (3,)), s=0.1, times=[0.2], quantities=["ln_Z"]).value[0]
    assert compared.exact == pytest.approx(exact, rel=1e-12)
    assert compared.total == pytest.approx(compared.discretisation + compared.projection + compared.sampling, abs=1e-15)
    assert set(record.frame("distances").reference) == {"continuous", "scheme"}
    assert record.peak_memory_mib > 1
    assert record.provenance["versions"]["torch"]
    assert (out / "tables" / "ln_Z_by_size.tex").exists()
    assert (out / "plots" / "tiny_error.png").exists()
    stamps = {path: path.stat().st_mtime_ns for path in held}
    next(iter(stamps)).unlink()
    assert run("run", suite, "--out", out, "-j", "1", "--quiet") == 0
    assert "1 record made, 5 were there" in capsys.readouterr().out
    assert [p for p, _ in records(out)] == sorted(stamps)
    changed = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert changed == [next(iter(stamps))]
    again = Record.load(changed[0])
    assert again.rows == held[changed[0]].rows  # the same numbers for the same seed


def test_run_with_a_network_of_ones_own(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ones_own.py").write_text(NETWORK_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = run(
        "run",
        suite,
        "--out",
        "o",
        "-j",
        "1",
        "-q",
        "--architecture",
        "ones_own:Mine",
        "--architecture-option",
        "scale=2",
    )
    assert code == 0
    assert "ones_own:Mine(scale=2)" in capsys.readouterr().out


def test_run_refuses_a_folder_of_other_things(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    assert run("run", suite, "--out", tmp_path / "photos") == 2
    assert "other files" in capsys.readouterr().err


def test_a_run_out_of_budget_leaves_no_record(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    suite.write_text(TINY_SUITE + "budget = {seconds = 1e-9}\n")
    assert run("run", suite, "--out", tmp_path / "out", "-j", "1", "-q") == 5
    assert "budget" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("records/**/*.json"))
    assert run("table", tmp_path / "out") == 2


@pytest.mark.usefixtures("undrawn")
def test_a_run_cut_off_is_kept_apart_until_it_is_finished(suite: Path, tmp_path: Path, monkeypatch) -> None:
    out, options = tmp_path / "out", ("-j", "1", "-q")
    suite.write_text(TINY_SUITE.replace("seeds = 3", "seeds = 1").replace("0.2]", "0.8]").replace("[2], [3]", "[2]"))
    whole = suite.read_text()
    suite.write_text(whole + "budget = {cpu_seconds = 3.5}\n")
    with monkeypatch.context() as patched:
        patched.setattr(
            "vanbench.compare.run.execute.time.process_time", itertools.count(0.0).__next__
        )  # a second a step
        assert run("run", suite, "--out", out, *options) == 5
    (kept,) = unfinished(out)
    assert (kept.diagnostics["ended"], kept.diagnostics["ended_t"]) == ("out of budget", pytest.approx(0.4))
    row = goals(out).iloc[0]
    assert (row.t, row.ended) == (0.1, "out of budget at t = 0.4")
    assert row.error == pytest.approx(kept.frame("errors").query("quantity == 'ln_Z'").error.max())
    suite.write_text(whole)  # the budget is no part of the question
    assert run("run", suite, "--out", out, *options) == 0
    assert not unfinished(out)
    assert goals(out).iloc[0].ended == ""


@pytest.mark.usefixtures("undrawn")
def test_run_of_one_task(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("run", suite, "--out", tmp_path / "out", "--task", "nothing", "-q") == 2
    assert "Known:" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    other = TINY_SUITE.split("version = 1")[-1].replace('name = "', 'name = "other-')
    suite.write_text(TINY_SUITE + other)
    assert run("run", suite, "--out", tmp_path / "out", "--task", "oth*", "-j", "1", "-q") == 0
    assert [path.name for path in (tmp_path / "out" / "records").iterdir()] == ["other-tiny"]


def _interrupted(*_: object) -> None:
    """Ctrl-C: the signal is handled when Python comes to it, which may be any number of calls later."""
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        time.sleep(0.01)


def test_a_killed_track_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch, capsys) -> None:
    """Killed before there was a record: the folder holds the checkpoint alone."""
    options = ["track", "east", "--shape", "3", "--s", "0.1", "--times", "0.1,0.3", "--dt", "0.1", "--samples", "20"]
    options += ["--epochs", "5", "--tracker-option", "first_epochs=5", "--architecture", "bernoulli", "-q"]
    assert run(*options, "--out", tmp_path / "whole") == 0
    with monkeypatch.context() as patched:
        patched.setattr("vanbench.neural.run.callbacks.CHECKPOINT_SECONDS", 0.0)
        patched.setattr("vanbench.neural.run.log.RunLog.frame", _interrupted)
        assert run(*options, "--out", tmp_path / "killed") == 130
    assert "the same command resumes" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["checkpoint"]
    assert run(*options, "--out", tmp_path / "killed") == 0
    assert "resuming from the checkpoint" in capsys.readouterr().err
    (whole,), (resumed,) = ([one.rows for _, one in records(tmp_path / name)] for name in ("whole", "killed"))
    assert resumed == whole


def test_a_finished_track_is_shown_again_and_not_done_again(tmp_path: Path, monkeypatch, capsys) -> None:
    options = ["track", "east", "--shape", "3", "--s", "0.1", "--times", "0.1", "--tracker", "clones", "--architecture"]
    options += ["bernoulli", "--tracker-option", "clones=2000", "--out", tmp_path, "--format", "json"]
    assert run(*options) == 0
    first = json.loads(capsys.readouterr().out)
    monkeypatch.setattr("vanbench.neural.track", lambda *_, **__: pytest.fail("computed again"))
    assert run(*options) == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == first
    assert "already finished" in again.err


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_another_version_of_somebodys_network_is_not_taken_for_the_same(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = NETWORK_FILE.replace("OnesOwn", "Changing")
    (tmp_path / "changing.py").write_text(text)
    name = re.findall(r"class (\w+)", text)[0]
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    command = ["run", "tiny.toml", "--architecture", f"changing:{name}", "--out", "out", "-j", "1", "-q"]
    assert run(*command) == 0
    assert next(iter(records(tmp_path / "out")))[1].provenance["sources"].keys() == {"changing.py"}
    assert run(*command) == 0
    assert "0 records made" in capsys.readouterr().out
    (tmp_path / "changing.py").write_text(text + "# changed\n")
    assert run(*command) == 2
    assert "another version of changing.py" in capsys.readouterr().err


def test_values_of_another_version_of_somebodys_system_are_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = "from vanbench.exact import build\ndef make(shape):\n    return build('east', shape)\n"
    file.write_text(text)
    task = load_suite(str(_suite_of(tmp_path, f"{file}:make"))).tasks[0]
    before = reference_path(task, (3,), tmp_path)
    file.write_text(text.replace("'east'", "'fa'"))
    assert reference_path(task, (3,), tmp_path) != before


def _suite_of(folder: Path, system: str) -> Path:
    path = folder / "own.toml"
    path.write_text(TINY_SUITE.replace('system = "east"', f'system = "{system}"'))
    return path


def test_a_folder_that_cannot_be_written_is_one_sentence(suite: Path, tmp_path: Path, capsys) -> None:
    """A file stands where the folder should be made; no rights keep root out."""
    (tmp_path / "file").touch()
    assert run("run", suite, "--out", tmp_path / "file" / "x", "-j", "1", "-q") == 2
    told = capsys.readouterr().err
    assert "Not a directory" in told
    assert "Traceback" not in told


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"a": 1})
    (tmp_path / "plain.txt").touch()
    assert (tmp_path / "record.json").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode


def test_track_prints_one_object_and_writes_one_record(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "t"
    options = ["--shape", "3", "--s", "0.1", "--times", "0.1,0.2", "--dt", "0.1", "--samples", "20", "--epochs", "5"]
    options += ["--tracker-option", "first_epochs=5", "--tracker-option", "full_summation=false"]
    code = run("track", "east", *options, "--out", out, "--architecture", "bernoulli", "--format", "json", "-q")
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    rows = [row for row in found["records"] if row["quantity"] == "ln_Z"]
    assert [row["t"] for row in rows] == [0.1, 0.2]
    assert all(row["sampling_stderr"] > 0 for row in rows)
    assert len(list(records(out))) == 1
    assert run("table", out) == 0
    assert "bernoulli" in capsys.readouterr().out


# -- processes ---------------------------------------------------------------------------------------------------------


def _square(x: int, progress: object) -> int:
    return x * x


def _die(progress: object) -> None:
    os._exit(7)


def _refuse(progress: object) -> None:
    raise InputError("no.")


def test_a_process_that_dies_takes_nothing_with_it() -> None:
    jobs = [Job("a", _square, (3,)), Job("dies", _die, ()), Job("refuses", _refuse, ()), Job("b", _square, (4,))]
    ended: list[Outcome] = []
    run_jobs(jobs, 2, ended.append)
    found = {outcome.job.label: outcome for outcome in ended}
    assert (found["a"].value, found["b"].value) == (9, 16)
    assert "exit code 7" in str(found["dies"].failure)
    assert found["refuses"].failure == "no."


WAITS = """
import time
from pathlib import Path
""" + NETWORK_FILE.replace(
    "    def logits(self, x):\n",
    """    def logits(self, x):
        while list(Path("out").rglob("records/**/*.json")) and not Path("go").exists():
            time.sleep(0.05)
""",
)


@pytest.mark.slow
def test_interrupted_run_goes_on(suite: Path, tmp_path: Path) -> None:
    """Once there is a record, its networks wait for the file ``go``: Ctrl-C comes in the middle on any machine."""
    (tmp_path / "waits.py").write_text(WAITS)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "vanbench.compare.cli", "run", str(suite), "--architecture", "waits:Mine"]
    command += ["--out", "out", "-j", "2", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tmp_path)
    while not list(out.rglob("records/**/*.json")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    held = list(records(out))  # every record that is there can be read
    assert 0 < len(held) < 6
    assert not list(out.rglob("*.tmp"))
    (tmp_path / "go").touch()
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    were = "was" if len(held) == 1 else "were"
    assert f"{6 - len(held)} records made, {len(held)} {were} there" in done.stdout
