"""Files: written whole or not at all, by one function, and never outside their folder."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import threading
from pathlib import Path

import pytest
import torch

from vanbench.exact import InputError
from vanbench.exact.files import STALE, append_text, sweep, write_file, write_json, write_text
from vanbench.neural.backend import checkpoint

ROOT = Path(__file__).parents[1]
DIRECT = re.compile(
    r"\.write_text\(|\.write_bytes\(|\.to_csv\(\s*[^)i*\s]|torch\.save\((?!.*(held|buffer))|open\([^)]*\"[wa]"
)
ALLOWED = {"exact/files.py", "compare/run/claims.py", "compare/run/provenance.py", "compare/show/canvas.py"}
ALLOWED |= {
    "compare/conform/program.py",
    "compare/studies/exact_tables/critical.py",
    "compare/learn/cycles/report.py",
    "compare/streams.py",
    "compare/pytest_plugin.py",
}


def test_one_function_writes_every_file() -> None:
    """But for logs that grow by a line, and what that function itself is given to fill."""
    for room in ("exact", "neural", "compare"):
        for path in (ROOT / room).rglob("*.py"):
            told = [line for line in path.read_text().splitlines() if DIRECT.search(line)]
            assert not told or str(path.relative_to(ROOT)) in ALLOWED, (path, told)
    assert DIRECT.search('path.write_text("x")')
    assert DIRECT.search("frame.to_csv(path, index=False)")
    assert not DIRECT.search("frame.to_csv(index=False)")


def test_a_reader_sees_one_writer_or_another(tmp_path: Path) -> None:
    path, over = tmp_path / "x.json", threading.Event()
    write_json(path, {"held": [0] * 1000})

    def write(number: int) -> None:
        for _ in range(25):
            write_json(path, {"held": [number] * 1000})

    writers = [threading.Thread(target=write, args=(number,)) for number in range(1, 5)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert len(set(json.loads(path.read_text())["held"])) == 1
    over.set()
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EFBIG])
def test_a_disk_that_is_full_leaves_the_old_file(tmp_path: Path, number: int) -> None:
    path = tmp_path / ("n" * 250 + ".txt")  # a temporary name must not be longer
    write_text(path, "old")

    def fill(temporary: Path) -> None:
        temporary.write_text("ne")
        raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=os.strerror(number)) as full:
        write_file(path, fill)
    assert full.value.filename == str(path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("there", ["", "a heading\n1\n"])
def test_what_is_added_is_there_whole_or_not_at_all(tmp_path: Path, there: str) -> None:
    """A limit on the size of a file stands for the disk: the first part of the lines is written, and taken back."""
    path = tmp_path / "x.csv"
    if there:
        append_text(path, there)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as full:
            append_text(path, "2222\n" * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.value.filename == str(path)
    assert path.read_text() == there if there else not path.exists()
    append_text(path, "2\n")
    assert path.read_text() == there + "2\n"


def test_devices_are_written_into_and_stay(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_text(Path("/dev/full"), "x")
    write_text(Path("/dev/null"), "x")
    assert Path("/dev/full").is_char_device()
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("way", ["tables/x", "../x", "tables/../../x"])
def test_nothing_leads_out_of_the_folder(tmp_path: Path, way: str) -> None:
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (out / "tables").symlink_to(outside)
    with pytest.raises(InputError, match="leads out of"):
        write_text(out / way, "x", out)
    assert not list(outside.iterdir())
    (out / "x").symlink_to(outside / "y")
    write_text(out / "x", "ours", out)  # the link itself is replaced
    assert not list(outside.iterdir())


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    old, young = tmp_path / "records" / ".old.tmp", tmp_path / ".young.tmp"
    old.parent.mkdir()
    for path in (old, young):
        path.touch()
    os.utime(old, (old.stat().st_atime, old.stat().st_mtime - 2 * STALE))
    sweep(tmp_path)
    assert not old.exists()
    assert young.exists()


CONTENT = {"config": {"a": 1}, "parameters": {}, "state": None, "generator": torch.zeros(1), "log": {}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"version": 1}, "another version"),
        ({"version": checkpoint.VERSION}, "lacks config"),
        ({"version": checkpoint.VERSION, **CONTENT, "config": 3}, "lacks config"),
        ({"version": checkpoint.VERSION, **CONTENT, "generator": "x"}, "lacks generator"),
        (3, "another version"),
    ],
)
def test_checkpoints_of_strangers(tmp_path: Path, content: object, says: str) -> None:
    torch.save(content, tmp_path / checkpoint.NAME)
    with pytest.raises(InputError, match=says):
        checkpoint.load(tmp_path, {"a": 1}, torch.device("cpu"))


def test_a_checkpoint_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / checkpoint.NAME)
    with pytest.raises(InputError, match="no file"):
        checkpoint.load(tmp_path, {"a": 1}, torch.device("cpu"))


def test_a_checkpoint_that_does_not_fit_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, CONTENT)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vanbench.exact.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, {**CONTENT, "config": {"a": 2}})
    assert checkpoint.load(tmp_path, {"a": 1}, torch.device("cpu")) is not None
