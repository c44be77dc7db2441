"""The command line as a user meets it: output, exit codes, one line for a mistake, folders that resume."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from compare import parse
from compare.cli import main
from compare.goals import goals
from compare.pool import Job, Outcome, run_jobs
from compare.record import Record, records, unfinished
from compare.task import load_suite
from exact import InputError, build, solve

TINY_SUITE = """
version = 1
[[tasks]]
name = "tiny"
system = "east"
shapes = [[2], [3]]
s = [0.1]
times = [0.1, 0.2]
quantities = ["ln_Z", "density", "distribution"]
architectures = ["bernoulli"]
tracker_options = {dt = 0.1, samples = 20, epochs = 5, first_epochs = 5}
seeds = 3
"""
SYSTEM_FILE = """
import numpy as np
from exact import System, jumps

def make(shape, rate=1.0):
    flip = rate * np.array([[0.0, 1.0], [1.0, 0.0]])
    n = int(np.prod(shape))
    terms = tuple(jumps((i,), flip) for i in range(n))
    return System("flips", shape, 2, terms, np.full((n, 2), 0.5), params={"rate": rate})

def broken(shape):
    return 3
"""
NETWORK_FILE = """
from neural import Autoregressive

class Mine(Autoregressive):
    def __init__(self, shape, local_dim=2, scale=1.0):
        super().__init__(shape, local_dim)

    def logits(self, x):
        return self.site_bias.new_zeros(*x.shape, self.local_dim)

    def zero_output(self):
        pass
