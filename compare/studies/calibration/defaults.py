"""Every network with every tracker at its defaults: is a value near the truth, or covered by its error estimate?

The tasks of the suite ``defaults``, each with every tracker. A combination is refused before any step, ends early, or
leaves a record in the folder of runs; what ended without one stands in ``ended.json`` there, so that a call that was
cut off goes on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from vanbench.compare.declare.task import Architecture, Run, Task, load_suite
from vanbench.compare.run import execute
from vanbench.compare.run.record import FOLDER, UNFINISHED, Record
from vanbench.compare.run.stored import read_json
from vanbench.compare.run.suite import require_empty_or_run_folder
from vanbench.compare.show import pages
from vanbench.exact import InputError
from vanbench.exact.files import write_json

NEAR = 2e-3  # of ln Z or a spin average: what the defaults are to reach by themselves
COVERED = 2.0  # error estimates within which anything else is to lie
ENDED = "ended.json"
OUT_OF_TIME = "out of budget"
PARTS = (FOLDER, UNFINISHED)
COLUMNS = [
    "system", "tracker", "network", "quantity", "t", "distance", "error_estimate", "cpu_s", "verdict", "said",
]  # fmt: skip
NO_NETWORK = "none"
# Quick ones first, so that every tracker meets every system early.
NETWORKS = (
    "sitewise", "bernoulli", "matrix-product", "made", "table", "circulant", "polynomial", "mixture", "graph",
    "pixelcnn", "gated-pixelcnn", "gru", "gru2d", "transformer",
)  # fmt: skip


def runs() -> Iterator[Run]:
    """All of them, the quick networks first; a tracker without a network once."""
    from vanbench.neural.architectures import ARCHITECTURES
    from vanbench.neural.trackers import TRACKERS

    assert set(NETWORKS) == set(ARCHITECTURES)
    tasks = load_suite("defaults").tasks
    for network, tracker, task in itertools.product(NETWORKS, TRACKERS, tasks):
        if network != NETWORKS[0] and TRACKERS[tracker]().variant("time").network == NO_NETWORK:
            continue
        content = task.model_dump(exclude_unset=True, exclude={"tracker", "tracker_options"})
        own = Task(**{**content, "name": f"{task.name}-{tracker}", "tracker": tracker})
        yield from own.runs(architectures=[Architecture(name=network)])


def run_all(out: Path, minutes: float, seconds: float, tell: Any) -> None:
    """Do what ``out`` lacks, for ``minutes`` of CPU time, each for ``seconds`` at most. A tracker that ran out of time
    on a system with a quick network is not tried there with the others. Raises ``InputError`` for a folder that holds
    other files."""
    if not (out / ENDED).exists():
        require_empty_or_run_folder(out)
    began, ended = time.process_time(), _ended(out)
    slow = {run.task.name for run in runs() if _ran_out(out, run)}
    for run in runs():
        name = str(run.path)
        if name in ended or run.task.name in slow or any((out / part / run.path).exists() for part in PARTS):
            continue
        if time.process_time() - began > 60 * minutes:
            return
        said = _done(run, out, seconds)
        if _ran_out(out, run):
            slow.add(run.task.name)
        elif said and not (out / UNFINISHED / run.path).exists():
            ended[name] = said
            write_json(out / ENDED, ended, out)
        tell(f"{run.label}: {said or 'done'}")


def _done(run: Run, out: Path, seconds: float) -> str:
    """How it ended where it left no record, or early."""
    steps: list[object] = []
    budget = run.task.budget.model_copy(update={"cpu_seconds": seconds})
    run = run.model_copy(update={"task": run.task.model_copy(update={"budget": budget})})
    try:
        execute.check(run)
        done = execute.execute(run, out, "cpu", callbacks=[steps.append])
    except InputError as error:
        return f"refused after {len(steps)} steps: {error}" if steps else f"refused: {error}"
    except Exception as error:  # whatever a combination does is part of the answer
        return f"failed: {type(error).__name__}: {error}"
    return done.ended or ""


def _ran_out(out: Path, run: Run) -> bool:
    path = out / UNFINISHED / run.path
    return path.exists() and Record.load(path).diagnostics["ended"] == OUT_OF_TIME


def _ended(out: Path) -> dict[str, str]:
    return read_json(out / ENDED) if (out / ENDED).exists() else {}


def collected(out: Path) -> pd.DataFrame:
    """A row a value of each run, or a row without one: ``COLUMNS``; ``said``: of what a run warned, or why it has no
    value."""
    ended, rows = _ended(out), []
    for run in runs():
        head = {"system": run.task.name.removesuffix(f"-{run.task.tracker}"), "tracker": run.task.tracker}
        head["network"] = run.architecture.name
        finished, cut = out / FOLDER / run.path, out / UNFINISHED / run.path
        path = finished if finished.exists() else cut
        if path.exists():
            rows += [{**head, **value} for value in _values(Record.load(path), path == cut)]
        else:
            said = ended.get(str(run.path), "not run")
            rows.append({**head, "verdict": said.partition(":")[0], "said": said.partition(": ")[2]})
    return pd.DataFrame(rows, columns=COLUMNS)


def _values(record: Record, cut: bool) -> list[dict[str, Any]]:
    frame, out = record.frame("errors"), []
    frame = frame.dropna(subset=["total"]) if len(frame) else frame
    warned = "; ".join(dict.fromkeys(warning.kind for warning in record.warnings))
    for row in frame.to_dict("records"):
        distance, estimate = abs(row["total"]), row["error_estimate"]
        off = "warned" if warned else "silent"
        verdict = "near" if distance <= NEAR else "covered" if distance <= COVERED * estimate else off
        value = {"quantity": row["quantity"], "t": row["t"], "distance": distance, "error_estimate": estimate}
        out.append({**value, "cpu_s": record.cpu_s, "verdict": verdict, "said": warned})
    if cut:
        how, t = record.diagnostics["ended"], record.diagnostics["ended_t"]
        out.append({"cpu_s": record.cpu_s, "verdict": how, "said": f"at t = {t:.3g}"})
    return out


ORDER = ("near", "covered", "warned", "silent")  # best first


def matrix(values: pd.DataFrame) -> pd.DataFrame:
    """Trackers by systems: how many networks came out how, each by its worst value."""
    each = values.groupby(["tracker", "system", "network"], sort=False).verdict.agg(_worst)
    counts = each.groupby(["tracker", "system"], sort=False).agg(_counted)
    return counts.unstack("system", sort=False).reset_index()


def page(values: pd.DataFrame, seconds: float) -> str:
    """Of what `collected` gives; ``seconds``: the limit of a run."""
    said = values[values.quantity.isna() & (values.verdict != "not run")]
    places = said.assign(place=said.system + " " + said.tracker + " " + said.network)
    groups = places.groupby(["verdict", "said"], sort=False, dropna=False)
    sentences = groups.agg(times=("place", "size"), first=("place", "first")).reset_index()
    off = values[values.verdict.isin(["warned", "silent"])]
    covered = values[values.verdict == "covered"]
    content = {"matrix": matrix(values), "off": off, "covered": covered, "sentences": sentences}
    return pages.page(__file__, "defaults.md.j2", seconds=seconds, near=NEAR, within=COVERED, **content)


def _worst(verdicts: pd.Series) -> str:
    return max(verdicts, key=lambda verdict: ORDER.index(verdict) if verdict in ORDER else len(ORDER))


def _counted(verdicts: pd.Series) -> str:
    return ", ".join(f"{number} {verdict}" for verdict, number in verdicts.value_counts(sort=False).items())
