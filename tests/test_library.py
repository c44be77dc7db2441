"""The reference library: chosen fields, and a table that several calls fill."""

from __future__ import annotations

import numpy as np
import pytest
from dense import get

from exact import library

CASE = library.CASES["east-4"]


def test_chosen_fields_are_added_to_the_table(tmp_path):
    for s in (0.1, 0.07):
        library.compute(CASE, tmp_path, ("values",), library.meant(CASE, [s]))
    table = library.read(tmp_path / "east-4.csv")
    values = table[(table.quantity == "ln_Z") & (table.scheme == "continuous") & (table.t == 10)]
    assert list(values.s) == [0.07, 0.1]
    for s, value in zip(values.s, values.value):
        assert value == pytest.approx(get(CASE.build(), s, 10.0, "ln_Z", method="dense"), abs=1e-9)


def test_rounded_fields_are_those_of_the_grid():
    assert library.meant(CASE, [0.0251, 0.0794, 0.07]) == [library.FIELDS[4], library.FIELDS[9], 0.07]


def test_command(tmp_path, capsys):
    given = ["compute", "east-4", "fa-4", "--stage", "values", "--at", "0.1", "--folder", str(tmp_path)]
    assert library.main(given) == 0
    assert capsys.readouterr().err.count("values at s = 0.1") == 2
    assert library.main(given) == 0  # what is there is kept
    assert capsys.readouterr().err == ""
    assert "| east-4 | 2^4 | 1 of 21 s | missing |" in (tmp_path / "README.md").read_text()
    assert library.main(["compute", "east-5", "--folder", str(tmp_path)]) == 2
    assert "unknown table 'east-5'" in capsys.readouterr().err
    for wrong in (["--at", "nan"], ["--at", "1e300"], ["--at", "0"], ["--fields", "0"]):
        assert library.main(["compute", "fa-4", "--folder", str(tmp_path), *wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert np.isfinite(library.read(tmp_path / "fa-4.csv").value.astype(float)).all()
