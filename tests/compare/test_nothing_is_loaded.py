"""Records and suites of a folder may name files of code: the commands that read a folder load none of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run
from example_records import folder_of

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that leaves a mark where it is loaded; the folder of the mark."""
    (tmp_path / "evil.py").write_text(
        f"open({str(tmp_path / 'mark')!r}, 'w').close()\n"
        "from vanbench.exact import build\ndef make(shape):\n    return build('east', shape)\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("tracker", [None, "auto", "evil.py:make", "kl"])
@pytest.mark.parametrize("command", ["table", "status", "report", "gate", "goals"])
def test_no_file_that_a_record_names(evil: Path, command: str, tracker: str | None) -> None:
    name = f"{evil / 'evil.py'}:make"
    folder_of(evil / "run")
    for path in (evil / "run" / "records").rglob("*.json"):
        content = json.loads(path.read_text())
        content["run"]["task"]["system"] = name
        content["run"]["architecture"]["name"] = name
        content["run"]["task"].pop("tracker")
        if tracker is not None:
            content["run"]["task"]["tracker"] = name if tracker.endswith("make") else tracker
        path.write_text(json.dumps(content))
        task = content["run"]["task"]
    (evil / "run" / "suite.json").write_text(json.dumps({"name": "x", "tasks": [task]}))
    run(command, evil / "run")
    assert not (evil / "mark").exists()
