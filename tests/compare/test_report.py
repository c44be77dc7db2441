"""The report: it stands alone, shows the records' numbers, escapes what is not its own, refuses what it cannot read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_records import EULER_SHIFT, EXACT, example, folder_of, spread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vanbench.compare.declare.columns import columns
from vanbench.compare.declare.task import Architecture
from vanbench.compare.judge.collect import collect, last_times, summarise
from vanbench.compare.run.record import Record
from vanbench.compare.show.report.figures import curve, over_size, task_panels, worst_field
from vanbench.compare.show.report.page import write_report
from vanbench.compare.show.report.profiles import profiles
from vanbench.compare.show.report.svg import ROLES, style
from vanbench.compare.show.report.tables import error_table
from vanbench.exact import InputError
from vanbench.exact.files import write_json

VOID = {"meta", "link", "br", "input", "hr", "img"}


class Page(HTMLParser):
    """Elements, addresses, ids and text of a page; raises where an element is closed that is not open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.source = path.read_text()
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks; the second is three times worse at its largest size."""
    path = tmp_path_factory.mktemp("run")
    folder_of(path, spread(1e-3), lengths=(4, 6, 8))
    return folder_of(path, spread(3e-3), lengths=(4, 6), architecture="gru")


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(write_report(folder))


def summary_of(folder: Path) -> pd.DataFrame:
    return summarise(collect(folder))


def test_page_needs_no_network(page: Page, folder: Path) -> None:
    """Every address is inside the page, or a record beside it; nothing is loaded from elsewhere."""
    assert "script" in page.tags
    for address in page.addresses:
        inside = address.startswith("#") and address[1:] in page.ids
        assert inside or address.startswith("data:") or (folder / address).is_file(), address
    assert not re.search(r"url\((?!#)|@import|fetch\(|XMLHttpRequest", page.source)
    assert len([a for a in page.addresses if a.endswith(".json")]) >= 15  # one link a record


def test_ids_are_unique_across_figures(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))


def test_figures_follow_the_colours_of_the_page(page: Page) -> None:
    figures = re.findall(r"<svg.*?</svg>", page.source, re.DOTALL)
    assert len(figures) >= 8
    for svg in figures:
        ElementTree.fromstring(svg)  # well formed
        assert "var(--ink)" in svg
        assert not any(stand_in in svg for stand_in in ROLES)
    assert "prefers-color-scheme: dark" in page.source


def test_cells_are_the_summary(page: Page, folder: Path) -> None:
    heads = next(row for row in page.rows if {"shape", "discretisation", "t"} <= set(row))
    place = {name: heads.index(name) for name in ("network", "shape", "t", "error")}  # ln_Z is their one quantity
    shown = {}
    for row in page.rows:
        if len(row) == len(heads) and row[place["t"]] == "1":
            shown[row[place["network"]], row[place["shape"]]] = float(row[place["error"]].split(" ± ")[0])
    summary = summary_of(folder)
    for row in summary[(summary.quantity == "ln_Z") & (summary.t == 1.0)].itertuples():
        assert shown.pop((row.architecture, row.shape)) == pytest.approx(row.error, rel=5e-3)  # three digits
    assert not shown


def _one(record: Record, folder: Path) -> pd.DataFrame:
    record.save(folder / "records" / "a.json")
    return summary_of(folder)


def test_curves_are_the_references(folder: Path) -> None:
    rows = summary_of(folder).query("shape == '6' and quantity == 'ln_Z'")
    with style():
        _, figure, _ = curve(rows, ["gru", "made"], "ln_Z", "6")
    exact, stepped = figure.axes[0].lines[:2]
    np.testing.assert_allclose(exact.get_ydata(), [EXACT[6] * t / 6 for t in (0.5, 1.0)])
    np.testing.assert_allclose(stepped.get_ydata(), [(EXACT[6] + EULER_SHIFT) * t / 6 for t in (0.5, 1.0)])
    assert len(figure.axes[0].containers) == 2  # one a network


def test_growth_law_is_drawn_and_told(folder: Path) -> None:
    rows = last_times(summary_of(folder).query("quantity == 'ln_Z'"))
    with style():
        _, figure, caption = over_size(rows, ["gru", "made"], "ln_Z", "t = 1")
    assert "made: error ∝ N^" in caption
    assert "gru" not in caption  # two sizes
    assert [line.get_linestyle() for line in figure.axes[0].lines].count(":") == 1


def _with_sites(record: Record) -> Record:
    frame = record.frame("errors")
    sites = [
        {"quantity": "density_profile", "s": 0.1, "t": 1.0, "site": k, "value": 0.1 * k, "exact": 0.1 * k + 0.01}
        for k in range(record.n_sites)
    ]
    record.errors = columns(pd.concat([frame, pd.DataFrame(sites)], ignore_index=True))
    return record


@pytest.mark.parametrize(("shape", "panels"), [([4], 1), ([2, 2], 2)])
def test_profiles_stand_beside_the_exact_ones(tmp_path: Path, shape: list[int], panels: int) -> None:
    record = _with_sites(example())
    record.run = record.run.model_copy(update={"shape": tuple(shape)})
    rows = _one(record, tmp_path).query("quantity == 'density_profile'")
    with style():
        found = list(profiles(rows, ["made"]))
    assert len(found) == panels
    if panels == 1:
        np.testing.assert_allclose(found[0][1].axes[0].lines[0].get_ydata(), 0.1 * np.arange(4) + 0.01)
    else:  # the exact map, and network minus exact
        np.testing.assert_allclose(found[0][1].axes[0].collections[0].get_array().ravel(), 0.1 * np.arange(4) + 0.01)
        np.testing.assert_allclose(found[1][1].axes[0].collections[0].get_array().ravel(), -0.01)


def test_a_pinned_site_does_not_take_the_colour_scale(tmp_path: Path) -> None:
    record = _with_sites(example())
    record.run = record.run.model_copy(update={"shape": (2, 2)})
    sites = [k for k, q in enumerate(record.errors["quantity"]) if q == "density_profile"]
    for k in sites:
        record.errors["exact"][k] = 1.0 if k == sites[0] else 0.5 + 0.01 * k
    with style():
        _, figure, caption = next(
            iter(profiles(_one(record, tmp_path).query("quantity == 'density_profile'"), ["made"]))
        )
    low, high = figure.axes[0].collections[0].get_clim()
    assert high - low == pytest.approx(0.02)
    assert "off the scale" in caption


def test_error_map_over_s_and_t(tmp_path: Path) -> None:
    for s in (0.1, 0.0):
        folder_of(tmp_path / f"{s}", spread(1e-3), lengths=(4,), s=s)
    both = pd.concat([summary_of(tmp_path / "0.1"), summary_of(tmp_path / "0.0")], ignore_index=True)
    titles = [panel.title for panel in task_panels(both, ["made"], "f")]
    assert "Error map: made" in titles
    assert worst_field(both) == 0.1  # at s = 0 the error is per site alone


@pytest.mark.usefixtures("undrawn")
def test_two_declarations_of_one_task_are_two_sections(tmp_path: Path) -> None:
    folder_of(tmp_path, lengths=(4,))
    folder_of(tmp_path, lengths=(6,), version=2)
    headings = re.findall(r"<h2>(example@\w{6})</h2>", write_report(tmp_path).read_text())
    assert len(set(headings)) == 2


def test_names_are_text_and_nothing_else(tmp_path: Path) -> None:
    evil = '<script>alert("1")</script> $\\frac{1}$ & </svg>'
    record = example()
    record.run = record.run.model_copy(update={"architecture": Architecture(name=evil)})
    record.errors["note"] = [evil, evil]
    record.params = {"c": evil}
    record.provenance = {"commit": evil, "device": evil, "versions": {evil: evil}}
    record.save(tmp_path / "records" / "a.json")
    page = Page(write_report(tmp_path))
    assert page.source.count("<script>") == 1  # its own
    assert any(evil in row for row in page.rows)


@pytest.mark.usefixtures("undrawn")
def test_page_can_stand_elsewhere(folder: Path, tmp_path: Path) -> None:
    page = Page(write_report(folder, tmp_path / "page.html"))
    files = [address for address in page.addresses if address.endswith(".json")]
    assert files
    assert all((tmp_path / address).is_file() for address in files)
    with pytest.raises(InputError, match="cannot be written"):
        write_report(folder, tmp_path / "nowhere" / "page.html")


def test_same_records_same_page(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, spread(1e-3), lengths=(4,))
    one, other = (write_report(folder, tmp_path / f"{name}.html").read_text() for name in "ab")
    assert one == other


def test_what_all_rows_share_is_said_once(folder: Path, page: Page) -> None:
    """At the last time there is one t; the tracker, s and task are one each. What is measured stays a column."""
    table = error_table(last_times(summary_of(folder)))
    assert {"task", "tracker", "s", "t"} <= dict(table.shared).keys()
    assert dict(table.shared)["t"] == "1"
    assert not {"task", "tracker", "s", "t"} & set(table.headings)
    assert {"network", "shape", "error", "discretisation"} <= set(table.headings)
    one = error_table(last_times(summary_of(folder)).head(1))
    assert not one.shared
    assert "t" in one.headings


def test_a_column_of_nothing_is_left_out(folder: Path) -> None:
    table = error_table(last_times(summary_of(folder)))
    assert "site" not in table.headings
    assert {len(row) for row in table.rows} == {len(table.headings)}


def _refusal(folder: Path) -> str:
    with pytest.raises(InputError) as error:
        write_report(folder)
    text = str(error.value)
    assert "\n" not in text
    assert not (folder / "report.html").exists()
    return text


def test_folders_without_records(tmp_path: Path) -> None:
    assert "holds no records" in _refusal(tmp_path)
    assert "not a folder" in _refusal(tmp_path / "nowhere")
    (tmp_path / "a.json").write_text('{"schema_version": 1, "task"')
    assert "truncated" in _refusal(tmp_path)


changes = st.sampled_from(["quantity", "s", "t", "value", "exact", "note", "error", "ess"])
items = st.none() | st.text(max_size=3) | st.floats(-1e3, 1e3) | st.integers(-5, 5)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # each draws figures
@given(st.sampled_from(["errors", "log", "distances"]), changes, st.none() | st.lists(items, min_size=2, max_size=2))
def test_damaged_tables_are_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, table: str, name: str, new: list | None
) -> None:
    """A page, or one sentence that names the record: nothing else, whatever a column was replaced by."""
    folder = tmp_path_factory.mktemp("damaged")
    content = json.loads(example().model_dump_json())
    if new is None:
        content[table].pop(name, None)
    elif not content[table] or len(next(iter(content[table].values()))) == 2:
        content[table][name] = new
    write_json(folder / "records" / "a.json", content)
    said = ""
    try:
        write_report(folder)
    except InputError as error:
        said = str(error)
    assert (folder / "report.html").is_file() or "a.json" in said
    assert "\n" not in said


@pytest.mark.parametrize("shape", [[], [0], [-2, 3]])
def test_impossible_shape(tmp_path: Path, shape: list[int]) -> None:
    content = json.loads(example().model_dump_json())
    write_json(tmp_path / "records" / "a.json", {**content, "shape": shape})
    assert "shape" in _refusal(tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vanbench.compare.cli import main

    out = tmp_path / "page.html"
    with pytest.raises(SystemExit) as done:
        main(["report", str(folder), "--out", str(out)])
    assert done.value.code in (0, None)
    assert out.is_file()
    assert str(out) in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["report", str(tmp_path / "nowhere")])
    assert done.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


PROBE = """<script>
const sheet = document.querySelector("#errors details .sheet"), rows = () => [...sheet.querySelectorAll("tbody tr")];
const column = [...sheet.querySelectorAll("th")].findIndex(h => h.textContent.trim() === "error");
const keys = () => rows().map(r => Number(r.cells[column].dataset.k));
const button = sheet.querySelectorAll("th button")[column];
button.click(); const up = keys(); button.click(); const down = keys();
const words = sheet.querySelector("input[type=search]"); words.value = "gru"; words.dispatchEvent(new Event("input"));
const left = rows().filter(r => !r.hidden).length;
document.title = JSON.stringify({up, down, left, wide: document.documentElement.scrollWidth, room: innerWidth});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser(folder: Path, tmp_path: Path, width: int) -> None:
    """Tables sort by number, both ways, and filter; the page is never wider than the window."""
    path = tmp_path / "probe.html"
    path.write_text(write_report(folder, tmp_path / "page.html").read_text().replace("</body>", f"{PROBE}</body>"))
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900", "--dump-dom"]
    done = subprocess.run(["chromium", *options, path.as_uri()], capture_output=True, text=True)
    found = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert found, done.stderr
    told = json.loads(found[1])
    assert told["up"] == sorted(told["up"])
    assert told["down"] == told["up"][::-1]
    assert told["left"] == 4  # two sizes, two times
    assert told["wide"] <= told["room"]
