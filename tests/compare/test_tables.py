"""Tables: which rows, which figures, in which format; and nothing infinite anywhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_records import folder_of, of_task, spread, with_correlations
from hypothesis import example, given
from hypothesis import strategies as st

from vanbench.compare.run.record import Record
from vanbench.compare.show.columns import scientific, with_error
from vanbench.compare.show.tables import AXES, column, growth_of, render, table, write_tables
from vanbench.exact import InputError
from vanbench.exact.files import write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder_of(tmp_path, spread(1e-3), lengths=(4, 6, 8))
    return folder_of(tmp_path, spread(3e-3), lengths=(4, 6), architecture="gru")


def test_by_size_holds_the_last_time_of_every_size(folder: Path) -> None:
    found = table(folder, "size")
    assert set(found.t) == {1.0}
    assert list(found["shape"]) == ["4", "6", "4", "6", "8"]  # gru, then made
    np.testing.assert_allclose(found.exact, [-0.4, -0.6, -0.4, -0.6, -0.8])
    np.testing.assert_allclose(found.discretisation, 0.01 / -found.exact)


def test_by_time_holds_the_largest_size_of_each_network_at_every_time(folder: Path) -> None:
    found = table(folder, "time")
    assert list(found.architecture) == ["gru", "gru", "made", "made"]
    assert list(found["shape"]) == ["6", "6", "8", "8"]
    assert list(found.t) == [0.5, 1.0] * 2


@pytest.mark.parametrize("by", AXES)
def test_csv_reads_back_every_number(folder: Path, by: str) -> None:
    found = table(folder, by)
    back = pd.read_csv(io.StringIO(render(found, "csv")))
    np.testing.assert_array_equal(back.error, found.error)
    assert not np.isinf(back.select_dtypes("number").to_numpy()).any()


def test_markdown_shows_value_and_standard_error(folder: Path) -> None:
    text = render(table(folder, "size"), "md")
    row = next(line for line in text.splitlines() if "made" in line)
    assert row.count("±") >= 2
    assert "-0.4110" in row
    assert "inf" not in text
    assert "nan" not in text


def test_latex_is_booktabs_with_escaped_names(tmp_path: Path) -> None:
    text = render(table(folder_of(tmp_path, spread(1e-3), task="a_task"), "size"), "latex", columns=["task", "value"])
    assert r"\toprule" in text
    assert r"a\_task" in text
    assert re.search(r"\\num\{-0\.41\d+\(\d\d\)\}", text)  # siunitx: the uncertainty in units of the last places
    assert "±" not in text.split(r"\end{tabular}")[0]


def test_latex_fits_a_page(folder: Path) -> None:
    head = render(table(folder, "size"), "latex").split(r"\midrule")[0].splitlines()[-1]
    assert head == r"network & shape & $\ln Z$ & exact & error \\"  # one task, one s, one t: not in every row


def test_columns_are_chosen_by_their_headings(folder: Path) -> None:
    cases = table(folder, "size")
    columns = [column(name) for name in ("network", "error", "cpu_s")]
    assert columns == ["architecture", "error", "cpu_s"]
    assert [cell.strip() for cell in render(cases, "md", columns=columns).splitlines()[0].split("|")[1:-1]] == [
        "network", "error", "CPU (s)",
    ]  # fmt: skip
    assert list(pd.read_csv(io.StringIO(render(cases, "csv", columns=columns)))) == [
        "task", "shape", "s", "t", "architecture", "tracker", "error", "error_se", "cpu_s", "cpu_s_se",
    ]  # fmt: skip
    with pytest.raises(InputError, match="did you mean 'error'"):
        column("eror")


@pytest.mark.parametrize("form", ["md", "latex"])
def test_networks_side_by_side(folder: Path, form: str) -> None:
    cases = table(folder, "size")
    text = render(cases, form, across="architecture", columns=["error"])
    lines = [re.split(r"[|&]", line) for line in text.splitlines() if re.match(r"\|? ?(shape|[468]) ", line)]
    cells = [[cell.strip(" \\") for cell in line if cell.strip(" \\")] for line in lines]
    assert cells[0] == ["shape", "gru", "made"]
    for shape, *errors in cells[1:]:
        of = cases[cases["shape"] == shape].set_index("architecture")
        for name, shown in zip(["gru", "made"] if len(errors) == 2 else ["made"], errors):
            mantissa = re.search(r"(\d\.\d+)(?:\(\d+\))?e(-?\d+)", shown)
            assert mantissa
            assert float(f"{mantissa[1]}e{mantissa[2]}") == pytest.approx(of.error[name], rel=5e-3)
    with pytest.raises(InputError, match="what is measured"):
        render(cases, form, across="architecture", columns=["shape"])


def test_zero_reference_shows_the_error_per_site_instead(tmp_path: Path) -> None:
    text = render(table(folder_of(tmp_path, spread(1e-3), s=0.0), "size"), "md")
    assert "error/site" in text
    assert "passes zero" in text
    assert "–" in text


def test_two_declarations_of_one_task_are_told_apart(tmp_path: Path) -> None:
    folder_of(tmp_path, lengths=(4,))
    folder_of(tmp_path, lengths=(6,), version=2)
    names = set(table(tmp_path, "size").task)
    assert len(names) == 2
    assert all(name.startswith("example@") for name in names)


def test_every_table_is_written(folder: Path) -> None:
    written = write_tables(folder)
    assert len(written) == len(AXES) * 3
    assert all(path.stat().st_size > 50 for path in written)


def test_the_growth_with_size_stands_below_the_table(folder: Path) -> None:
    """The total is 0.01 + 0.001 of ln Z on every size, relative to 0.1 N: it falls as 1/N."""
    found = table(folder, "size")
    text = render(found, "md", growth_of(folder, found))
    assert re.search(r"example, made, s = 0.1, t = 1: error ∝ N\^-1.0\d, 95 %: -1\S* to -0.\d+", text)
    assert "example, gru" not in text  # two sizes have no law


def test_trackers_of_one_question_stand_together(folder: Path) -> None:
    for path in folder_of(folder / "b", spread(1e-4), lengths=(4,), task="another").rglob("*.json"):
        record = of_task(Record.load(path), tracker="tdvp")
        record.save(folder / "records" / "another" / path.name)
    found = table(folder, "tracker")
    assert list(found[found["shape"] == "4"].tracker) == ["kl", "kl", "tdvp"]
    assert "| tdvp" in render(found, "md")
    assert "| kl" not in render(table(folder_of(folder / "c")), "md")  # a column of one value says nothing


def test_rows_are_linked_to_their_records(folder: Path) -> None:
    write_tables(folder)
    text = (folder / "tables" / "ln_Z_by_size.md").read_text()
    links = re.findall(r"\[json\]\((.*?)\)", text)
    assert len(links) == 5
    assert all((folder / "tables" / link).exists() for link in links)


def test_references_are_not_taken_for_records(tmp_path: Path) -> None:
    write_json(tmp_path / "references" / "a.json", {"continuous": None})
    write_json(tmp_path / "suite.json", {"name": "x"})
    with pytest.raises(InputError, match="holds no records"):
        table(tmp_path)


def test_a_two_point_function_has_a_column_of_distances(folder: Path) -> None:
    found = table(with_correlations(folder), "size", "correlation_zz")
    assert list(found.distance) == [1, 2] * 5
    text = render(found, "md", growth_of(folder, found))
    assert "distance" in text.splitlines()[0]
    assert "∝" not in text  # no law of an average over distances
    assert "distance" not in render(table(folder), "md").splitlines()[0]
    assert not any("correlation" in path.name for path in write_tables(folder))


def test_unknown_names(folder: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'size'"):
        table(folder, "sise")
    with pytest.raises(InputError, match="unknown quantity"):
        table(folder, "size", "energy")
    with pytest.raises(InputError, match="unknown format"):
        render(table(folder), "html")


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (-0.619497, 0.00012, "-0.61950 ± 0.00012"),
        (12.3, 4.5, "12.3 ± 4.5"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (1234.5, 99.0, "1234 ± 99"),
        (0.5, float("nan"), "0.5"),
        (float("nan"), 0.1, "–"),
    ],
)
def test_error_has_two_digits(value: float, stderr: float, text: str) -> None:
    assert with_error(value, stderr) == text


@given(st.floats(), st.floats())
@example(0.0, 1.75e308)  # rounds to 1.8e308, which no float is
def test_no_cell_is_infinite(value: float, stderr: float) -> None:
    for text in (with_error(value, stderr), scientific(value, stderr)):
        assert "nan" not in text
        assert "inf" not in text