"""


def run(*arguments: object) -> int:
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def exact_json(capsys: pytest.CaptureFixture, *arguments: object) -> dict:
    assert run("exact", *arguments, "--format", "json") == 0
    return json.loads(capsys.readouterr().out)  # the whole of stdout is one object


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SUITE)
    return path


# -- exact -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "arguments", "values"),
    [
        (
            "fa",
            ["--shape", "6", "-p", "c=0.3", "--s", "0.2"],
            (-0.7054361304, 0.2447191632, -0.2373614540, 0.2557264131),
        ),
        (
            "east",
            ["--shape", "7", "-p", "c=0.2", "--s", "-0.3"],
            (0.5486865048, 0.1669626522, 0.3903053349, 0.2361729999),
        ),
    ],
)  # an independent dense computation, to the ten digits it was given with
def test_exact_meets_independent_values(
    capsys: pytest.CaptureFixture, system: str, arguments: list[str], values: tuple[float, ...]
) -> None:
    found = exact_json(capsys, system, *arguments, "--times", "2", "--quantities", "ln_Z,activity,scgf,density")
    held = {row["quantity"]: row["value"] for row in found["records"]}
    names = ("ln_Z", "activity", "scgf", "density")
    np.testing.assert_allclose([held[n] for n in names], values, atol=6e-11, rtol=0)  # half of the last digit given
    steady = next(row for row in found["records"] if row["quantity"] == "scgf")
    assert steady["t"] is None
    assert found["system"] == system
    assert found["params"]["c"] in (0.3, 0.2)


def test_exact_profiles_have_sites_and_csv_has_rows(capsys: pytest.CaptureFixture) -> None:
    found = exact_json(capsys, "east", "--shape", "2x2", "--quantities", "density_profile")
    assert [row["site"] for row in found["records"]] == [0, 1, 2, 3]
    assert run("exact", "east", "--shape", "3", "--times", "1:3:1", "--quantities", "ln_Z", "--format", "csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3


def test_exact_graph_from_a_file_is_the_chain(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    edges = tmp_path / "edges.csv"
    edges.write_text("from,to\n0,1\n1,2\n# a chain\n2,3\n")
    options = ["--shape", "4", "--s", "0.2", "--quantities", "ln_Z"]
    graph = exact_json(capsys, "fa", "-p", f"edges={edges}", *options)
    chain = exact_json(capsys, "fa", "-p", "boundary=down", *options)
    assert graph["records"][0]["value"] == pytest.approx(chain["records"][0]["value"], rel=1e-12)


def test_exact_on_a_system_of_ones_own(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SYSTEM_FILE)
    found = exact_json(capsys, f"{path}:make", "--shape", "3", "-p", "rate=2", "--s", "0.5", "--times", "1.5")
    value = next(row["value"] for row in found["records"] if row["quantity"] == "ln_Z")
    assert value == pytest.approx(3 * 2 * 1.5 * np.expm1(-0.5), rel=1e-12)  # Poisson: t r N (e^-s - 1)
    for name, words in ((":broken", "must return"), (":none", "cannot be loaded"), (":os", "function")):
        assert run("exact", f"{path}{name}", "--shape", "3") == 2, words
    assert run("exact", f"{path}:make", "--shape", "3", "-p", "rates=2") == 2
    assert "did you mean 'rate'" in capsys.readouterr().err


def test_exact_on_the_temperature_axis(capsys: pytest.CaptureFixture) -> None:
    """Two by two with one bond a pair: Z = 12 + 2 e^{4/T} + 2 e^{-4/T}, E = -4 J with weight e^{4/T}."""
    found = exact_json(capsys, "ising", "--shape", "2x2", "--temperatures", "1,2", "--quantities", "energy")
    assert found["system"] == "ising"
    for row in found["records"]:
        boost = np.exp(4 / row["T"])
        expected = (2 * boost * -4 + 2 / boost * 4) / (12 + 2 * boost + 2 / boost) / 4
        assert row["value"] == pytest.approx(expected, rel=1e-9)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["exact", "eas", "--shape", "4"], "did you mean 'east'"),
        (["exact", "east", "--shape", "4x-1"], "positive integer"),
        (["exact", "east", "--shape", "0"], "positive integer"),
        (["exact", "east", "--shape", "four"], "whole numbers"),
        (["exact", "east", "--shape", "4", "-p", "c=1.5"], "between 0 and 1"),
        (["exact", "east", "--shape", "4", "-p", "c=half"], "must be a number"),
        (["exact", "east", "--shape", "4", "-p", "c"], "NAME=VALUE"),
        (["exact", "east", "--shape", "4", "-p", "d=1"], "unknown parameter"),
        (["exact", "east", "--shape", "4", "-p", "boundary=7"], "boundary"),
        (["exact", "east", "--shape", "4", "--times", "1,x"], "--times"),
        (["exact", "east", "--shape", "4", "--times", "1:0:0.1"], "range"),
        (["exact", "east", "--shape", "4", "--s", "inf"], "finite"),
        (["exact", "east", "--shape", "4", "--quantities", "lnZ"], "did you mean 'ln_Z'"),
        (["exact", "east", "--shape", "4", "--observable", "current"], "observable"),
        (["exact", "east", "--shape", "4", "--format", "xml"], "unknown format"),
        (["exact", "east", "--shape", "6", "--scheme", "euler", "--dt", "3", "--times", "3"], "must stay below"),
        (["exact", "east", "--shape", "60"], "GiB"),
        (["exact", "fa", "--shape", "4", "-p", "edges=nowhere.csv"], "cannot be read"),
        (["exact", "east", "--shape", "4", "--temperatures", "1"], "ising"),
        (["exact", "ising", "--shape", "4", "--temperatures", "1", "--s", "0.1"], "takes no --s"),
        (["exact", "nowhere.py:make", "--shape", "4"], "does not exist"),
        (["list", "networks"], "unknown list"),
        (["run", "nothing"], "unknown suite"),
        (["run", "tiny", "--jobs", "0"], "at least one"),
        (["run", "tiny", "--seed", "-1"], "2^63"),
        (["run", "tiny", "--seed", str(2**64)], "2^63"),
        (["run", "tiny", "--architecture", "mad"], "did you mean 'made'"),
        (["run", "tiny", "--architecture", "nowhere.module:Net"], "cannot be imported"),
        (["table", "nowhere"], "no folder"),
        (["track", "east", "--shape", "4", "--s", "0.1", "--out", "x"], "--t-final"),
        (["track", "east", "--shape", "4", "--s", "0.1", "--times", "1", "--out", "x", "--tracker", "kll"], "'kl'"),
        (["track", "east", "--shape", "4", "--s", "0.1", "--times", "1", "--dt", "0.3", "--out", "x"], "multiple"),
        (["run", "tiny", "--architecture", "gru", "--arch-option", "width=wide"], "cannot be built"),
        (
            ["track", "east", "--shape", "4", "--s", "0", "--times", "1", "--tracker-option", "dt=x", "--out", "x"],
            "number",
        ),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else v,
)
def test_mistakes_are_one_sentence_and_write_nothing(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not shown.out
    assert not list(tmp_path.rglob("*.json"))


def test_a_defect_is_a_crash(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compare.commands.list._systems", lambda: 1 / 0)
    assert run("list", "systems") == 4
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_list_names_everything(capsys: pytest.CaptureFixture) -> None:
    assert run("list") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("east", "voter", "made", "gru", "kl", "validate"))


@pytest.mark.parametrize("command", ["exact", "track", "run", "table", "gate", "list"])
def test_help_has_an_example(capsys: pytest.CaptureFixture, command: str) -> None:
    assert run(command, "--help") == 0
    assert "Example" in capsys.readouterr().out


# -- parsing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [("1,10,100", [1, 10, 100]), ("0:0.3:0.1", [0, 0.1, 0.2, 0.3]), ("1:-1:-1,5", [1, 0, -1, 5]), ("-0.5", [-0.5])],
)
def test_numbers(text: str, found: list[float]) -> None:
    assert parse.numbers(text, "x") == found


@pytest.mark.parametrize("text", ["", "1,,2", "0:1:0", "0:1", "nan", "0:1:1e-9", "a"])
def test_bad_numbers(text: str) -> None:
    with pytest.raises(InputError):
        parse.numbers(text, "x")


def test_option_values() -> None:
    items = ["a=1", "b=0.5", "c=true", "d=up", "e=64,64", "f=0:1,5:0", "g=bernoulli:0.3", "h=1e-3"]
    found = parse.options(items)
    assert found == {
        **{"a": 1, "b": 0.5, "c": True, "d": "up", "e": [64, 64]},
        **{"f": "0:1,5:0", "g": "bernoulli:0.3", "h": 1e-3},
    }


# -- run, track --------------------------------------------------------------------------------------------------------


def test_run_from_exact_to_tables_and_again(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert run("run", suite, "--out", out, "-j", "1", "--quiet") == 0
    assert "Everything is in" in capsys.readouterr().out
    held = dict(records(out))
    assert len(held) == 6
    record = next(r for r in held.values() if r.shape == [3])
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
    assert "1 records made, 5 were there" in capsys.readouterr().out
    assert [p for p, _ in records(out)] == sorted(stamps)
    changed = [path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp]
    assert changed == [next(iter(stamps))]
    again = Record.load(changed[0])
    assert again.rows == held[changed[0]].rows  # the same numbers for the same seed


def test_run_with_a_network_of_ones_own(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_nets.py").write_text(NETWORK_FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = run(
        "run", suite, "--out", "o", "-j", "1", "-q", "--architecture", "my_nets:Mine", "--arch-option", "scale=2"
    )
    assert code == 0
    assert "my_nets:Mine(scale=2)" in capsys.readouterr().out


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


def test_a_run_cut_off_is_kept_apart_until_it_is_finished(suite: Path, tmp_path: Path, monkeypatch) -> None:
    out, options = tmp_path / "out", ("-j", "1", "-q")
    suite.write_text(TINY_SUITE.replace("seeds = 3", "seeds = 1").replace("0.2]", "0.8]").replace("[2], [3]", "[2]"))
    whole = suite.read_text()
    suite.write_text(whole + "budget = {cpu_seconds = 3.5}\n")
    with monkeypatch.context() as patched:
        patched.setattr("compare.execute.time.process_time", itertools.count(0.0).__next__)  # a second a step
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


def test_run_of_one_task(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run("run", suite, "--out", tmp_path / "out", "--task", "nothing", "-q") == 2
    assert "Known:" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    other = TINY_SUITE.split("version = 1")[-1].replace('name = "', 'name = "other-')
    suite.write_text(TINY_SUITE + other)
    assert run("run", suite, "--out", tmp_path / "out", "--task", "other-tiny", "-j", "1", "-q") == 0
    assert [path.name for path in (tmp_path / "out" / "records").iterdir()] == ["other-tiny"]


def test_a_killed_track_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch) -> None:
    """Killed before there was a record: the folder holds the checkpoint alone."""
    options = ["track", "east", "--shape", "3", "--s", "0.1", "--times", "0.1,0.3", "--dt", "0.1", "--samples", "20"]
    options += ["--epochs", "5", "--tracker-option", "first_epochs=5", "--architecture", "bernoulli", "-q"]
    assert run(*options, "--out", tmp_path / "whole") == 0
    with monkeypatch.context() as patched:
        patched.setattr("neural.runner.CHECKPOINT_SECONDS", 0.0)
        patched.setattr("neural.log.RunLog.frame", lambda self: os.kill(os.getpid(), signal.SIGINT))
        assert run(*options, "--out", tmp_path / "killed") != 0
    assert [path.name for path in (tmp_path / "killed").iterdir()] == ["checkpoint"]
    assert run(*options, "--out", tmp_path / "killed", "--resume") == 0
    (whole,), (resumed,) = ([one.rows for _, one in records(tmp_path / name)] for name in ("whole", "killed"))
    assert resumed == whole


def test_track_prints_one_object_and_writes_one_record(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "t"
    options = ["--shape", "3", "--s", "0.1", "--times", "0.1,0.2", "--dt", "0.1", "--samples", "20", "--epochs", "5"]
    options += ["--tracker-option", "first_epochs=5"]
    code = run("track", "east", *options, "--out", out, "--architecture", "bernoulli", "--format", "json", "-q")
    assert code == 0
    found = json.loads(capsys.readouterr().out)
    rows = [row for row in found["records"] if row["quantity"] == "ln_Z"]
    assert [row["t"] for row in rows] == [0.1, 0.2]
    assert all(row["stderr"] > 0 for row in rows)
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


@pytest.mark.slow
def test_interrupted_run_goes_on(suite: Path, tmp_path: Path) -> None:
    suite.write_text(TINY_SUITE.replace("epochs = 5, first", "epochs = 300, first"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "compare.cli", "run", str(suite), "--out", str(out), "-j", "2", "-q"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not list(out.rglob("records/**/*.json")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    held = list(records(out))  # every record that is there can be read
    assert len(held) < 6
    assert not list(out.rglob("*.tmp"))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{6 - len(held)} records made, {len(held)} were there" in done.stdout
    assert len(load_suite(str(suite)).tasks) == 1
