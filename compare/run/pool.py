"""Jobs on the cores of one machine: one process a job, so that a job that dies takes nothing else with it.

Processes come from a fork server that has the heavy libraries loaded already: a job starts in milliseconds, and its
peak memory is its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from types import ModuleType
from typing import Any

from vanbench.exact import InputError
from vanbench.exact.files import fault_of_machine

PATIENCE = 5.0  # seconds that a process has to end before it is killed
PRELOAD = ["vanbench.compare.run.warm", "vanbench.neural"]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
OWN_HANDLES, HANDLES = 64, 8  # of this process, with the libraries' own, and of each process that it starts
Report = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Job:
    """``function(*arguments, progress=...)`` with picklable parts."""

    label: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of a job: ``value``, or ``failure`` in one sentence (``crash``: with the traceback; ``refused``: by
    the machine, which would refuse every other job too)."""

    job: Job
    value: Any = None
    failure: str | None = None
    crash: str | None = None
    refused: bool = False


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    jobs: Sequence[Job],
    workers: int,
    on_outcome: Callable[[Outcome], None],
    on_progress: Callable[[Job, int, int, str], None] | None = None,
) -> None:
    """Run ``jobs``, at most ``workers`` at once, each on one thread; with one worker, here in this process.

    ``on_outcome`` is called once for each job, in the order in which they end. On any exception here (Ctrl-C too) every
    process is ended before it goes on.
    """
    if workers <= 1:
        with one_thread():
            for job in jobs:
                on_outcome(attempt(job, _reporter(job, on_progress)))
    else:
        run_in_processes(jobs, workers, on_outcome, on_progress)


def run_in_processes(
    jobs: Sequence[Job],
    workers: int,
    on_outcome: Callable[[Outcome], None],
    on_progress: Callable[[Job, int, int, str], None] | None = None,
) -> None:
    """The same, each job in a process of its own. Raises ``InputError`` where file handles are too few for that."""
    _require_handles(workers)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    waiting = list(jobs)
    running: dict[Any, tuple[Job, Any]] = {}
    saved = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # inherited by the fork server: one thread a process
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_child, args=(job, theirs), daemon=True)
                with _no_script():
                    process.start()
                theirs.close()
                running[ours] = (job, process)
            for pipe in wait(list(running)):
                job, process = running[pipe]
                outcome = _read(pipe, job, process, on_progress)
                if outcome is not None:
                    del running[pipe]
                    process.join()
                    on_outcome(outcome)
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join(PATIENCE)
            process.kill()  # still in compiled code
            process.join()
        for name, value in saved.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def _no_script() -> Iterator[None]:
    """Inside, a process that starts does not run the script of this one: no job needs it, and one that calls
    `run_suite` outside ``if __name__ == "__main__"`` would begin anew in each."""
    held, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = held


def _require_handles(workers: int) -> None:
    """Raise the limit on open files to what ``workers`` processes take, as far as this process may."""
    wanted = OWN_HANDLES + HANDLES * workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < wanted:
        if hard != unlimited and hard < wanted:
            raise InputError(
                f"{hard} file handles are too few for {workers} processes: take fewer --jobs, or raise ulimit -n."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch and compiled loops use one thread: several gain nothing on small networks, and wait for each other
    where a core is busy."""
    import numba
    import torch

    before = torch.get_num_threads(), numba.get_num_threads()
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


def _read(pipe: Any, job: Job, process: Any, on_progress: Any) -> Outcome | None:
    """One message of a running job; its outcome if that was the last."""
    try:
        kind, content = pipe.recv()
    except (EOFError, OSError):
        process.join()
        return Outcome(job, failure=f"the process died (exit code {process.exitcode}); run again to repeat this one.")
    if kind == "outcome":
        return content
    if on_progress is not None:
        on_progress(job, *content)
    return None


def _child(job: Job, pipe: Connection) -> None:
    for number in (signal.SIGINT, signal.SIGHUP):  # the parent's, who ends this process
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # half a file is taken away again
    import torch

    torch.set_num_threads(1)

    def tell(kind: str, content: Any) -> None:
        try:
            pipe.send((kind, content))
        except (BrokenPipeError, ConnectionResetError):  # the parent was killed: its claims are given back
            sys.exit(128 + signal.SIGPIPE)

    tell("outcome", attempt(job, lambda *message: tell("progress", message)))


def attempt(job: Job, progress: Report) -> Outcome:
    """Do the job in this process; an exception becomes its outcome."""
    try:
        return Outcome(job, job.function(*job.arguments, progress=progress))
    except InputError as error:
        return Outcome(job, failure=str(error))
    except OSError as error:
        if fault := fault_of_machine(error):
            return Outcome(job, failure=fault, refused=True)
        return Outcome(job, failure=f"OSError: {error}", crash=traceback.format_exc())
    except Exception as error:
        return Outcome(job, failure=f"{type(error).__name__}: {error}", crash=traceback.format_exc())


def _reporter(job: Job, on_progress: Callable[[Job, int, int, str], None] | None) -> Report:
    return (lambda *message: on_progress(job, *message)) if on_progress else (lambda *message: None)
