"""`vanbench import`: exact values come back without error, others off by what was added; errors name the row."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from command_line import run

from vanbench.compare import records
from vanbench.compare.judge.collect import collect
from vanbench.exact import StateSpace, build, solve

SUITE = """
version = 1
[[tasks]]
name = "east"
system = "east"
shapes = [[3], [4]]
s = [0.1, 0.3]
times = [0.5, 1.0]
quantities = ["ln_Z", "density", "density_profile", "distribution"]
[[tasks]]
name = "fa"
system = "fa"
shapes = [[3]]
s = [0.1]
times = [2.0]
"""
HEAD = "shape,s,t,quantity,value,stderr,seed,cpu_s"
LABEL = ("--label", "theirs")


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suite.toml").write_text(SUITE)
    return tmp_path


def lines(shift: float = 0.0, seeds=(1, 2, 3)) -> list[str]:
    """All of ln Z that the task of East asks for, ``shift`` off."""
    out = []
    for length in (3, 4):
        for row in solve(build("east", (length,)), [0.1, 0.3], [0.5, 1.0], "ln_Z").itertuples():
            out += [f"{length},{row.s},{row.t},ln_Z,{row.value + shift},1e-3,{seed},{7 * length}" for seed in seeds]
    return out


def table(*rows: str, head: str = HEAD, name: str = "t.csv") -> str:
    with open(name, "w") as file:
        file.write("\n".join([head, *rows]))
    return name


def bring(*files: str) -> int:
    return run("import", "suite.toml", *files, *LABEL, "--out", "out")


def test_the_error_is_what_was_added(suite, capsys):
    assert bring(table(*lines(2e-3))) == 0
    assert "6 records" in capsys.readouterr().out
    held = collect(suite / "out")
    assert len(held) == 24
    assert np.allclose(held.total, 2e-3, atol=1e-9)
    assert np.allclose(held.error, 2e-3 / held.exact.abs())
    assert set(held.architecture) == {"theirs"}
    assert set(held.tracker) == {"imported"}
    assert held.discretisation.isna().all()  # nobody knows its time steps
    assert set(held.cpu_s) == {21, 28}
    assert held.wall_s.isna().all()


@pytest.mark.usefixtures("undrawn")
def test_table_gate_and_report_read_it(suite, capsys):
    bring(table(*lines(2e-3)))
    assert run("table", "out") == 0
    assert "theirs" in capsys.readouterr().out
    assert run("gate", "out", "--write", "base.json") == 0
    assert run("gate", "out", "--baseline", "base.json") == 0
    assert run("report", "out") == 0
    assert "theirs" in (suite / "out" / "report.html").read_text()
    assert run("import", "suite.toml", table(*lines(9e-3)), *LABEL, "--out", "worse") == 0
    capsys.readouterr()
    assert run("gate", "worse", "--baseline", "base.json") == 1
    assert "worse: east 3 theirs ln_Z" in capsys.readouterr().err.replace("\n", " ")


def test_the_same_again_changes_nothing_and_other_values_are_refused(suite, capsys):
    assert bring(table(*lines())) == 0
    before = sorted((suite / "out" / "records").rglob("*.json"))
    assert bring("t.csv") == 0
    assert sorted((suite / "out" / "records").rglob("*.json")) == before
    assert bring(table(*lines(1e-3))) == 2
    assert "holds other values" in capsys.readouterr().err


def test_samples_give_densities_and_distances(suite):
    system = build("east", (3,))
    p = solve(system, 0.1, 1.0, "distribution").value.to_numpy()
    drawn = np.random.default_rng(1).choice(len(p), 4000, p=p)
    np.savez("a.npz", x=StateSpace(system).configurations()[drawn], s=0.1, t=1.0, shape=(3,), seed=1)
    assert bring(table(*lines(seeds=(1,))), "a.npz") == 0
    record = next(record for _, record in records(suite / "out") if record.run.shape == (3,))
    off = record.frame("errors").set_index("quantity").loc[["density", "density_profile"]]
    assert (off.total.abs() < 5 * off.stderr).all()
    assert (off.stderr < 0.01).all()
    shares = np.bincount(drawn, minlength=len(p)) / len(drawn)
    assert record.distances["total_variation"] == pytest.approx([np.abs(shares - p).sum() / 2])
    assert [warning.kind for warning in record.warnings] == ["samples"]  # exact samples: all of it is their number


def test_wrong_samples_are_seen(suite):
    """Of another distribution: the distance is its own, and no warning excuses it."""
    system = build("east", (3,))
    np.savez("a.npz", x=StateSpace(system).configurations(), s=0.1, t=1.0, shape=(3,))  # uniform
    uniform, p = np.full(8, 1 / 8), solve(system, 0.1, 1.0, "distribution").value.to_numpy()
    np.savez("b.npz", x=np.ones((500, 3)), s=0.3, t=1.0, shape=(3,))
    assert bring(table(*lines(seeds=(1,))), "a.npz", "b.npz") == 0
    record = next(record for _, record in records(suite / "out") if record.run.shape == (3,))
    held = record.frame("distances")
    assert held.total_variation[0] == pytest.approx(np.abs(uniform - p).sum() / 2)
    assert held.kl_exact_network.isna()[1]
    assert not [warning for warning in record.warnings if warning.kind == "samples" and warning.s == 0.3]


WRONG = {
    "shape": ("5,0.1,1,ln_Z,1,,,", "shape = 5: suite suite asks for 3, 4"),
    "field": ("3,0.2,1,ln_Z,1,,,", "s = 0.2: suite suite asks for 0.1, 0.3"),
    "time": ("3,0.1,7,ln_Z,1,,,", "t = 7.0: suite suite asks for 0.5, 1, 2"),
    "quantity": ("3,0.1,1,activity,1,,,", "quantity = activity: suite suite asks for density"),
    "together": ("4,0.1,2,ln_Z,1,,,", "no single task"),
    "a decimal comma": ('3,"0,1",1,ln_Z,-0.2,,,', "the decimal point as a point"),
    "no number": ("3,0.1,1,ln_Z,abc,,,", "value = 'abc' is no number"),
    "infinite time": ("3,0.1,inf,ln_Z,1,,,", "t = inf is not finite"),
    "empty": ("3,0.1,1,ln_Z,,,,", "value is empty"),
    "cells": ("3,0.1,1,ln_Z,1", "5 cells under 8 headings"),
    "stderr": ("3,0.1,1,ln_Z,1,-1,,", "stderr = -1 is negative"),
    "seed": ("3,0.1,1,ln_Z,1,,x,", "seed = 'x'"),
    "site": ("3,0.1,1,density_profile,1,,,", "density_profile needs a site"),
    "shape text": ("threexfour,0.1,1,ln_Z,1,,,", "shape 'threexfour'"),
}


@pytest.mark.parametrize(("row", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_row_is_named(suite, capsys, row, told):
    assert bring(table(lines()[0], row)) == 2
    said = capsys.readouterr().err
    assert "t.csv, line 3: " in said
    assert told in said
    assert not (suite / "out").exists()


def test_a_row_given_twice_names_both(suite, capsys):
    assert bring(table(lines()[0], lines()[0])) == 2
    assert "t.csv, line 3: ln_Z at s = 0.1, t = 0.5 and seed 1 is also in t.csv, line 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("shape,s,t,quantity", "lacks the columns value"),
        ("shape,s,t,quantity,valu", "did you mean 'value'"),
        ("shape|s|t|quantity|value", "commas, semicolons or tabs"),
    ],
)
def test_a_wrong_heading(suite, capsys, head, told):
    assert bring(table("3,0.1,1,ln_Z,1", head=head)) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.full((4, 3), -1)}, "configuration 0 (of 4, from 0)"),
        ({"x": np.ones((4, 5))}, "configurations of 5 sites"),
        ({"x": np.ones(4)}, "must hold configurations"),
        ({"x": np.ones((4, 3)), "weights": np.ones(3)}, "weights must be 4"),
        ({"x": np.ones((4, 3)), "s": 0.2}, "s = 0.2"),
        ({"y": np.ones((4, 3))}, "unknown array"),
    ],
)
def test_wrong_samples_are_named(suite, capsys, arrays, told):
    np.savez("a.npz", **{"s": 0.1, "t": 1.0, "shape": (3,), "task": "east", **arrays})
    assert bring("a.npz") == 2
    said = capsys.readouterr().err
    assert told in said
    assert "a.npz" in said


def test_a_value_that_is_not_finite_fails_the_gate(suite, capsys):
    bring(table(*lines()))
    run("gate", "out", "--write", "base.json")
    rows = lines()
    rows[0] = rows[0].replace(rows[0].split(",")[4], "nan")
    assert run("import", "suite.toml", table(*rows), *LABEL, "--out", "bad") == 0
    assert run("gate", "bad", "--baseline", "base.json") == 1
    assert "not finite" in capsys.readouterr().err


def test_two_tasks_that_ask_for_a_row_must_be_told_apart(suite, capsys):
    (suite / "suite.toml").write_text(SUITE.replace("times = [2.0]", "times = [1.0]"))
    assert bring(table("3,0.1,1,ln_Z,-0.1,,,")) == 2
    assert "the tasks east, fa ask for it" in capsys.readouterr().err
    assert bring(table("3;0.1;1;ln_Z;-0.1;fa", head="shape;s;t;quantity;value;task")) == 0
    (path,) = (suite / "out" / "records").rglob("*.json")
    assert json.loads(path.read_text())["run"]["task"]["name"] == "fa"


@pytest.mark.parametrize("label", ["made", " ", "a\nb", "x" * 61])
def test_labels_that_would_mislead_are_refused(suite, label):
    assert run("import", "suite.toml", table(*lines()), "--label", label, "--out", "out") == 2


def test_a_record_that_was_imported_is_no_run_of_the_suite(suite, capsys):
    """Beside native runs: neither missing nor counted."""
    from vanbench.compare.run import missing

    bring(table(*lines()))
    (suite / "out" / "suite.json").write_text(
        json.dumps(
            {"name": "suite", "tasks": [{"name": "east", "system": "east", "shapes": [[3]], "s": [1], "times": [1]}]}
        )
    )
    held = [record for _, record in records(suite / "out")]
    assert missing.sentence(suite / "out", held).startswith("3 of 3 runs")  # those of made
    assert run("status", "out") == 5  # as of a folder without runs


@pytest.mark.parametrize("name", ["table.csv", "samples.npz"])
def test_what_is_no_file_is_not_waited_for(suite, capsys, name):
    os.mkfifo(suite / name)
    assert run("import", "suite.toml", name, *LABEL, "--out", "out") == 2
    assert "is no file" in capsys.readouterr().err
    assert run("import", name, "table.csv", *LABEL, "--out", "out") == 2
    assert run("exact", "east", "--shape", "3", "-p", f"edges={name}") == 2


@pytest.mark.parametrize(
    "row", ["1e101,,1", "1,1e101,1", "1,,1,1e16", f"1,,{'9' * 5000}"], ids=["value", "stderr", "parameters", "seed"]
)
def test_a_number_that_no_record_may_hold_is_named_before_one_is_written(suite, capsys, row):
    (suite / "table.csv").write_text(f"shape,s,t,quantity,value,stderr,seed,parameters\n3,0.1,1,ln_Z,{row}\n")
    if row.count(",") == 2:
        (suite / "table.csv").write_text(f"shape,s,t,quantity,value,stderr,seed\n3,0.1,1,ln_Z,{row}\n")
    assert run("import", "suite.toml", "table.csv", *LABEL, "--out", "out") == 2
    assert "line 2" in capsys.readouterr().err
    assert not (suite / "out" / "records").exists()


def _damage(content: bytes) -> dict[str, bytes]:
    """Copies of a compressed ``.npz`` with bytes changed in its members, or in what the archive says of them."""
    method = content.index(b"PK\x01\x02") + 10
    locals_ = content.index(b"PK\x03\x04") + 8
    unknown = bytearray(content)
    unknown[method] = unknown[locals_] = 99
    encrypted = bytearray(content)
    encrypted[method - 2] |= 1
    broken = bytearray(content)
    broken[60:80] = bytes(20)
    return {"method": bytes(unknown), "encrypted": bytes(encrypted), "broken": bytes(broken), "cut": content[:100]}


@pytest.mark.parametrize("what", ["method", "encrypted", "broken", "cut"])
def test_damaged_archives_are_a_sentence(suite, capsys, what):
    np.savez_compressed("samples.npz", x=np.random.default_rng(1).integers(0, 2, (200, 3)))
    (suite / "samples.npz").write_bytes(_damage((suite / "samples.npz").read_bytes())[what])
    assert run("import", "suite.toml", "samples.npz", *LABEL, "--out", "out") == 2
    assert run("cycles", "--data", "samples.npz", "--out", "cycles") == 2
    assert run("learn", "ising", "--shape", "3x1", "--temperature", "2", "--data", "samples.npz", "--out", "new") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert all("samples.npz" in line for line in said[:2])


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.zeros((5, 3), complex)},
        {"x": np.zeros((5, 3), "m8[s]")},
        {"x": np.zeros((5, 3), int), "weights": np.array(["a"] * 5)},
        {"x": np.zeros((5, 3), int), "seed": 2**60},
    ],
)
def test_arrays_of_other_things_than_numbers_are_named(suite, capsys, arrays):
    np.savez("samples.npz", **{"s": 0.1, "t": 1.0, **arrays})
    assert run("import", "suite.toml", "samples.npz", *LABEL, "--out", "out") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_array_without_an_archive_is_configurations_too(suite):
    """What `numpy.save` wrote, by the name of what `numpy.savez` writes: an archive's only array."""
    with open("samples.npz", "wb") as file:
        np.save(file, np.zeros((5, 3), int))
    assert run("import", "suite.toml", "samples.npz", *LABEL, "--out", "out") == 2  # it lacks s and t
