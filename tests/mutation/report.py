"""``results/mutation/README.md``: how many changes the tests catch, and why each of the others is left."""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import Any

from . import run, tree
from .places import Mutant

FOLDER = run.RESULTS.parent
REASONS = FOLDER / "reasons.toml"


def reasons() -> dict[str, dict[str, Any]]:
    """By the key of the change: ``equivalent`` (no value that is promised can change) and ``why``; or the ``test`` that
    was written for it since."""
    found = tomllib.loads(REASONS.read_text()) if REASONS.is_file() else {"survivor": []}
    return {entry["change"]: entry for entry in found.get("survivor", [])}


def page(chosen: list[Mutant], budget: float, seed: int) -> str:
    results, why = run.load(), reasons()
    judged = [m for m in chosen if m.key in results]
    counts: dict[str, Counter[str]] = {p: Counter() for p in ("exact", "neural", "compare", "all")}
    left = []
    for mutant in judged:
        result, reason = results[mutant.key], why.get(mutant.key, {})
        kind = "caught" if result["caught"] else "equivalent" if reason.get("equivalent") else "survived"
        for package in (mutant.file.split("/")[0], "all"):
            counts[package][kind] += 1
        if kind != "caught":
            left.append((kind, mutant, result["change"], reason.get("why", "no test sees it yet")))
    since = sum(results[m.key]["caught"] and "test" in why.get(m.key, {}) for m in judged)
    lines = [
        "# One change in one covered line",
        "",
        "`make mutation` changes one comparison, sign, factor or constant at a time (by cosmic-ray; `max` for `min`",
        "besides) in a copy of the tree, and runs the default tests that reach the changed line until one fails, or",
        f"until they have taken {budget:g} s of CPU time by the clean run's measure. A test that hangs or crashes has",
        "caught it. Every test that caught one passes on the unchanged tree, in the same harness. The places are drawn",
        f"at random (seed {seed}) from all covered lines of `exact/`, `neural/` and the judging part of `compare/`:",
        f"{len(judged)} of {len(chosen)} drawn are judged. {since} of those caught survived first: they are judged by",
        "the test that was written for each since (`python -m tests.mutation --written`), the others before.",
        "",
        "| package | changes | equivalent | caught | survived | caught of those not equivalent |",
        "|:--|--:|--:|--:|--:|--:|",
    ]
    for package, count in counts.items():
        real = count["caught"] + count["survived"]
        share = f"{100 * count['caught'] / real:.1f} %" if real else "–"
        cells = package, sum(count.values()), count["equivalent"], count["caught"], count["survived"], share
        lines.append(f"| {' | '.join(map(str, cells))} |")
    for kind, title in (("survived", "Survivors"), ("equivalent", "Equivalent changes")):
        lines += ["", f"## {title}", "", "| where | line | changed to | why |", "|:--|:--|:--|:--|"]
        for _, mutant, change, reason in sorted((row for row in left if row[0] == kind), key=lambda row: row[1].key):
            where = f"`{mutant.file}` {mutant.function or 'module'}"
            lines.append(f"| {where} | {_code(mutant.text)} | {_code(change)} | {reason} |")
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|").replace("`", "'") + "`"


def write(chosen: list[Mutant], budget: float, seed: int) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "README.md").write_text(page(chosen, budget, seed))
    print(FOLDER.relative_to(tree.ROOT) / "README.md")
