"""``run_suite``: exact references, networks, comparison, tables and plots of a suite, in one resumable folder.

OUT/suite.json      the declaration that was run
OUT/references/     exact vectors' values, by hash
OUT/records/        one JSON file per run; runs recorded here are not computed again
OUT/tables/  OUT/plots/
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from vanbench.compare.declare.sources import sources
from vanbench.compare.declare.task import Architecture, Run, Suite, load_suite
from vanbench.compare.run import execute, references
from vanbench.compare.run.claims import Claim, claimed, fail
from vanbench.compare.run.cluster import Cluster, connect
from vanbench.compare.run.parts import expected_cost, share
from vanbench.compare.run.pool import Job, Outcome, cores, run_jobs
from vanbench.compare.run.progress import Bars
from vanbench.compare.run.record import FOLDER, UNFINISHED, Record
from vanbench.exact import InputError
from vanbench.exact.errors import counted
from vanbench.exact.files import resolved, sweep, write_json
from vanbench.exact.registry import require_no_loading
from vanbench.exact.tidy import html
from vanbench.exact.warning import RunWarning

PATIENCE = 2.0  # seconds between two looks at what other calls work on
Ended = Callable[[Outcome], None]
Moved = Callable[[Job, int, int, str], None]
Go = Callable[[list[Job], Ended, Moved], None]  # runs jobs, here or on a cluster


@dataclass(repr=False)
class Summary:
    """What a call did: the number of records made, the number already there, and the runs that left none."""

    out: Path
    made: int = 0
    kept: int = 0
    failures: list[Outcome] = field(default_factory=list)
    warnings: list[tuple[str, int, RunWarning]] = field(default_factory=list)  # run without its seed, seed

    def __repr__(self) -> str:
        told = [f"{str(self.out)!r}", f"{counted(self.made, 'record')} made", f"{self.kept} kept"]
        told += [counted(len(self.failures), "failure")] if self.failures else []
        told += [counted(len(self.warnings), "warning")] if self.warnings else []
        return f"Summary({', '.join(told)})"

    def _repr_html_(self) -> str:
        """Of a notebook: what `repr` says, the runs that failed, and the table of errors at the last times."""
        import pandas as pd

        from vanbench.compare.show.columns import COLUMNS, text
        from vanbench.compare.show.tables import table, telling

        if self.failures:
            failed = pd.DataFrame([[item.job.label, item.failure] for item in self.failures], columns=["run", "failed"])
            return html(self, failed, ".failures")
        if not self.made + self.kept:
            return html(self)
        cases = table(self.out)
        shown = [name for name in telling(cases) if name != "mark"]
        cells = [[text(name, row) for name in shown] for row in cases.to_dict("records")]
        return html(
            self, pd.DataFrame(cells, columns=[COLUMNS[name].heading for name in shown]), f"vanbench table {self.out}"
        )


class NothingMade(InputError):
    """No run left a record; ``summary`` has why each failed."""

    def __init__(self, summary: Summary):
        first, number = summary.failures[0], len(summary.failures)
        what = "the one run" if number == 1 else f"all {number} runs"
        super().__init__(f"{what} failed; {first.job.label}: {first.failure}")
        self.summary = summary


def run_suite(
    suite: str | Suite,
    out: str | Path,
    architectures: Sequence[Architecture | str | type] | None = None,
    seed: int = 1,
    workers: int | None = None,
    device: str = "auto",
    console: Console | None = None,
    scheduler: str | None = None,
    part: tuple[int, int] = (1, 1),
) -> Summary:
    """Run every task of ``suite`` and write the records to the folder ``out``.

    ``architectures``, if given, replace the suite's: names, classes defined in a file, or `Architecture` with
    hyperparameters. ``workers``: number of parallel processes, by default one per core; with ``scheduler``, the address
    of a dask.distributed cluster, everything runs there instead. ``part``: ``(k, n)`` runs only the k-th of n shares of
    the runs (`parts`). ``console``: where the progress bar is shown, None for nowhere.

    Everything is checked before anything is computed; ``InputError`` says what is wrong. A run that fails leaves no
    record, is listed in the summary, and stops no other run; if all fail, ``NothingMade`` is raised. The call waits for
    runs that another call works on. If the machine refuses (a full disk), no more runs start: ``InputError``.
    """
    from vanbench.neural.backend import distributed

    require_no_loading("run_suite")
    suite, out = load_suite(suite) if isinstance(suite, str) else suite, Path(out)
    networks = [declared(network) for network in architectures or []]
    runs = [run for task in suite.tasks for run in task.runs(seed, networks or None)]
    runs = share(runs, expected_cost, *part)
    kinds = [
        next(same) for _, same in itertools.groupby(runs, key=lambda r: (r.task.name, r.shape, r.architecture.label))
    ]
    for first in kinds:
        execute.check(first)
        references.check(first.task)
    if not scheduler:  # whose workers have devices of their own
        distributed.named(device)
    summary = Summary(out)
    todo = [run for run in runs if not finished(run, out)]
    summary.kept = len(runs) - len(todo)
    for run in (run for run in runs if run not in todo):
        held = Record.load(out / FOLDER / run.path).warnings
        summary.warnings += [(_name(run), run.replica, warning) for warning in held]
    out = resolved(out)  # workers elsewhere have other working folders
    workers = min(workers or cores(), max(len(todo), 1))
    with closing(connect(scheduler)) if scheduler else nullcontext() as client:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "suite.json", suite.model_dump(mode="json"), out)
        sweep(out)

        cluster = Cluster(client, kinds, out) if client is not None else None
        go: Go = cluster.run if cluster else partial(_here, workers)
        with closing(cluster) if cluster else nullcontext():
            failed = _references(todo, out, go, console, summary)
            todo = [run for run in todo if (run.task.name, run.shape) not in failed]
            _runs(todo, out, go, device, console, summary)
    if summary.failures and not summary.made + summary.kept:
        raise NothingMade(summary)
    return summary


def declared(network: Architecture | str | type) -> Architecture:
    """A network as records name it. Raises ``InputError`` for a class that other processes cannot find."""
    if isinstance(network, Architecture):
        return network
    if isinstance(network, str):
        return Architecture.of(network)
    if not isinstance(network, type):
        raise InputError(f"a suite makes its own networks: give the class, not {type(network).__name__}(...).")
    home = sys.modules.get(network.__module__)
    file = getattr(home, "__file__", None)
    if "." in network.__qualname__ or file is None or getattr(home, network.__qualname__, None) is not network:
        raise InputError(f"{network.__qualname__} stands in no file: a suite needs file.py:{network.__name__}.")
    path, here = Path(file).resolve(), Path.cwd().resolve()
    script = str(path.relative_to(here) if path.is_relative_to(here) else path)
    home_name = network.__module__
    by_file = home_name == "__main__" or "@" in home_name  # of `exact.registry`
    return Architecture(name=f"{script if by_file else home_name}:{network.__qualname__}")


def _here(workers: int, jobs: list[Job], ended: Ended, moved: Moved) -> None:
    run_jobs(jobs, workers, ended, moved)


def _references(todo: list[Run], out: Path, go: Go, console: Any, summary: Summary) -> set:
    """Compute the missing references; returns the (task, shape) whose reference failed."""
    wanted = {}
    for run in todo:
        path = references.reference_path(run.task, run.shape, out)
        if run.task.references and not path.exists():
            wanted[path] = run
    jobs = [
        Job(f"exact {run.task.name} {'x'.join(map(str, run.shape))}", _reference, (run, out)) for run in wanted.values()
    ]
    failed = set()

    def ended(outcome: Outcome) -> None:
        if outcome.failure:
            summary.failures.append(outcome)
            run = outcome.job.arguments[0]
            failed.add((run.task.name, run.shape))

    _with_bar("exact references", jobs, go, console, ended)
    return failed


def _runs(todo: list[Run], out: Path, go: Go, device: str, console: Any, summary: Summary) -> None:
    dearest_first = sorted(todo, key=lambda run: -expected_cost(run))
    jobs = [Job(run.label, _execute, (run, out, device)) for run in dearest_first]

    def ended(outcome: Outcome) -> None:
        run = outcome.job.arguments[0]
        if (done := outcome.value) is not None:
            summary.warnings += [(_name(run), run.replica, warning) for warning in done.warnings]
            outcome = replace(outcome, failure=done.ended)
        if outcome.failure:
            summary.failures.append(outcome)
        elif outcome.value.made:
            summary.made += 1
        else:
            summary.kept += 1

    _with_bar("networks", jobs, go, console, ended)


def _name(run: Run) -> str:
    """What runs that differ in the seed alone share."""
    return run.label.removesuffix(f" #{run.replica + 1}")


def _reference(run: Run, out: Path, progress: Any) -> Claim | None:
    path = references.reference_path(run.task, run.shape, out)
    with claimed(path, f"exact {run.label}", out) as other:
        if other is None:
            references.reference(run.task, run.shape, out)
        return other


def _execute(run: Run, out: Path, device: str, progress: Any) -> execute.Done | Claim:
    from vanbench.neural.run import callbacks

    path = out / FOLDER / run.path
    with claimed(path, run.label, out) as other:
        if other is not None:
            return other
        if finished(run, out):  # in the meantime, by another call that runs into the same folder
            return execute.Done(path, Record.load(path).warnings, made=False)
        done = execute.execute(run, out, device, callbacks=[callbacks.progress(progress)])
    if done.ended:
        fail(path, run.label, done.ended)
    return done


def finished(run: Run, out: Path) -> bool:
    """Whether the folder ``out`` has the record of ``run``. Raises ``InputError`` rather than have one overwritten that
    cannot be read, or is of another version of somebody's network or system."""
    path = out / FOLDER / run.path
    if not path.exists():
        return False
    now = sources(run)
    if Record.load(path).provenance.get("sources", now) != now:
        raise InputError(
            f"{str(path)!r} is of another version of {' and '.join(now) or 'the code'}: give a new --out, or delete it."
        )
    return True


