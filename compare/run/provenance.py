"""Where a number comes from: commit, versions, machine, and what the process used."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("vanbench", "numpy", "scipy", "numba", "pandas", "torch")


def provenance(device: str) -> dict[str, Any]:
    """Plain values only: commit and whether the tree differs from it, versions, machine, device."""
    return {
        **commit(),
        "code": code(),
        "versions": versions(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "device": device,
    }


CODE = ("vanbench", "exact", "neural", "compare", "pyproject.toml")
PARTS = ("exact", "neural", "compare")


@cache
def code() -> str:
    """16 hex digits of every Python file of this package, as they were when this process first asked."""
    root, whole = Path(__file__).resolve().parents[2], hashlib.sha256()
    for path in sorted(path for part in PARTS for path in (root / part).rglob("*.py")):
        whole.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


@cache
def commit() -> dict[str, Any]:
    """``{"commit": sha or None, "dirty": bool or None}`` of the repository that this package is run from."""
    root = Path(__file__).resolve().parents[2]
    if _git(root, "rev-parse", "--show-toplevel") != str(root):
        return {"commit": None, "dirty": None}  # installed: the version says which code it is
    status = _git(root, "status", "--porcelain", "--", *CODE)  # results that a run writes do not make it another code
    return {"commit": _git(root, "rev-parse", "HEAD"), "dirty": bool(status)}


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far (since ``restart_peak_memory``, where the system can)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def restart_peak_memory() -> None:
    """Forget the peak so far, so that a process that serves several runs reports each one's own (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def versions() -> dict[str, str]:
    """Of Python and the packages that numbers depend on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model} x{os.cpu_count()}"
