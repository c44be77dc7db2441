"""Text of strangers: what it is in a terminal, Markdown, LaTeX, CSV, a figure."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from command_line import run
from example_records import example, of_task
from hypothesis import given
from hypothesis import strategies as st

from vanbench.compare.declare.task import Architecture
from vanbench.compare.run.claims import fail
from vanbench.compare.run.record import FOLDER
from vanbench.compare.show import latex
from vanbench.compare.show.escape import address, csv, file_name, label, markdown, markdown_cell, printable
from vanbench.compare.show.figures import write_plots
from vanbench.exact.files import write_json
from vanbench.exact.warning import RunWarning

EVIL = "a|b\n\\input{evil}\r<img src=x onerror=e>\x1b[31m\u202e[x](javascript:y) $\\frac$ `c"


@given(st.text())
def test_one_printable_line(text: str) -> None:
    line = printable(text)
    assert (
        line.isprintable()
        or not line.replace("\u3000", " ").replace("\xa0", " ").strip()
        or not set(line) & set("\n\r\x1b")
    )
    assert not set(line) & set("\n\r\t\x1b\x9b\u202a\u202b\u202e\u2066\u2067\u2028\u2029\x85\x00")
    assert printable(line) == line


@given(st.text())
def test_a_comment_of_latex_ends_where_its_line_does(text: str) -> None:
    escaped = latex.escape(text)
    assert len(escaped.splitlines()) <= 1
    for special in "&%$#_":
        assert escaped.count(special) == escaped.count("\\" + special)


@given(st.text(alphabet="a|<>[]()`!:/\\\n "))
def test_a_cell_of_markdown_stays_one(text: str) -> None:
    cell = markdown_cell(text)
    assert "\n" not in cell
    assert all(cell[k - 1] == "\\" for k, c in enumerate(cell) if c == "|")
    for start in ("](", "<a", "<!", "</"):
        assert all(cell[k - 1 : k] == "\\" for k in range(len(cell)) if cell.startswith(start, k))


@given(st.text(alphabet="a|<>[]()`!:/\\\n #-*_~img="))
def test_markdown_shows_what_the_text_says(text: str) -> None:
    check_markdown(text)


ADDRESSES = [
    "http://evil.com",
    "HTTPS://evil.com/a_b*c*",
    "ftp://e.org",
    "www.evil.com",
    "a.b+c@evil.com",
    "mailto:a@b.c",
]
ADDRESSES += [
    "<http://evil.com>",
    "[x](http://evil.com)",
    "http&colon;//evil.com",
    "www&#46;evil.com",
    "a&commat;b.org",
]
ADDRESSES += [
    "a`b`http://e.com`c`|d",
    "http://e.com\\|http://e.com\\",
    "(www.evil.com)",
    "~www.e.com~",
    "http:\\//evil.com",
]


@pytest.mark.parametrize("text", [*ADDRESSES, " ".join(ADDRESSES), "|".join(ADDRESSES), "`".join(ADDRESSES)])
def test_no_address_becomes_a_link(text: str) -> None:
    check_markdown(text)
    assert "code_inline" not in check_markdown("my_net.py:Net of a@b, w/ width=3: 50 % & more, www, http")


# what GitHub makes links of after its parser, in the text of a page's elements but code and links
LITERAL = re.compile(r"(https?|ftp)://\w|www\.\w|[\w.+-]@[\w-]+\.\w|(mailto|xmpp):\w", re.IGNORECASE)


def check_markdown(text: str) -> set[str]:
    """By a parser of somebody else: one table of one cell beside another, and no HTML, link or code, but of what would
    be a link."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable(["table", "strikethrough"])
    page = parser.parse(f"| a | b |\n|---|---|\n| {markdown_cell(text)} | end |\n\n{markdown(text)}\n")
    inside = [child for token in page for child in token.children or []]
    kinds = {token.type for token in [*page, *inside]}
    assert not kinds & {"html_inline", "html_block", "link_open", "image", "heading_open"}
    assert "code_inline" not in kinds or LITERAL.search(text)
    for token in page:
        shown = "".join(child.content if child.type.startswith("text") else "\n" for child in token.children or [])
        assert not LITERAL.search(shown)
    assert not kinds & {"em_open", "strong_open", "s_open"}
    assert not kinds & {"blockquote_open", "bullet_list_open", "hr", "fence"}
    assert [token.content for token in page if token.type == "inline"][3:4] == ["end"]
    assert len([token for token in page if token.type == "td_open"]) == 2
    return kinds


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-cmd", "@sum", "\tx", "\r=x", "  =x", "\n@x", "\uff1dx"])
def test_no_spreadsheet_takes_text_for_a_formula(text: str) -> None:
    frame = pd.DataFrame({"name": [text, "plain"], "value": [-1.5, 2.0]})
    back = pd.read_csv(io.StringIO(csv(frame)))
    assert back.name.iloc[0].startswith("'")
    assert back.name.iloc[1] == "plain"
    assert list(back.value) == [-1.5, 2.0]


