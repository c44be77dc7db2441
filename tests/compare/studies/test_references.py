"""The library of references beyond exact vectors: filled in parts, resumed, and a page of what there is."""

from __future__ import annotations

import pytest
from command_line import run

from vanbench.compare.studies.references import library
from vanbench.exact import solve
from vanbench.exact.systems import build


@pytest.fixture
def small(monkeypatch):
    case = library.Case("fa-8", "fa", (8,), fields=(0.1,), times=(1.0,), bond=16)
    spins = library.Case("tfim-3", "tfim", (3,), fields=(0.0,), times=(0.5,), quantities=("sigma_z",), steady=False)
    monkeypatch.setattr(library, "CASES", {"fa-8": case, "tfim-3": spins})
    return case


def test_tables_hold_sources_and_errors_and_are_filled_once(small, tmp_path, capsys):
    given = ("study", "references", "compute", "fa-8", "--folder", tmp_path)
    assert run(*given) == 0
    assert capsys.readouterr().err.count("at s = 0.1") == 2
    assert run(*given) == 0  # what is there is kept
    assert capsys.readouterr().err == ""
    table = library.read(tmp_path / "fa-8.csv")
    assert set(table.source) == {"mps", "dmrg"}
    for name, t in (("ln_Z", 1.0), ("density", 1.0), ("scgf", None)):
        (row,) = table[(table.quantity == name)].itertuples()
        exact = solve(build("fa", (8,)), 0.1, [] if t is None else t, name).value[0]
        assert abs(row.value - exact) <= float(row.bound) + 1e-11  # of the digits that are written
    page = (tmp_path / "README.md").read_text()
    assert "| fa-8 | 8 | 2 of 2 |" in page
    assert "| tfim-3 | 3 | missing |" in page


def test_parts_that_would_take_too_long_are_left_out(small, tmp_path):
    library.compute(small, tmp_path, seconds=0.0)
    assert library.read(tmp_path / "fa-8.csv").empty


def test_an_error_beyond_its_target_is_marked(small, tmp_path):
    library.compute(small, tmp_path)
    path = tmp_path / "fa-8.csv"
    table = library.read(path)
    table.loc[table.quantity == "density", "bound"] = 0.1
    path.write_text(table.to_csv(index=False))
    assert "**1.0e-01**" in library.status(tmp_path)


def test_an_unknown_table_is_refused(tmp_path, capsys):
    assert run("study", "references", "compute", "fa-41", "--folder", tmp_path) == 2
    assert "did you mean 'fa-40'" in capsys.readouterr().err


def test_every_case_can_be_built():
    assert all(case.build().n_sites for case in library.CASES.values())
