"""Study pages from records and tables that somebody damaged: the page, or one sentence that names the file."""

from __future__ import annotations

import copy
import itertools
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import run
from damage import damaged
from example_records import example
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vanbench.compare.declare.columns import columns
from vanbench.compare.declare.task import load_suite
from vanbench.compare.run.record import FOLDER, Record
from vanbench.compare.show import canvas

ROOT = Path(__file__).parents[3]
TIMES = [1.0, 2.0, 5.0, 10.0]


def record(
    name: str, quantities: list[str], s: list[float], system: str = "east", shape: tuple[int, ...] = (4,), **task: Any
) -> Record:
    """A run of ``shape`` with smooth values of ``quantities``, those of profiles at each site, and their errors."""
    changes = {"system": system, "times": TIMES, "quantities": [q for q in quantities if ":" not in q], **task}
    held = example(task=name, **changes)
    asked = held.task.model_copy(update={"s": s, "params": task.get("params", {})})
    held.run = held.run.model_copy(update={"task": asked, "shape": shape})
    held.system, held.params = system, {**task.get("params", {}), "c": 0.5}
    rows = []
    for quantity, field, t in itertools.product(quantities, s, TIMES):
        for site in range(math.prod(shape)) if quantity.endswith("profile") else [None]:
            value = -t * field / (1 + field) + 0.1 * (site or 0)
            rows.append({"quantity": quantity, "s": field, "t": t, "site": site, "value": value, "score": 0.1})
    frame = pd.DataFrame(rows).assign(sampling_stderr=1e-3)
    exact = {"exact": frame.value + 1e-3, "scheme": frame.value + 5e-4, "total": 1e-3, "error": 1e-3}
    held.rows = columns(frame)
    held.errors = columns(frame.drop(columns="score").assign(stderr=1e-3, error_estimate=1e-3, **exact))
    held.log = columns(pd.DataFrame([{"s": field, "t": TIMES[-1], "ess": 0.9, "loss": 0.1} for field in s]))
    return held


def standing() -> Record:
    task = next(task for task in load_suite("standing").tasks if len(task.s) == 1)
    held = example(task=task.name)
    run = {"task": task, "shape": task.shapes[0], "architecture": task.architectures[0], "replica": 0, "seed": 1}
    held.run, held.task_hash = held.run.model_copy(update=run), task.hash
    at = [{"s": s, "t": t} for s in task.s for t in task.times]
    rows = [{"quantity": "ln_Z", **place, "value": -0.1, "sampling_stderr": 1e-3} for place in at]
    held.rows = columns(pd.DataFrame(rows))
    return held


STEPS = {"dt": 0.1, "epochs": 5, "first_epochs": 5, "learning_rate": 1e-3}
VOTER = {"boundary": "open", "initial": "up", "pinned": "first"}
FIELDS = [0.02, 0.05, 0.1, 0.2, 0.5]
PROTOCOL = ["ln_Z", "ln_Z:loss", "ln_Z:log_mean_exp"]
RECORDS = {
    "phases": record("phases", ["ln_Z"], FIELDS),
    "chains": record("chains", ["ln_Z"], FIELDS),
    "critical": record("phases", ["ln_Z"], FIELDS),
    "bands": record("bands", ["ln_Z", "density_profile"], [-0.5, -0.1], shape=(4, 4)),
    "protocol": record("epochs-40", PROTOCOL, [0.1], shape=(3, 3), tracker_options=STEPS),
    "voter": record("voter", ["ln_Z", "density_profile"], [0.1], "voter", params=VOTER),
    "calibration": record("any", ["ln_Z", "density"], [0.1]),
    "luo2022": record("ring", ["sigma_x", "sigma_y", "sigma_z"], [0.1], "heisenberg"),
    "standing": standing(),
}
OTHERS = {
    "bands": "study tang2024 bands IN --out OUT --largest 4",
    "calibration": "study calibration page IN --folder OUT",
    "luo2022": "study luo2022 figures IN --out OUT",
    "standing": "standing add IN --folder OUT",
}
COMMANDS = {name: OTHERS.get(name, f"study tang2024 {name} IN --out OUT").split() for name in RECORDS}
CONTENT = {name: json.loads(held.model_dump_json()) for name, held in RECORDS.items()}


def told(folder: Path, name: str, text: str, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """What the command of a page does with a record that is this text."""
    shutil.rmtree(folder, ignore_errors=True)
    path = folder / "in" / FOLDER / "a" / "a.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    names = {"IN": folder / "in", "OUT": folder / "out"}
    code = run(*(names.get(word, word) for word in COMMANDS[name]))
    return code, capsys.readouterr().err


def check(code: int, err: str) -> None:
    assert code in (0, 2), err
    if code == 2:
        (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
        assert "a.json" in line or "in'" in line, line


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made, but not drawn, which would take seconds."""
    monkeypatch.setattr(canvas, "_write", lambda figure, form, path: path.touch())


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
