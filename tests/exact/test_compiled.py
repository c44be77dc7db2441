"""Compiled loops are kept on disk, and run where the disk refuses, which ends numba's own."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import pytest
from numba import config, njit
from numba.core import caching

from vanbench.exact.compiled import compiled


def after(x: int) -> int:
    return x + 1


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    return tmp_path


def test_what_was_compiled_is_loaded(cache: Path) -> None:
    assert compiled()(after)(1) == 2
    again = compiled()(after)
    assert again(1) == 2
    assert sum(again.stats.cache_hits.values()) == 1


def test_a_full_disk(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "_save_index", full)
    with pytest.raises(OSError, match="No space left"):
        njit(cache=True)(after)(1)
    assert compiled()(after)(1) == 2


def test_no_folder_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        njit(cache=True)(after)
    assert compiled()(after)(1) == 2


@pytest.mark.parametrize("content", [b"", b"half"])
def test_damaged_files(cache: Path, content: bytes) -> None:
    assert compiled()(after)(1) == 2
    files = [path for path in cache.rglob("*.nb*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(content)
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        njit(cache=True)(after)(1)
    assert compiled()(after)(1) == 2
    test_what_was_compiled_is_loaded(cache)  # and it is kept again
