"""In a notebook a run shows a bar, and results show as tables; the kernel is played by a stand-in."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from vanbench.exact import build
from vanbench.neural import track
from vanbench.neural.run import notebook


class Handle:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, html: str) -> None:
        self.lines.append(html)


@pytest.fixture
def handle(monkeypatch: pytest.MonkeyPatch) -> Handle:
    handle = Handle()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=True)  # type: ignore[attr-defined]
    display.HTML = lambda text: text  # type: ignore[attr-defined]
    display.display = lambda html, display_id: handle.update(html) or handle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(notebook, "EVERY", 0.0)
    return handle


def test_a_run_shows_its_steps(handle: Handle) -> None:
    told = track(build("east", 3), 0.1, 0.2, architecture="bernoulli", tracker="natural-gradient")
    assert len(handle.lines) == told.diagnostics["steps"]
    assert f'value="{told.diagnostics["steps"]}"' in handle.lines[-1]
    assert "t = 0.2, ln Z = -0.0" in handle.lines[-1]


def test_nothing_is_shown_elsewhere() -> None:
    assert notebook.bars("east") == []
