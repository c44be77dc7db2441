"""Scratch copies of the working tree, and pytest in one of them: a mutant never touches the tree that is worked in."""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCRATCH = ROOT / ".mutation"
HEAVY = (
    "numpy scipy.sparse.linalg scipy.optimize scipy.integrate scipy.stats scipy.special pandas numba torch torch.func "
    "pydantic typer rich.progress matplotlib.pyplot jinja2 tabulate sklearn.datasets mpmath qutip quspin.operators "
    "torch._dynamo torch.optim coverage hypothesis hypothesis.extra.numpy pytest _pytest.assertion.rewrite"
)
STEADY = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONHASHSEED": "0"}


def preload() -> None:
    """Import once what every forked child needs; nothing of the project itself."""
    os.environ.update(STEADY)
    for name in HEAVY.split():
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    import torch

    torch.set_num_threads(1)


def sources(root: Path = ROOT) -> list[str]:
    """Every file of the working tree that git does not ignore."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted(name for name in listed if name and ((root / name).is_file() or (root / name).is_symlink()))


def copy(slot: int) -> Path:
    """Copy number ``slot`` of the working tree, equal to it in contents and times, whatever a last run left there."""
    target = SCRATCH / f"tree{slot}"
    kept = set(sources())
    for name in kept:
        old, new = ROOT / name, target / name
        new.parent.mkdir(parents=True, exist_ok=True)
        if old.is_symlink():  # the folders of the package
            if not new.is_symlink():
                new.symlink_to(os.readlink(old))
            continue
        if not new.exists() or new.stat().st_mtime_ns != old.stat().st_mtime_ns or new.read_bytes() != old.read_bytes():
            shutil.copy2(old, new)
    for path in target.rglob("*.py"):
        if str(path.relative_to(target)) not in kept:
            path.unlink()
    return target


def isolated(tree: Path, cache: Path, seconds: float, answer: Path, function: Callable[[], Any]) -> int:
    """``function`` in a forked child that imports the project from ``tree``; its result goes as JSON to ``answer``.

    ``seconds`` of CPU time at most. Returns the child's process id, which is its process group's too.
    """
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        limit = int(seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        quiet = os.open(answer.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(quiet, stream)
        os.chdir(tree)
        os.environ |= {"PYTHONPATH": str(tree), "NUMBA_CACHE_DIR": str(cache)}
        sys.path[:] = [str(tree), *(p for p in sys.path if p and Path(p).resolve() != ROOT)]
        import numba
        from hypothesis import settings

        numba.config.CACHE_DIR = str(cache)
        settings.register_profile("mutation", database=None, derandomize=True)
        settings.load_profile("mutation")
        found = function()
        answer.write_text(json.dumps(found))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return 0


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def answer(slot: int) -> Path:
    """Where the child in copy ``slot`` leaves its result; what it printed stands beside it."""
    return SCRATCH / f"answer{slot}.json"
