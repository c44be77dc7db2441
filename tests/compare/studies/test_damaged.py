"""Study pages from records and tables that somebody damaged: the page, or one sentence that names the file."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path

import pytest
from command_line import run
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from study_records import CONTENT, RECORDS, told

pytestmark = pytest.mark.usefixtures("undrawn")


ROOT = Path(__file__).parents[3]


def check(code: int, err: str) -> None:
    assert code in (0, 2), err
    if code == 2:
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        assert "a.json" in line or "in'" in line, line


@pytest.mark.slow  # figures
def test_the_records_make_their_pages(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, content in CONTENT.items():
        code, err = told(tmp_path, name, json.dumps(content), capsys)
        assert code == 0, (name, err)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_does_not_fit_is_named(tmp_path: Path, capsys: pytest.CaptureFixture, name: str) -> None:
    content = copy.deepcopy(CONTENT[name])
    for table in ("rows", "errors"):
        for column in content[table].values():
            del column[::2]
    content["errors"].pop("total", None)
    content["run"]["task"]["name"] = content["system"] = "another"
    code, err = told(tmp_path, name, json.dumps(content), capsys)
    assert code == 2 or name in ("voter", "luo2022", "protocol"), name  # of their own, any row will do
    check(code, err)


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(list(RECORDS)))
def test_no_record_breaks_a_page(tmp_path_factory, capsys, data: st.DataObject, name: str) -> None:
    check(*told(tmp_path_factory.getbasetemp() / "page", name, data.draw(damaged(CONTENT[name])), capsys))


@pytest.mark.parametrize("damage", ["cut", "empty", "heading", "words", "pipe", "other"])
@pytest.mark.parametrize("name", ["claims.csv", "models.csv", "training.csv", "machine.csv", "record.json"])
def test_a_damaged_file_of_latent_cycles_is_named(tmp_path: Path, capsys, name: str, damage: str) -> None:
    study = tmp_path / "all" / "digits-softmax"
    shutil.copytree(ROOT / "results" / "baiesi2025" / "digits-softmax", study)
    text = (study / name).read_text()
    (study / name).unlink()
    if damage == "pipe":
        os.mkfifo(study / name)
    else:
        first = text.splitlines()[0]
        texts = {"cut": text[: len(first) // 2], "empty": "", "heading": f"{first}\n", "other": "{}"}
        texts["words"] = texts["heading"] + ",".join(["x"] * 30)
        (study / name).write_text(texts[damage])
    assert run("study", "baiesi2025", "overview", tmp_path / "all") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
    assert not (tmp_path / "all" / "README.md").exists()


@pytest.mark.parametrize("name", RECORDS)
def test_pages_in_a_folder_without_the_stored_results(tmp_path: Path, monkeypatch, capsys, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    code, err = told(tmp_path / "a", name, json.dumps(CONTENT[name]), capsys)
    assert code == (2 if name == "critical" else 0), err


def test_a_folder_without_studies_keeps_its_readme(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "README.md").write_text("mine")
    assert run("study", "baiesi2025", "overview", tmp_path) == 2
    assert "holds no studies" in capsys.readouterr().err
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_damaged_standing_table_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for text in ("", "task\n", "\0", "task,shape\n1,2\n"):
        (tmp_path / "runs.csv").write_text(text)
        assert run("standing", "page", "--folder", tmp_path) == 2
        assert "runs.csv" in capsys.readouterr().err
