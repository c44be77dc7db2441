"""The run: a sample of mutants, as many at a time as asked, each result kept as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from . import coverage_map, judge, places, tree
from .places import Mutant
from .reach import Reach

RESULTS = tree.ROOT / "results" / "mutation" / "mutants.json"
PATIENCE = 30 * 60.0  # seconds after which a child that neither ends nor uses its CPU time is stopped


def load(path: Path = RESULTS) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text()) if path.is_file() else {}


def save(results: dict[str, dict[str, Any]], path: Path = RESULTS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(dict(sorted(results.items())), indent=1, ensure_ascii=False) + "\n")
    os.replace(new, path)


def sample(reach: Reach, number: int, seed: int) -> list[tuple[Mutant, set[str], bool]]:
    """The first ``number`` of the covered changes, by rank; their tests, and whether they change compiled code."""
    out = []
    for mutant in places.ranked(seed):
        tests, compiled = reach.tests(mutant)
        if tests and _compiles(mutant):
            out.append((mutant, tests, compiled))
        if len(out) == number:
            break
    return out


def _compiles(mutant: Mutant) -> bool:
    """Not of the ``**`` of ``{**row}``, say, which cosmic-ray takes for a power."""
    try:
        compile(mutant.apply((tree.ROOT / mutant.file).read_text()), mutant.file, "exec")
    except SyntaxError:
        return False
    return True


def stamp(mutant: Mutant, tests: list[str]) -> str:
    """Of what a result depends on: the changed file and the tests that judged it."""
    files = sorted({test.split("::")[0] for test in tests if "::" in test})
    parts = [mutant.file, *files, *sorted(tests)]
    digests = [coverage_map.digest(tree.ROOT / f) for f in (mutant.file, *files)]
    return hashlib.sha256(json.dumps([parts, digests]).encode()).hexdigest()[:16]


def valid(result: dict[str, Any] | None, mutant: Mutant, tests: list[str]) -> bool:
    """Whether a kept result still holds. What a test has caught needs only that test and the file as they were."""
    if result is None:
        return False
    return result["stamp"] == stamp(mutant, [result["by"]] if result["caught"] else tests)


def run(number: int, seed: int, jobs: int, budget: float, only: str = "") -> list[Mutant]:
    """Judge what is not judged yet; returns the sample."""
    tree.preload()
    reach = Reach(coverage_map.complete())
    results = load()
    chosen, todo = [], []
    for mutant, tests, compiled in sample(reach, number, seed):
        known = results.get(mutant.key, {})
        ordered = judge.order(mutant, tests, reach.seconds, budget, known.get("by", ""))
        chosen.append(mutant)
        if only in mutant.file and not valid(results.get(mutant.key), mutant, ordered):
            todo.append((mutant, ordered, compiled))
    print(f"{len(chosen)} changes, {len(todo)} to judge", flush=True)

    def keep(job: judge.Job, verdict: dict[str, Any]) -> None:
        mutant = job.mutant
        assert mutant is not None
        source = (tree.ROOT / mutant.file).read_text()
        judged = [verdict["by"]] if verdict["caught"] else job.tests
        results[mutant.key] = {**verdict, "change": mutant.change(source), "tests": len(job.tests),
                               "stamp": stamp(mutant, judged)}  # fmt: skip
        save(results)
        print(f"{'caught  ' if verdict['caught'] else 'SURVIVED'} {mutant.file}:{mutant.line} {mutant.change(source)}"
              f"  [{verdict.get('by', f'{len(job.tests)} tests')}]", flush=True)  # fmt: skip

    each(todo, jobs, reach.seconds, keep)
    for key in _unfit(results, chosen, reach):
        print(f"a test fails without any change; to be judged again: {key}", flush=True)
        del results[key]
    save(results)
    return chosen


def each(
    todo: list[tuple[Mutant, list[str], bool]],
    jobs: int,
    seconds: dict[str, float],
    keep: Callable[[judge.Job, dict[str, Any]], None],
) -> None:
    """Every mutant of ``todo`` in a child of its own, ``jobs`` at a time."""
    waiting, free = list(reversed(todo)), list(range(jobs))
    running: dict[int, tuple[judge.Job, float]] = {}
    try:
        while waiting or running:
            while waiting and free:
                mutant, tests, compiled = waiting.pop()
                job = judge.Job(free.pop(), tests, mutant, compiled)
                running[job.start(seconds)] = job, time.monotonic()
            for pid, status in _ended(running):
                job, _ = running.pop(pid)
                free.append(job.slot)
                keep(job, job.verdict(status))
    finally:
        for pid in running:
            os.killpg(pid, signal.SIGKILL)


def _ended(running: dict[int, tuple[judge.Job, float]]) -> Iterator[tuple[int, int]]:
    time.sleep(0.1)
    for pid, (_, since) in list(running.items()):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            yield pid, status
        elif time.monotonic() - since > PATIENCE:
            os.killpg(pid, signal.SIGKILL)


def _unfit(results: dict[str, dict[str, Any]], chosen: list[Mutant], reach: Reach) -> list[str]:
    """Results by tests that fail on the unchanged tree too, in the same harness."""
    caught = {m.key: results[m.key]["by"] for m in chosen if results.get(m.key, {}).get("caught")}
    tests = sorted(set(caught.values()) & set(reach.seconds))
    if not tests:
        return []
    job = judge.Job(0, tests)
    os.waitpid(job.start(reach.seconds), 0)
    failed = set(tree.read(job.answer)["failed"])
    return [key for key, by in caught.items() if by in failed]
