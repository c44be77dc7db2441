"""``vanbench exact``: folders that resume, several processes, clones; what it says it did."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from vanbench.compare.cli import application
from vanbench.exact import build, solve

runner = CliRunner()


def call(*words: str, code: int = 0):
    result = runner.invoke(application(), ["exact", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        assert code
        return str(result.exception)
    assert result.exit_code == code, result.output
    return result.stdout


def test_a_scan_in_a_folder_is_resumed_and_says_its_method(tmp_path):
    words = ["fa", "--shape", "5", "--s", "0.1,0.2", "--times", "1,2", "--format", "json", "--out", str(tmp_path / "a")]
    first = json.loads(call(*words))
    assert first["method"] == "sparse"
    stored = sorted((tmp_path / "a").glob("s=*.csv"))
    assert len(stored) == 2
    times = [path.stat().st_mtime_ns for path in stored]
    again = json.loads(call(*words))
    assert [path.stat().st_mtime_ns for path in stored] == times  # nothing was computed twice
    assert again["method"] == "as stored"
    want = solve(build("fa", (5,)), [0.1, 0.2], [1.0, 2.0])
    for records in (first["records"], again["records"]):
        assert [r["value"] for r in records] == pytest.approx(want.value.tolist(), rel=1e-14)


def test_a_folder_of_another_question_is_refused(tmp_path):
    words = ["fa", "--shape", "5", "--s", "0.1", "--out", str(tmp_path / "a")]
    call(*words)
    assert "another system or other options" in call(*words, "--times", "3", code=2)


def test_clones_agree_with_the_exact_value_within_their_errors():
    words = ["east", "--shape", "3x3", "--s", "0.1", "--times", "2", "--format", "json"]
    found = json.loads(call(*words, "--method", "cloning", "--clones", "4e4"))["records"]
    want = solve(build("east", (3, 3)), 0.1, 2.0, ["ln_Z", "activity"]).set_index("quantity").value
    for row in found:
        if row["quantity"] in want:
            # four standard errors, themselves known to a quarter from ten populations
            assert abs(row["value"] - want[row["quantity"]]) < 5 * row["stderr"]
            assert row["stderr"] < 0.01


@pytest.mark.parametrize("system", ["fa", "tfim"])
def test_a_field_out_of_range_is_refused_before_anything_is_written(tmp_path, system):
    words = [system, "--shape", "3", "--s", "0.1,-800", "--quantities", "ln_Z", "--out", str(tmp_path / "a")]
    assert "out of range" in call(*words, code=2)
    assert not (tmp_path / "a").exists()


def test_cloning_refuses_what_it_does_not_give(tmp_path):
    words = ["fa", "--shape", "5", "--s", "0.1", "--method", "cloning"]
    assert "cloning gives ln_Z" in call(*words, "--quantities", "density", code=2)
    assert "takes no --out" in call(*words, "--out", str(tmp_path / "a"), code=2)


COIN = """
import numpy as np
from vanbench.exact import System, jumps

def make(shape, rate=1.0):
    flip = rate * np.array([[0.0, 1.0], [1.0, 0.0]])
    return System("coin", shape, 2, (jumps((0,), flip),), np.array([[0.9, 0.1]]))
