"""Text of strangers in whole pages of studies: every page has the elements that it has of plain text, and no more."""

from __future__ import annotations

import copy
import csv
import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from study_records import CONTENT, RECORDS, told

from vanbench.compare.show.escape import FORMULA

pytestmark = pytest.mark.usefixtures("undrawn")

PLAIN = "another"
EVIL = "a|b\n\\input{evil}\r<img src=x onerror=e>\x1b[31m\u202e[x](javascript:y) $\\frac$ `c` {{ 7*7 }} <script>"
EVILS = [
    *(EVIL, "=cmd|' /C calc'!A0", "\t@x", "# heading\n\n- item", "]]>--><b>&#60;i>", "x" * 15_000),
    "\u2066\u200b\x00\x7f",
]
UNSEEN = set("\x1b\u202e\u2066\u200b\x00\x7f\r\t")


def written(content: dict, text: str) -> dict:
    """A record that holds the text wherever somebody's text may stand."""
    held = copy.deepcopy(content)
    rows = len(held["errors"]["value"])
    held["run"]["architecture"] = {"name": text, "options": {"width": 8, "of": text}}
    held["run"]["task"]["description"] = text
    held["errors"] |= {"note": [text] * rows, "source": [text] * rows}
    held["warnings"] = [{"kind": text, "text": text, "quantity": text}]
    held["estimator"] = text
    held["diagnostics"] |= {"device": text}
    held["provenance"] |= {"commit": text, "code": text, "host": text, "versions": {"torch": text, text: "1"}}
    return held


class Elements(HTMLParser):
    """How many of each element a page has, with the names of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter = Counter()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen[tag, *sorted(name for name, _ in attrs)] += 1


def elements(path: Path) -> Counter:
    """What a file is made of, besides text."""
    text = path.read_text()
    if path.suffix == ".html":
        page = Elements()
        page.feed(text)
        return page.seen
    if path.suffix == ".md":
        parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
        tokens = parser.parse(text)
        return Counter(t.type for token in tokens for t in (token, *(token.children or [])) if t.type != "text")
    if path.suffix == ".csv":
        lines = list(csv.reader(text.splitlines()))
        assert not [cell for line in lines for cell in line if cell.startswith(FORMULA) and not _number(cell)], path
        return Counter(map(len, lines))
    return Counter()


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def files(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.glob("out/*") if path.suffix in (".md", ".csv", ".html")}


@pytest.mark.parametrize("name", [name for name in RECORDS if name != "critical"])  # which reads what `phases` does
def test_a_page_of_evil_text(tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    made = []
    for text in (PLAIN, EVIL):
        code, err = told(tmp_path / str(len(text)), name, json.dumps(written(CONTENT[name], text)), capsys)
        assert code in (0, 2), err
        assert not set(err) & UNSEEN
        made.append({path: elements(where) for path, where in files(tmp_path / str(len(text))).items()})
        for where in files(tmp_path / str(len(text))).values():
            assert not set(where.read_text()) & UNSEEN, where
    assert made[0], err
    assert made[1] == made[0]


@pytest.mark.slow
@pytest.mark.parametrize("text", EVILS)
@pytest.mark.parametrize("name", RECORDS)
def test_every_page_of_every_evil_text(tmp_path: Path, capsys: pytest.CaptureFixture, name: str, text: str) -> None:
    code, err = told(tmp_path / "e", name, json.dumps(written(CONTENT[name], text)), capsys)
    assert code in (0, 2), err
    assert not set(err) & UNSEEN
    for where in files(tmp_path / "e").values():
        elements(where)
        assert not set(where.read_text()) & UNSEEN, where
