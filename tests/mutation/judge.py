"""One mutant in a scratch copy: the tests that reach it, until one fails."""

from __future__ import annotations

import os
import re
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import tree
from .places import Mutant

QUICK = 2.0  # seconds; such tests come first
SLACK = 5  # times the CPU time of a test, and some seconds: beyond that it hangs
COMPILING = 60.0  # seconds that numba may take to compile anew
MEMORY = 8 << 30  # bytes of address space: a wrong size is not to take the machine down


def order(mutant: Mutant, tests: set[str], seconds: dict[str, float], budget: float, first: str = "") -> list[str]:
    """The tests to run: ``first``, then quick ones before slow ones and related ones before others, up to ``budget``
    seconds of CPU time in all (but one at least)."""
    words = {mutant.function.split(".")[-1], Path(mutant.file).stem} - {"", "__init__"}
    related = {f for f in {t.split("::")[0] for t in tests} if _mentions(f, words)}

    def rank(test: str) -> tuple[Any, ...]:
        file = test.split("::")[0]
        return test != first, seconds[test] > QUICK, file not in related, file, seconds[test], test

    out: list[str] = []
    spent = 0.0
    for test in sorted(tests, key=rank):
        if not out or spent + seconds[test] <= budget:
            out.append(test)
            spent += seconds[test]
    return out


def _mentions(file: str, words: set[str]) -> bool:
    text = (tree.ROOT / file).read_text()
    return any(re.search(rf"\b{re.escape(word)}\b", text) for word in words)


def watched(tests: list[str], seconds: dict[str, float], compiling: bool, temporary: Path, stop: bool) -> Any:
    """Run in the child: pytest on ``tests`` in their order; its exit status and the tests that failed."""
    import pytest

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    place = {test: k for k, test in enumerate(tests)}

    def asked(nodeid: str) -> str:
        """The name by which it was asked for: its own, or that of a function with any parameters."""
        return nodeid if nodeid in place else nodeid.split("[")[0]

    failed: list[str] = []
    now = temporary.with_suffix(".now")

    class Watch:
        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, items):
            items[:] = sorted((i for i in items if asked(i.nodeid) in place), key=lambda i: place[asked(i.nodeid)])

        def pytest_runtest_logstart(self, nodeid):
            now.write_text(nodeid)
            used = resource.getrusage(resource.RUSAGE_SELF)
            limit = used.ru_utime + used.ru_stime + 20 + SLACK * seconds[asked(nodeid)] + COMPILING * compiling
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (min(int(limit), hard), hard))

        def pytest_runtest_logreport(self, report):
            if report.failed and report.nodeid not in failed:
                failed.append(report.nodeid)

    now.unlink(missing_ok=True)
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={temporary}", *(["-x"] if stop else [])]
    status = pytest.main([*files, *options], plugins=[Watch()])
    return {"status": int(status), "failed": failed}


@dataclass
class Job:
    """A mutant (or, as a control, none) and the tests that judge it."""

    tests: list[str]
    mutant: Mutant | None = None
    compiling: bool = False

    def start(self, slot: int, seconds: dict[str, float]) -> int:
        """The process that judges, in copy number ``slot``."""
        copied, cache = tree.copy(slot), self._cache(slot)
        if self.mutant is not None:
            path = copied / self.mutant.file
            path.write_text(self.mutant.apply(path.read_text()))
        limit = 3600 + SLACK * sum(seconds[test] for test in self.tests)
        stop, temporary = self.mutant is not None, tree.SCRATCH / f"tmp{slot}"
        task = lambda: watched(self.tests, seconds, self.compiling, temporary, stop)  # noqa: E731
        return tree.isolated(copied, cache, limit, tree.answer(slot), task)

    def _cache(self, slot: int) -> Path:
        """Of numba. An entry goes by the file of its own function alone: where what that calls is changed, all are
        made anew; a changed file with compiled functions writes its own into a copy."""
        warm, cold = tree.SCRATCH / f"numba{slot}", tree.SCRATCH / f"cold{slot}"
        shutil.rmtree(cold, ignore_errors=True)
        text = "" if self.mutant is None else (tree.ROOT / self.mutant.file).read_text()
        if self.mutant is None or not (self.compiling or any(word in text for word in ("numba", "compiled"))):
            return warm
        if not self.compiling and warm.exists():
            shutil.copytree(warm, cold)
        return cold

    def verdict(self, slot: int, status: int) -> dict[str, Any]:
        """``caught``, and by what; ``status`` is what `os.waitpid` gives."""
        if os.WIFSIGNALED(status) or not tree.answer(slot).is_file():
            now = tree.SCRATCH / f"tmp{slot}.now"
            return {"caught": True, "by": now.read_text() if now.is_file() else "import", "how": "it hangs or crashes"}
        found = tree.read(tree.answer(slot))
        if found["status"] == 5:
            raise RuntimeError(f"no test was found among {self.tests}")
        if found["status"] == 0:
            return {"caught": False}
        return {"caught": True, "by": found["failed"][0] if found["failed"] else "import"}
