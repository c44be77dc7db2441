"""Names that no one meant, in every place of the command line that takes one: a sentence, and nothing is written
outside ``--out``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command_line import TINY_SUITE, run
from example_records import folder_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vanbench.compare.judge.gate import write_baseline
from vanbench.compare.show.escape import MOST_SENTENCE, printable

NAMES = ["a\0b", "..", "../../evil", "x" * 5000, "a\nb", "\x1b[31mred", "\u202eabc", "", ".", " ", "\udcff", "a:b:c=1"]
NAMES += ["[red]x[/red]", "{x}%s", "a/b/../../..", "x.py:", ":", "=1+1", "~", "-", "a\0.csv", "../evil.csv", "a\0.py:f"]
NAMES += ["x" * 300 + ".toml", "x" * 300 + ".csv"]
TRACK = "track east --shape 2 --s 0.1 --times 0.1 --dt 0.1 --architecture bernoulli --out OUT -q"
LEARN = "learn ising --shape 2x2 --temperature 2 --epochs 1 --batches 2 --out OUT -q"
COMMANDS = """
list X | exact X --shape 2 | exact fa --shape X | exact fa --shape 2 --quantities X | exact fa --shape 2 --method X
exact fa --shape 2 --observable X | exact fa --shape 2 --initial X | exact fa --shape 2 -p X | exact fa --shape 2 --s X
exact fa --shape 2 -p edges=X | exact fa --shape 2 -p c=X | exact fa --shape 2 --out X -q
exact fa --shape 2 --format X
track X --shape 2 --out OUT -q | TRACK --architecture X | TRACK --tracker X | TRACK --quantities X | TRACK --device X
TRACK --start-from X | TRACK --target X | TRACK --arch-option X | TRACK --tracker-option X | TRACK --initial X
LEARN --data X | LEARN --generate 60 --architecture X | LEARN --generate 60 --symmetries X | LEARN --generate 60 -p X
predict X | cycles --data X --out OUT | cycles X --out OUT | cycles --mnist X --out OUT
equilibrium --shape 2x2 --temperatures 2 --architecture X | equilibrium --shape 2x2 --temperatures X
run X --out OUT -q | run tiny.toml --task X --out OUT -q | run tiny.toml --architecture X --out OUT -q
run tiny.toml --part X --out OUT -q | run tiny.toml --device X --out OUT -q
import X theirs.csv --label x --out OUT | import tiny.toml X --label x --out OUT
import tiny.toml theirs.csv --label X --out OUT | import tiny.toml theirs.csv --label x --out X
evaluate X --shape 2 --s 0 --times 1 --state no | evaluate east --shape 2 --s 0 --times 1 --state X
status X | status runs --format X | table X | table runs --by X | table runs --quantity X | table runs --columns X
table runs --across X | gate X --baseline base.json | gate runs --baseline X | gate runs --write X -y
conform X -q | report X | report runs --out X | report runs --figures X | goals X | goals runs --out X
study X | study tang2024 X | study tang2024 phases X --out OUT | study luo2022 figures X --out OUT
study calibration page X --folder OUT | study calibration defaults X --folder OUT --minutes 0
study baiesi2025 overview X | study wang2020 run X --out OUT --work OUT
study references compute X --folder OUT | standing add X --folder OUT | standing page --folder X --X
"""
EVERY = [
    part.replace("TRACK", TRACK).replace("LEARN", LEARN).split()
    for line in COMMANDS.split("\n")
    for part in line.split(" | ")
    if part
]
MADE = {"--out", "--write", "--folder", "overview"}  # before what may be written


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names") / "a" / "b" / "c"
    folder_of(folder / "runs")
    write_baseline(folder / "runs", folder / "base.json")
    (folder / "tiny.toml").write_text(TINY_SUITE)
    (folder / "theirs.csv").write_text("shape,s,t,quantity,value\n2,0.1,0.2,ln_Z,-0.01\n")
    return folder


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    files = [path for path in folder.rglob("*") if not path.is_dir()]
    return {str(path): (path.lstat().st_mtime_ns, path.lstat().st_size) for path in files}


def check(place: Path, capsys: pytest.CaptureFixture, command: list[str], name: str) -> None:
    words = [word.replace("X", name).replace("OUT", "out") for word in command]
    given = [word for before, word in zip(command, words[1:]) if before in MADE and "\0" not in word]
    allowed = [str((place / word).resolve()) for word in [*given, "out", "runs/report.html", "runs/plots"]]
    before = tree(place.parents[2])
    code, told = run(*words), capsys.readouterr()
    after = tree(place.parents[2])
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    outside = [path for path in changed if not path.startswith(tuple(allowed))]
    assert not outside, (words, outside)
    assert code in (0, 2, 3, 5), (words, code, told.err[-500:])  # 3: another folder above holds a file of another kind
    if code == 2:
        (line,) = [line for line in told.err.splitlines() if not line.startswith("warning: ")] or [told.out]
        assert line.startswith("error: ") or "Usage" in line, (words, line)
        assert len(line) < MOST_SENTENCE + 100, words
        assert not changed, (words, changed)
    for text in (told.out, told.err):
        assert text.replace("\r", "") == "\n".join(printable(line) for line in text.split("\n")), words


def clean(place: Path, before: set[Path]) -> None:
    for path in sorted(set(place.parents[2].rglob("*")) - before, reverse=True):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def tried(place: Path, capsys: pytest.CaptureFixture, command: list[str], name: str) -> None:
    before, here = set(place.parents[2].rglob("*")), Path.cwd()
    os.chdir(place)
    try:
        check(place, capsys, command, name)
    finally:
        os.chdir(here)
        clean(place, before)


QUICK = [command for command in EVERY if command[0] in ("list", "exact", "import", "status", "evaluate", "standing")]


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(command=st.sampled_from(QUICK), name=st.sampled_from(NAMES))
def test_a_name_is_used_or_refused_in_a_sentence(place, capsys, command: list[str], name: str) -> None:
    tried(place, capsys, command, name)


@pytest.mark.slow
@pytest.mark.parametrize("command", EVERY, ids=" ".join)
def test_every_name_at_every_place(place: Path, capsys: pytest.CaptureFixture, command: list[str]) -> None:
    for name in NAMES:
        tried(place, capsys, command, name)
