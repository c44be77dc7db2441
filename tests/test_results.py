"""The tables in results/ are generated: none is typed, and none is older than what it tabulates."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vanbench.compare.show.stale import kept_tables, outdated_tasks, rendered
from vanbench.compare.studies.baiesi2025.overview import overview

RESULTS = Path(__file__).parents[1] / "results"
TABLES = list(kept_tables(RESULTS))


def test_there_are_tables() -> None:
    assert TABLES


@pytest.mark.parametrize("csv", TABLES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_table_is_what_its_numbers_give(csv: Path) -> None:
    assert csv.with_suffix(".md").read_text() == rendered(csv), "stale: python -m vanbench.compare.show.stale results"


@pytest.mark.parametrize("csv", TABLES, ids=lambda path: str(path.relative_to(RESULTS)))
def test_a_table_answers_the_questions_of_today(csv: Path) -> None:
    assert not outdated_tasks(csv), "the suite changed: run it again and copy its tables"


def test_another_declaration_is_seen(tmp_path: Path) -> None:
    csv = tmp_path / TABLES[0].parent.name / TABLES[0].name
    csv.parent.mkdir()
    csv.write_text(TABLES[0].read_text())
    assert not outdated_tasks(csv)
    hashes = set(pd.read_csv(csv).task_hash)
    csv.write_text(TABLES[0].read_text().replace(str(hashes.pop()), "0123456789abcdef"))
    assert outdated_tasks(csv)


def test_the_overview_of_latent_cycles_is_what_its_studies_give() -> None:
    folder = RESULTS / "baiesi2025"
    page = (folder / "README.md").read_text()
    assert page == overview(folder), "stale: vanbench study baiesi2025 overview results/baiesi2025"
    assert "does not hold on mnist-softmax" in page  # 8 of its 36 models have a self-transition above 1/S
