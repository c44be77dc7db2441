"""The tutorials run in an empty folder, as a newcomer's would; what they claim they assert themselves."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.py"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")


def test_every_page_and_tutorial_is_in_the_index_and_links_lead_somewhere() -> None:
    index = (DOCS / "index.md").read_text()
    for path in [*DOCS.glob("*.md"), *TUTORIALS]:
        assert path == DOCS / "index.md" or str(path.relative_to(DOCS)) in index, path
    for page in DOCS.glob("*.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (DOCS / target).exists(), f"{page.name}: {target}"
