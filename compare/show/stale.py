"""Tables kept in ``results/``: their Markdown is rendered from the CSV beside it, whose tasks are today's.

``python -m vanbench.compare.show.stale results`` writes every such Markdown again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from vanbench.compare.declare.task import load_suite, suites
from vanbench.compare.judge.growth import laws
from vanbench.compare.show.tables import AXES, render
from vanbench.exact.files import write_text


def kept_tables(root: Path) -> Iterator[Path]:
    """Every ``<quantity>_by_<axis>.csv`` under ``root`` with a Markdown of its name."""
    for path in sorted(root.rglob("*_by_*.csv")):
        if path.stem.rsplit("_by_", 1)[1] in AXES and path.with_suffix(".md").exists():
            yield path


def rendered(csv: Path) -> str:
    """The text that the Markdown beside ``csv`` must have."""
    cases = pd.read_csv(csv, dtype={"shape": str}, keep_default_na=False, na_values=[""])
    cases["note"] = cases["note"].astype(object).fillna("")
    return render(cases, "md", laws(cases) if csv.stem.endswith("_by_size") else None)


def outdated_tasks(csv: Path) -> list[str]:
    """Tasks of the table whose declaration, in the suite that the folder is named after, is another one now."""
    cases = pd.read_csv(csv, dtype=str)
    if csv.parent.name not in suites():
        return []
    today = {task.name: task.hash for task in load_suite(csv.parent.name).tasks}
    held = set(zip(cases.task, cases.task_hash))
    return sorted({task for task, content in held if today.get(task) != content})


if __name__ == "__main__":
    for csv in kept_tables(Path(sys.argv[1])):
        write_text(csv.with_suffix(".md"), rendered(csv))
        print(csv.with_suffix(".md"))
