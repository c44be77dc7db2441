"""The run: a sample of mutants, as many at a time as asked, each result kept as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import coverage_map, judge, places, slots, tree
from .places import Mutant
from .reach import Reach

RESULTS = tree.ROOT / "results" / "mutation" / "mutants.json"


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
    reach = Reach(coverage_map.complete(jobs))
    results = load()
    chosen, todo = [], []
    for mutant, tests, compiled in sample(reach, number, seed):
        known = results.get(mutant.key, {})
        ordered = judge.order(mutant, tests, reach.seconds, budget, known.get("by", ""))
        chosen.append(mutant)
        if only in mutant.file and not valid(results.get(mutant.key), mutant, ordered):
            todo.append(judge.Job(ordered, mutant, compiled))
    print(f"{len(chosen)} changes, {len(todo)} to judge", flush=True)

    slots.each(todo, jobs, lambda job, slot: job.start(slot, reach.seconds), keeping(results))
    for key in _unfit(results, chosen, reach):
        print(f"a test fails without any change; to be judged again: {key}", flush=True)
        del results[key]
    save(results)
    return chosen


def keeping(results: dict[str, dict[str, Any]]) -> Callable[[judge.Job, int, int], None]:
    """Takes the verdict of each job as it ends, and saves it."""

    def keep(job: judge.Job, slot: int, status: int) -> None:
        mutant, verdict = job.mutant, job.verdict(slot, status)
        assert mutant is not None
        change = mutant.change((tree.ROOT / mutant.file).read_text())
        by = [verdict["by"]] if verdict["caught"] else job.tests
        results[mutant.key] = {**verdict, "change": change, "tests": len(job.tests), "stamp": stamp(mutant, by)}
        save(results)
        word, why = ("caught  ", verdict["by"]) if verdict["caught"] else ("SURVIVED", f"{len(job.tests)} tests")
        print(f"{word} {mutant.file}:{mutant.line} {change}  [{why}]", flush=True)

    return keep


def by_their_tests(written: dict[str, str], seed: int, jobs: int) -> list[Mutant]:
    """Judge survivors (by key) by the test that was ``written`` for each since, without coverage; returns all that is
    known."""
    tree.preload()
    results, seconds = load(), dict.fromkeys(written.values(), 60.0)
    known = [mutant for mutant in places.ranked(seed) if mutant.key in results]
    todo = [
        judge.Job([written[mutant.key]], mutant, compiling=True)
        for mutant in known
        if mutant.key in written and not results[mutant.key]["caught"]
    ]
    slots.each(todo, jobs, lambda job, slot: job.start(slot, seconds), keeping(results))
    return known


def _unfit(results: dict[str, dict[str, Any]], chosen: list[Mutant], reach: Reach) -> list[str]:
    """Results by tests that fail on the unchanged tree too, in the same harness."""
    caught = {m.key: results[m.key]["by"] for m in chosen if results.get(m.key, {}).get("caught")}
    tests = sorted(set(caught.values()) & set(reach.seconds))
    if not tests:
        return []
    job = judge.Job(tests)
    os.waitpid(job.start(0, reach.seconds), 0)
    failed = set(tree.read(tree.answer(0))["failed"])
    return [key for key, by in caught.items() if by in failed]
