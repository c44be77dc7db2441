"""Whose code a result depends on: every file that somebody's file imports, and where it failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vanbench.exact import InputError
from vanbench.exact.imports import closure, foreign
from vanbench.exact.registry import Registry, digests


def written(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network's file, which imports a package, which imports its own modules and, inside a function, another."""
    written(
        tmp_path,
        net="import numpy\nimport vanbench\nfrom pkg_q.top import thing\nclass Net: pass\n",
        pkg_q__top="from . import side\nfrom .below.net import x as thing\ndef f():\n    import late_q\n",
        pkg_q__side="VALUE = 1\n",
        pkg_q__below__net="x = 2\n",
        late_q="import json\n",
        never_q="",
    )
    for folder in ("pkg_q", "pkg_q/below"):
        (tmp_path / folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_every_file_outside_is_followed(theirs: Path) -> None:
    files = {str(path.relative_to(theirs)) for path in closure([theirs / "net.py"])}
    package = {"pkg_q/__init__.py", "pkg_q/top.py", "pkg_q/side.py", "pkg_q/below/__init__.py", "pkg_q/below/net.py"}
    assert files == {"net.py", "late_q.py"} | package


def test_a_change_below_changes_the_digests(theirs: Path) -> None:
    registry: Registry = Registry("thing", "things", {}, lambda name, thing: thing)
    net = registry.find(f"{theirs}/net.py:Net")
    before = digests([net])
    assert {"net.py", "side.py", "late_q.py"} <= {name.split("/")[-1] for name in before}
    assert len(before) == 7, "files of one name are told apart"
    written(theirs, pkg_q__side="VALUE = 3\n")
    changed = {name for name, digest in digests([net]).items() if before[name] != digest}
    assert changed == {"side.py"}


def test_a_module_that_reads_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry: Registry = Registry("thing", "things", {}, lambda name, thing: thing)
    monkeypatch.setattr(sys, "argv", ["vanbench", "track", "--s", "1"])
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--width', default=3)\na = p.parse_args()\n"
    written(tmp_path, fine=text, ends="import sys\nsys.exit('usage')\n")
    assert registry.find(f"{tmp_path}/fine.py:a").width == 3
    assert sys.argv[1] == "track"
    with pytest.raises(InputError, match="ends the program while it is imported"):
        registry.find(f"{tmp_path}/ends.py:a")


def test_whose_fault(tmp_path: Path) -> None:
    written(tmp_path, broken="import json\ndef net():\n    return json.loads('{')\n")
    registry: Registry = Registry("thing", "things", {}, lambda name, thing: thing)
    with pytest.raises(ValueError, match="Expecting") as theirs:
        registry.find(f"{tmp_path}/broken.py:net")()
    assert foreign(theirs.value) == "broken.py:3, in net"
    with pytest.raises(InputError) as ours:
        registry.find("no such thing")
    assert foreign(ours.value) is None


def test_a_class_stands_for_itself() -> None:
    registry: Registry = Registry("thing", "things", {}, lambda name, thing: thing)
    assert registry.find(Path) is Path
