"""Progress where nothing moves: a log gets a line now and then, a quiet console none."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from vanbench.compare.run import progress


def log(quiet: bool = False) -> Console:
    return Console(file=io.StringIO(), quiet=quiet)


def written(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("every", "lines"), [(0.0, 3), (1e9, 0)])
def test_a_log_gets_the_bar_as_it_stands(monkeypatch, every, lines):
    monkeypatch.setattr(progress, "EVERY", every)
    console = log()
    with progress.Bars(console) as bars:
        line = bars.add("networks", 8)
        for done in range(1, 4):
            bars.update(line, completed=done, note=f"t = {done}")
        before_the_end = written(console)
    assert len(before_the_end) == lines
    for done, text in enumerate(before_the_end, start=1):
        assert f"{done}/8" in text
        assert text.endswith(f"t = {done}")
    assert "3/8" in written(console)[-1]  # rich's own last line


def test_a_note_gives_way_to_the_numbers(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    console = log()
    with progress.Bars(console) as bars:
        line = bars.add("networks", 25)
        bars.update(line, completed=20, note="south-east 3x3 gated-pixelcnn(width=16) #3: t = 0.4, " * 4)
    assert "20/25 0:00:00 left" in written(console)[0]


def test_what_has_no_count_is_told_too(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    console, silent = log(), log(quiet=True)
    for one in (console, silent):
        with progress.status(one, "east 4x4") as tell:
            tell("s = 0.1: step [3]")
    assert "s = 0.1: step [3]" in written(console)
    assert written(silent) == []