def test_addresses_and_names_of_files() -> None:
    assert address("my runs/a(b).json") == "my%20runs/a%28b%29.json"
    assert "/" not in file_name("../../evil")
    assert file_name("ln_Z:loss") == "ln_Z:loss"
    assert len(label("x" * 1000)) == 60
    assert label("$\\frac$") == "\\$\\frac\\$"


def test_a_record_with_evil_text_everywhere(tmp_path, capsys: pytest.CaptureFixture) -> None:
    for replica in range(3):
        record = example(replica=replica)
        record.run = record.run.model_copy(update={"architecture": Architecture(name=EVIL)})
        record = of_task(record, tracker=EVIL, description=EVIL)
        record.errors["note"] = [EVIL] * len(record.errors["value"])
        record.warnings = [RunWarning("kind", EVIL)]
        record.system = record.estimator = EVIL
        record.save(tmp_path / "my runs" / FOLDER / "example" / f"{replica}.json")
    for form in ("md", "latex", "csv"):
        assert run("table", tmp_path / "my runs", "--format", form) == 0
        told = capsys.readouterr().out
        assert not set(told) & set("\x1b\u202e\r")
        lines = told.splitlines()
        if form == "latex":
            begin, end = lines.index(next(line for line in lines if "begin{tabular}" in line)), len(lines)
            assert not any(line.lstrip().startswith("\\input") for line in lines[begin:end])
            assert "\\input{" not in told.split("\\end{tabular}")[0]
        if form == "md":
            table = [line for line in lines if line.startswith("|")]
            assert len({line.replace("\\|", "").count("|") for line in table}) == 1
            assert "<img" not in told.replace("\\<img", "")
            assert "my%20runs/records" in told
    assert run("report", tmp_path / "my runs") == 0
    page = (tmp_path / "my runs" / "report.html").read_text()
    assert "<img" not in page
    assert not set(page) & set("\x1b\u202e")


def evil_run(folder: Path) -> Path:
    """A run folder whose records, declarations, claims and provenance hold the text wherever they hold text."""
    for replica in range(2):
        record = example(replica=replica)
        record.run = record.run.model_copy(update={"architecture": Architecture(name=EVIL)})
        record = of_task(record, tracker=EVIL, description=EVIL)
        record.errors["note"] = [EVIL] * len(record.errors["value"])
        record.warnings = [RunWarning(EVIL, EVIL)]
        record.system = record.estimator = EVIL
        record.diagnostics |= {"device": EVIL, "tracker_reason": EVIL}
        machine = {"host": EVIL, "cpu": EVIL, "versions": {"torch": EVIL, EVIL: "1"}, "sources": {EVIL: EVIL}}
        record.provenance |= {"commit": EVIL, "code": EVIL, "device": EVIL, **machine}
        record.save(folder / FOLDER / "example" / f"{replica}.json")
    declared = record.task.model_copy(update={"seeds": 5, "architectures": [Architecture(name=EVIL)]})
    write_json(folder / "suite.json", {"name": EVIL, "tasks": [declared.model_dump(mode="json")]})
    for replica in (2, 3):
        wanted = record.run.model_copy(update={"replica": replica, "task": declared})
        fail(folder / FOLDER / "example" / f"{replica}.json", wanted.label, EVIL)
    return folder


def test_evil_text_in_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = evil_run(tmp_path / "run")
    commands = (["status", folder], ["table", folder], ["goals", folder], ["gate", folder, "--write", tmp_path / "b"])
    for command in (*commands, ["gate", folder, "--baseline", tmp_path / "b"], ["report", folder]):
        assert run(*command) in (0, 3, 5), command
        told = capsys.readouterr()
        for text in (told.out, told.err):
            assert not set(text) & set("\x1b\u202e\r"), command
    page = (folder / "report.html").read_text()
    assert not set(page) & set("\x1b\u202e")
    for tag in ("<img", "<input", "javascript:y)<"):
        assert tag not in page.replace("&lt;", "")


def test_evil_text_in_figures(tmp_path: Path) -> None:
    """Drawn as it is: matplotlib would take an odd ``$`` for mathematics, and fail on what is none."""
    folder = evil_run(tmp_path / "run")
    for path in write_plots(folder, ["svg"]):
        text = path.read_text()
        assert not set(text) & set("\x1b\u202e")
    assert len(list((folder / "plots").glob("*.svg"))) == 2
