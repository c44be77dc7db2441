"""Links, hard links and pipes in the folders that commands write into: nothing outside changes, and nothing hangs."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import TINY_SUITE, run
from example_records import folder_of

SMALL = "--shape 2x2 --temperature 2 --generate 60 --epochs 1 --batches 2 --architecture bernoulli -q"
COMMANDS = {
    "exact": "exact fa --shape 2 --out OUT -q",
    "import": "import tiny.toml theirs.csv --label theirs --out OUT",
    "page": "study references status --folder OUT",
}
SLOW = {
    "report": "report OUT",
    "run": "run tiny.toml --out OUT -j 1 -q",
    "track": "track east --shape 2 --times 0.1 --dt 0.1 --architecture bernoulli --tracker kl --epochs 2 --out OUT -q",
    "learn": f"learn ising {SMALL} --out OUT",
    "predict": "predict OUT --temperatures 2 --draws 20 -q",
    "cycles": "cycles --data bars-and-stripes --hidden 2 --runs 1 --epochs 1 --out OUT -q",
    "equilibrium": "equilibrium --shape 2x2 --temperatures 2 --steps 2 --samples 10 --out OUT/x.csv -q",
    "phases": "study tang2024 phases --out OUT",
    "overview": "study baiesi2025 overview OUT",
}


def symlink(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def hard_link(place: Path, outside: Path) -> None:
    os.link(outside, place)


def pipe(place: Path, outside: Path) -> None:
    os.mkfifo(place)


@pytest.fixture
def patience() -> Iterator[None]:
    """A command that waits for the other end of a pipe would wait for ever."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(600)
    yield
    signal.alarm(0)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    (tmp_path / "theirs.csv").write_text("shape,s,t,quantity,value\n2,0.1,0.2,ln_Z,-0.01\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(name: str, place: Path) -> Path:
    """The folder of the command as it must be before it: with the records that a report is of, and so on."""
    out = place / "out"
    if name == "report":
        folder_of(out)
    if name == "predict":
        assert run(*f"learn ising {SMALL} --out out".split()) == 0
    if name in STORED:
        shutil.copytree(ROOT / STORED[name], out)
    return out


ROOT = Path(__file__).parents[2] / "results"
STORED = {"phases": "tang2024", "overview": "baiesi2025"}


def check(name: str, command: str, place: Path, replace: Callable[[Path, Path], None]) -> None:
    out = started(name, place)
    before = set(out.rglob("*")) if out.exists() else set()
    words = [word.replace("OUT", "out") for word in command.split()]
    assert run(*words) in (0, 5)
    made = [path for path in out.rglob("*") if path.is_file()]
    assert made
    outside = place / "outside"
    outside.mkdir()
    for k, path in enumerate(made):
        if path not in before or path.suffix in (".md", ".html", ".png"):
            (outside / str(k)).write_bytes(path.read_bytes())
            path.unlink()
            replace(path, outside / str(k))
    held = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.iterdir()}
    assert run(*words) in (0, 2, 5)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.iterdir()} == held
    inside = sorted(path for path in out.rglob("*") if path.is_dir() and not path.is_symlink())
    for folder in inside[:1]:  # and a folder that leads away
        shutil.rmtree(folder)
        folder.symlink_to(outside)
    assert run(*words) in (0, 2, 5)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in outside.iterdir()} == held


@pytest.mark.parametrize("replace", [symlink, hard_link, pipe])
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_outside_changes(name: str, place: Path, patience: None, replace: Callable) -> None:
    check(name, COMMANDS[name], place, replace)


@pytest.mark.slow
@pytest.mark.parametrize("replace", [symlink, hard_link, pipe])
@pytest.mark.parametrize("name", SLOW)
def test_nothing_outside_changes_of_work(name: str, place: Path, patience: None, replace: Callable) -> None:
    check(name, SLOW[name], place, replace)


@pytest.mark.parametrize("inside", ["", "tables", "plots", "records"])
def test_links_that_lead_in_a_circle(inside: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence: ``Path.resolve`` raises no ``OSError`` for them until Python 3.12."""
    out = place / "out"
    if inside:
        assert run("run", "tiny.toml", "--out", "out", "-q") in (0, 5)
        shutil.rmtree(out / inside)
    (out / inside).symlink_to(inside or "out")
    capsys.readouterr()
    assert run("run", "tiny.toml", "--out", "out", "-q") == (5 if inside == "records" else 2)  # 5: no run left a record
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "out" in said
