"""The reference library: chosen fields, and a table that several calls fill."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import run
from dense import get

from vanbench.compare.run.exact_tables import CASES, FIELDS, read
from vanbench.compare.studies.exact_tables import library

CASE = CASES["east-4"]


def test_chosen_fields_are_added_to_the_table(tmp_path):
    for s in (0.1, 0.07):
        library.compute(CASE, tmp_path, ("values",), library.meant(CASE, [s]))
    table = read(tmp_path / "east-4.csv")
    values = table[(table.quantity == "ln_Z") & (table.scheme == "continuous") & (table.t == 10)]
    assert list(values.s) == [0.07, 0.1]
    for s, value in zip(values.s, values.value):
        assert value == pytest.approx(get(CASE.build(), s, 10.0, "ln_Z", method="dense"), abs=1e-9)


def test_rounded_fields_are_those_of_the_grid():
    assert library.meant(CASE, [0.0251, 0.0794, 0.07]) == [FIELDS[4], FIELDS[9], 0.07]


def test_command(tmp_path, capsys):
    given = ["compute", "east-4", "fa-4", "--stage", "values", "--at", "0.1", "--folder", tmp_path]
    assert run("study", "exact_tables", *given) == 0
    assert capsys.readouterr().err.count("values at s = 0.1") == 2
    assert run("study", "exact_tables", *given) == 0  # what is there is kept
    assert capsys.readouterr().err == ""
    assert "| east-4 | 2^4 | 1 of 21 s | missing |" in (tmp_path / "README.md").read_text()
    assert run("study", "exact_tables", "compute", "east-5", "--folder", tmp_path) == 2
    assert "unknown table 'east-5'" in capsys.readouterr().err
    for wrong in (["--at", "nan"], ["--at", "1e300"], ["--at", "0"]):
        assert run("study", "exact_tables", "compute", "fa-4", "--folder", tmp_path, *wrong) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert np.isfinite(read(tmp_path / "fa-4.csv").value.astype(float)).all()


def test_names_of_tables_tell_their_systems():
    """``south-east-4x4-c0.05`` is 4x4 at c = 0.05 and negative s; c = 0.5 and positive s where nothing is said."""
    lengths = {"south-east": {(3, 3), (4, 4), (5, 5)}, "fa": {(3, 3), (4, 4), (5, 5)}, "fa-corner": set(),
               "south-east-front": {(2, 2, 2), (3, 3, 3)}, "east": set()}  # fmt: skip
    for name in ("fa", "east"):
        lengths[name] |= {(n,) for n in (4, 8, 12, 16, 20, 24)}
    expected = {f"{name}-{'x'.join(map(str, shape))}" for name, shapes in lengths.items() for shape in shapes}
    expected |= {f"{name}-{n}x{n}-c0.05" for name in ("south-east", "fa-corner") for n in (3, 4, 5)}
    assert set(CASES) == expected
    for name, case in CASES.items():
        parts = name.split("-")
        low = parts[-1] == "c0.05"
        assert "x".join(map(str, case.shape)) == parts[-2 if low else -1]
        assert (case.sign, case.params.get("c", 0.5)) == ((-1.0, 0.05) if low else (1.0, 0.5))
        assert case.build().name.startswith("fa" if name.startswith("fa") else "east")
        assert np.sign(case.fields).tolist() == [case.sign] * len(FIELDS)


def test_the_middle_of_the_grid_comes_first():
    order = library.first_things_first(np.arange(21.0))
    assert order[:7] == [10, 0, 4, 8, 12, 16, 20]
    assert order[7:12] == [2, 6, 14, 18, 1]
    assert sorted(order) == list(range(21))
    assert FIELDS[10] == 0.1
