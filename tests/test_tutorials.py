"""The tutorials run in an empty folder, as a newcomer's would; what they claim they assert themselves."""

from __future__ import annotations

import ast
import json
import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
MAKER = runpy.run_path(str(DOCS / "tutorials" / "notebooks.py"))
TUTORIALS = MAKER["tutorials"]()


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_its_notebook_is_the_same(path: Path) -> None:
    """After a change: ``make notebooks``. All the code that a tutorial runs stands in the cells, and nothing else."""
    text = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert text == MAKER["notebook"](path.read_text(encoding="utf-8"))
    held = json.loads(text)
    assert (held["nbformat"], held["nbformat_minor"]) == (4, 5)
    cells = [("".join(cell["source"]), cell["cell_type"]) for cell in held["cells"]]
    assert cells[0][1] == "markdown"
    assert cells[0][0].startswith("# ")
    code = ast.parse("\n".join(source for source, kind in cells if kind == "code"))
    script = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.dump(code) == ast.dump(ast.Module(script.body[1:], []))
    assert not any(source.startswith("#") and kind == "code" for source, kind in cells[1:]), "text is Markdown"


def test_every_page_and_tutorial_is_in_the_index_and_links_lead_somewhere() -> None:
    index = (DOCS / "index.md").read_text()
    for path in [*DOCS.glob("*.md"), *TUTORIALS]:
        assert path == DOCS / "index.md" or str(path.relative_to(DOCS)) in index, path
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (DOCS / target).exists(), f"{page.name}: {target}"