def _with_bar(title: str, jobs: list[Job], go: Go, console: Console | None, ended: Any) -> None:
    """Run the jobs under one bar that moves with the steps of every job, so that its estimate of the end is fair, and
    counts in the end what was made. Jobs that another call has claimed are asked for again until they are done."""
    if not jobs:
        return
    parts: dict[str, float] = {}
    held: dict[str, tuple[Job, Claim]] = {}
    with Bars(console or Console(quiet=True)) as bar:
        line = bar.add(title, len(jobs))

        def moved(job: Job, step: int, total: int, message: str) -> None:
            parts[job.label] = min(step / total, 1.0)
            bar.update(line, completed=sum(parts.values()), note=f"{job.label}: {message}")

        def done(outcome: Outcome) -> None:
            if isinstance(outcome.value, Claim):
                held[outcome.job.label] = (outcome.job, outcome.value)
                return
            if outcome.refused:
                raise InputError(f"{outcome.failure} No half-written file is left; the same command resumes.")
            parts[outcome.job.label] = 0.0 if outcome.failure else 1.0
            bar.update(line, completed=sum(parts.values()))
            ended(outcome)

        while jobs:
            go(jobs, done, moved)
            jobs = [job for job, _ in held.values()]
            for job, claim in held.values():
                bar.update(line, note=f"{job.label}: waiting for {claim}")
            held.clear()
            if jobs:
                time.sleep(PATIENCE)
        bar.update(line, note="")


OURS = {FOLDER, UNFINISHED, references.FOLDER, "suite.json", "checkpoint", "tensorboard", "tables", "plots"}


def require_empty_or_run_folder(out: Path) -> None:
    """Raise ``InputError`` where ``out`` is a file, or a folder with other files than those of runs."""
    if any(out.parts[k] == ".." and not Path(*out.parts[:k]).is_dir() for k in range(1, len(out.parts))):
        raise InputError(f"{str(out)!r} goes up from a folder that does not exist: give it without '..'.")
    if out.exists() and not out.is_dir():
        raise InputError(f"{str(out)!r} is a file: give a folder.")
    there = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if any(not name.startswith(".") for name in there) and not there & OURS:
        raise InputError(f"{str(out)!r} holds other files: give a new folder, or one of an earlier run.")
