"""Which test runs which line: every test file under coverage once, kept until it or a file that it runs changes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from . import slots, tree

KEPT = tree.SCRATCH / "coverage"
PACKAGES = ("exact", "neural", "compare")
LONGEST = 3600.0  # seconds of CPU time for one test file


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""


def cpu_time() -> float:
    return sum(os.times()[:4])


def watched(path: str) -> dict[str, Any]:
    """The test file ``path`` under coverage: time and outcome of each test, the lines that it and its fixtures run."""
    import pytest
    from coverage import Coverage

    cover = Coverage(data_file=None, source=list(PACKAGES), config_file=False, messages=False)
    tests: dict[str, Any] = {}

    class Watch:
        current = ""

        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol(self, item):
            self.current = item.nodeid
            cover.switch_context(item.nodeid)
            before = cpu_time()
            tests[item.nodeid] = {"passed": False, "fixtures": list(item.fixturenames)}
            result = yield
            tests[item.nodeid]["seconds"] = round(cpu_time() - before, 3)
            cover.switch_context("")
            return result

        @pytest.hookimpl(wrapper=True)
        def pytest_fixture_setup(self, fixturedef):
            shared = fixturedef.scope != "function"
            if shared:  # its lines belong to every test that uses it, not to the first alone
                cover.switch_context(f"fixture {fixturedef.argname}")
            try:
                return (yield)
            finally:
                if shared:
                    cover.switch_context(self.current)

        def pytest_runtest_logreport(self, report):
            if report.when == "call" and report.passed:
                tests[report.nodeid]["passed"] = True

    cover.start()
    code = pytest.main([path, "-p", "no:cacheprovider", "-p", "no:xdist"], plugins=[Watch()])
    cover.stop()
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"pytest ended with {code!r}")
    data = cover.get_data()
    here = f"{Path.cwd()}/"
    lines: dict[str, dict[str, list[int]]] = {}
    for file in data.measured_files():
        for line, contexts in data.contexts_by_lineno(file).items():
            for context in contexts:
                lines.setdefault(context, {}).setdefault(file.removeprefix(here), []).append(line)
    return {"tests": tests, "lines": lines}


def test_files() -> list[str]:
    found = (p.relative_to(tree.ROOT) for p in (tree.ROOT / "tests").rglob("test_*.py"))
    return sorted(str(p) for p in found if "benchmarks" not in p.parts)


def _kept(path: str) -> Path:
    return KEPT / f"{path.removesuffix('.py').replace('/', '.')}.json"


def fresh(path: str) -> dict[str, Any] | None:
    """What is kept of ``path``, if nothing that it depends on has changed."""
    kept = _kept(path)
    if not kept.is_file():
        return None
    found = json.loads(kept.read_text())
    return found if all(digest(tree.ROOT / file) == value for file, value in found["digests"].items()) else None


def complete(jobs: int) -> dict[str, dict[str, Any]]:
    """Test file to what it covers; only what has changed is measured again."""
    found = {path: known for path in test_files() if (known := fresh(path)) is not None}

    def start(path: str, slot: int) -> int:
        copied, cache = tree.copy(slot), tree.SCRATCH / f"numba{slot}"
        return tree.isolated(copied, cache, LONGEST, tree.answer(slot), lambda: watched(path))

    def keep(path: str, slot: int, status: int) -> None:
        if status:
            raise RuntimeError(f"{path} does not run: see {tree.answer(slot).with_suffix('.log')}")
        known = tree.read(tree.answer(slot))
        known["lines"].pop("", None)  # of imports
        used = {file for lines in known["lines"].values() for file in lines}
        known["digests"] = {file: digest(tree.ROOT / file) for file in sorted({path, *used})}
        KEPT.mkdir(parents=True, exist_ok=True)
        _kept(path).write_text(json.dumps(known))
        found[path] = known
        passed = sum(test["passed"] for test in known["tests"].values())
        spent = sum(test["seconds"] for test in known["tests"].values())
        print(f"covered  {path}: {passed} of {len(known['tests'])} tests, {spent:.0f} s", flush=True)

    slots.each([path for path in test_files() if path not in found], jobs, start, keep)
    return found


def _answer(slot: int) -> Path:
    return tree.SCRATCH / f"answer{slot}.json"