"""


def test_stored_values_belong_to_the_terms_not_to_the_name(tmp_path):
    (tmp_path / "coin.py").write_text(COIN)
    words = [f"{tmp_path}/coin.py:make", "--shape", "1", "--s", "0.1", "--out", str(tmp_path / "a")]
    call(*words, "-p", "rate=0.5")
    assert "another system" in call(*words, "-p", "rate=0.9", code=2)


@pytest.mark.parametrize("out", [True, False])
def test_an_unstable_step_is_an_error_every_time(tmp_path, out):
    words = ["fa", "--shape", "3x3", "--s", "0.1", "--scheme", "euler", "--dt", "0.5", "--quantities", "ln_Z,scgf"]
    folder = ["--out", str(tmp_path / "a")] if out else []
    for _ in range(2):
        assert "unstable" in call(*words, *folder, code=2)


def test_of_several_fields_the_unstable_ones_say_so(tmp_path):
    words = [
        "free",
        "--shape",
        "1",
        "--s",
        "0,-2",
        "--scheme",
        "euler",
        "--dt",
        "1",
        "--times",
        "4",
        "--format",
        "json",
    ]
    rows = json.loads(call(*words, "--quantities", "ln_Z,scgf"))["records"]
    assert [r["t"] for r in rows if r["quantity"] == "scgf"] == [None, None]
    held = {r["s"]: r for r in rows if r["quantity"] == "ln_Z"}
    assert held[0.0]["value"] == pytest.approx(0.0, abs=1e-12)
    assert held[-2.0]["value"] is None
    assert "unstable" in held[-2.0]["note"]


def test_what_a_system_file_gets_wrong_is_said(tmp_path):
    (tmp_path / "leak.py").write_text(COIN.replace("jumps((0,), flip)", "Term((0,), flip)").replace("jumps", "Term"))
    assert "must sum to zero" in call(f"{tmp_path}/leak.py:make", "--shape", "1", code=2)


def test_sites_are_whole_numbers_and_a_field_given_twice_is_one():
    words = ["fa", "--shape", "2", "--s", "0.1,0.1", "--quantities", "ln_Z,density_profile", "--format", "json"]
    assert [str(row.get("site")) for row in json.loads(call(*words))["records"]] == ["None", "0", "1"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shape", "1000000x1000000"], "1000000000000 sites"),
        (["--times", "1e15"], "ln Z is nothing but rounding"),
        (["--scheme", "euler", "--dt", "1e-12"], "1e+12 steps"),
        (["--scheme", "euler", "--dt", "inf"], "positive time step"),
        (["--scheme", "euler", "--dt", "2", "--times", "4"], "dt must stay below 0.333761"),
        (["--quantities", ""], "at least one name"),
        (["-p", "boundary=upp"], "did you mean 'up'"),
        (["-p", "C=0.4"], "did you mean 'c'"),
        (["--out", "FILE"], "cannot be created as a folder"),
        (["--method", "cloning", "--clones", "nan"], "give a number of clones"),
        (["--method", "cloning", "--clones", "1e30"], "give a number of clones"),
        (["--method", "cloning", "--clones", "9e11"], "GiB are available"),
        (["-p", "pinned=0:1,0:0"], "names a site twice"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, words, says):
    (tmp_path / "file").write_text("")
    words = [str(tmp_path / "file") if word == "FILE" else word for word in words]
    assert says in call("fa", "--shape", "4", "--s", "0.1", *words, code=2)


def test_every_output_says_which_bounds_are_certified(tmp_path):
    words = [
        "east",
        "--shape",
        "3x3",
        "--s",
        "0.1",
        "--times",
        "1",
        "--quantities",
        "ln_Z,density",
        "--method",
        "lanczos",
    ]
    want = {"ln_Z": "certified", "density": "estimated"}
    records = json.loads(call(*words, "--format", "json"))["records"]
    assert {r["quantity"]: r["bound_kind"] for r in records} == want
    table = pd.read_csv(io.StringIO(call(*words, "--format", "csv")))
    assert dict(zip(table.quantity, table.bound_kind)) == want
    lines = call(*words).splitlines()
    assert all(any(name in line and kind in line for line in lines) for name, kind in want.items())
    for _ in range(2):  # as computed, and as stored
        kept = json.loads(call(*words, "--format", "json", "--out", str(tmp_path / "a")))["records"]
        assert {r["quantity"]: r["bound_kind"] for r in kept} == want


def test_rows_without_a_bound_have_no_kind_and_stored_ones_stay_so(tmp_path):
    words = ["fa", "--shape", "4", "--s", "0.1", "--method", "sparse", "--quantities", "ln_Z,activity,density"]
    words += ["--format", "json", "--out", str(tmp_path / "a")]
    for _ in range(2):
        records = json.loads(call(*words))["records"]
        assert not any(r.get("bound") or r.get("bound_kind") for r in records)


def test_a_stored_field_of_the_time_before_kinds_is_done_again(tmp_path):
    """Some of those bounds did not hold."""
    words = ["fa", "--shape", "4", "--s", "0.1", "--format", "json", "--out", str(tmp_path / "a")]
    call(*words)
    (path,) = (tmp_path / "a").glob("s=*.csv")
    pd.read_csv(path).drop(columns="bound_kind").assign(value=7.0).to_csv(path, index=False)
    assert 7.0 not in [r["value"] for r in json.loads(call(*words))["records"]]
    assert "bound_kind" in pd.read_csv(path)
