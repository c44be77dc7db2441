"""Jobs on the machines of an existing dask.distributed cluster, a few at a time on each worker.

A worker is looked at when it joins (`remote`, `server`): what is installed there, whether it sees the run's folder and
reads the same code of this package and of one's own networks. One that differs in versions ends the call before its
first run; one that cannot run is named and left out. A job whose worker is lost goes to another, three times at most.
dask.distributed is imported only here, when it is asked for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from vanbench.compare.declare.sources import sources
from vanbench.compare.declare.task import Run
from vanbench.compare.run import execute, remote
from vanbench.compare.run.pool import Job, Outcome
from vanbench.compare.run.provenance import code, versions
from vanbench.compare.show import warned
from vanbench.exact import InputError
from vanbench.exact.errors import optional

CONNECT_SECONDS = 15
SILENCE = 5.0  # seconds without a worker after which it is said
LOOK = 1.0  # seconds between two looks at who is there
TIMES = 3  # that a job is begun
AHEAD = 2  # jobs for each thread of a worker, so that none waits for this process


def connect(address: str) -> Any:
    """A client of the scheduler at ``address``. Raises ``InputError``."""
    distributed = optional("distributed", "--scheduler")
    import cloudpickle

    cloudpickle.register_pickle_by_value(remote)
    for name in ("distributed", "distributed.client"):  # each has a level of its own
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters is told in sentences of our own
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"no dask scheduler answers at {address!r}: {str(error) or type(error).__name__}.") from error


@dataclass(frozen=True)
class State:
    """What a machine would run: ``seen``: whether it sees the run's folder; ``own``: digests of one's own files."""

    seen: bool
    package: str
    versions: dict[str, str]
    own: dict[str, str]


def state(runs: Sequence[Run], folder: Path, progress: Any = None) -> State:
    """Of this process. Raises ``InputError`` for a network or system that is not here."""
    own: dict[str, str] = {}
    for run in runs:
        execute.check(run)
        own |= sources(run)
    return State(folder.is_dir(), code(), versions(), own)


@dataclass
class Cluster:
    """The workers of ``client`` for one call; ``runs``: one of each task, shape and network."""

    client: Any
    runs: Sequence[Run]
    folder: Path
    call: str = field(default_factory=lambda: uuid4().hex)
    fit: dict[str, int] = field(default_factory=dict)  # address: threads
    unfit: dict[str, str] = field(default_factory=dict)  # address: why
    asked: dict[str, Any] = field(default_factory=dict)  # address: the future of its state
    here: State | None = None
    versions: tuple[str, dict[str, str]] | None = None  # of the first worker
    alone: float | None = None  # since when there is no worker; infinity once that was said
    begun: bool = False

    def run(
        self,
        jobs: Sequence[Job],
        on_outcome: Callable[[Outcome], None],
        on_progress: Callable[[Job, int, int, str], None] | None = None,
    ) -> None:
        """``on_outcome`` once for each job, in the order in which they end.

        On any exception here (Ctrl-C too) what has not started is cancelled before it goes on. Raises ``InputError``
        where no worker can run, or the scheduler is lost.
        """
        waiting: deque[tuple[Job, int]] = deque((job, 0) for job in jobs)
        running: dict[Any, tuple[Job, int, str]] = {}  # future: job, times begun, worker
        by_label = {job.label: job for job in jobs}

        def told(event: Any) -> None:
            label, *message = event[1]
            if on_progress is not None and label in by_label:
                on_progress(by_label[label], *message)

        self.client.subscribe_topic(self.call, told)
        try:
            while waiting or running:
                self._look(working=bool(running))
                self._hand_out(waiting, running)
                for future in self._ended(running):
                    job, times, worker = running.pop(future)
                    if future.status != "cancelled" and worker in self.fit:
                        on_outcome(_outcome(future, job, worker))
                    elif times < TIMES:
                        waiting.appendleft((job, times))
                    else:
                        on_outcome(Outcome(job, failure="every worker that took it was lost; run again to repeat it."))
        except (OSError, TimeoutError) as error:
            raise InputError(
                f"the scheduler is lost ({str(error) or type(error).__name__}): finished runs are kept; restart it and "
                "its workers, and the same command resumes."
            ) from error
        finally:
            if self.client.status == "running":
                self.client.unsubscribe_topic(self.call)
                self.client.cancel(list(running))

    def close(self) -> None:
        """End the processes that this call started on the workers."""
        with contextlib.suppress(Exception):  # the scheduler may be gone
            if self.client.status == "running":
                self.client.run(remote.close, self.call, on_error="ignore")

    def _ended(self, running: dict[Any, tuple[Job, int, str]]) -> list[Any]:
        """Futures that are done, or whose worker is gone, after a moment at most."""
        from distributed import CancelledError, wait

        lost = [future for future, (_, _, worker) in running.items() if worker not in self.fit]
        for future in lost:
            future.cancel()
        if lost:
            return lost
        if not running:
            time.sleep(LOOK / 4)
            return []
        if self.client.status != "running":
            raise OSError("it answers no more")
        try:
            return list(wait(list(running), timeout=LOOK, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return []
        except CancelledError:  # by a scheduler that is gone, or came back without them
            if self.client.status != "running":
                raise OSError("it answers no more") from None
            return [future for future in running if future.done()]

    def _hand_out(self, waiting: deque, running: dict) -> None:
        if self.asked and not self.begun:  # those that are there are all looked at before the first run
            return
        self.begun = self.begun or bool(self.fit)
        for worker, threads in self.fit.items():
            free = AHEAD * threads - sum(busy == worker for _, _, busy in running.values())
            for _ in range(min(free, len(waiting))):
                job, times = waiting.popleft()
                running[self._submit(job, worker)] = job, times + 1, worker

    def _submit(self, job: Job, worker: str) -> Any:
        asked = pickle.dumps(job), self.call, os.getcwd(), self.call
        return self.client.submit(remote.far, *asked, workers=[worker], allow_other_workers=False, pure=False)

    def _look(self, working: bool) -> None:
        """Who is there, and fit to run."""
        there = self.client.scheduler_info(n_workers=-1)["workers"]
        for gone in [worker for worker in (*self.fit, *self.asked) if worker not in there]:
            self.fit.pop(gone, None)
            self.asked.pop(gone, None)
        for worker in there:
            if worker not in self.fit and worker not in self.unfit and worker not in self.asked:
                self.asked[worker] = self._submit(Job(f"state of {worker}", state, (self.runs, self.folder)), worker)
        for worker in [worker for worker, future in self.asked.items() if future.done()]:
            why = self._wrong(worker, _outcome(self.asked.pop(worker), None, worker))
            if why is None:
                self.fit[worker] = there[worker]["nthreads"]
            else:
                self.unfit[worker] = why
                warned.tell([f"worker {worker} is left out: {why}"])
        if not there:
            self._nobody()
        else:
            self.alone = None
        if there and not self.asked and not self.fit and not working:
            raise InputError("no worker can run this: " + "; ".join(f"{w}: {self.unfit[w]}" for w in there))

    def _nobody(self) -> None:
        self.alone = time.monotonic() if self.alone is None else self.alone
        if time.monotonic() - self.alone > SILENCE:
            address = self.client.scheduler.address
            warned.tell(
                [f"no worker is connected to {address}; waiting. Start some: dask worker {address} --nworkers 8"]
            )
            self.alone = float("inf")

    def _wrong(self, worker: str, outcome: Outcome) -> str | None:
        """Why ``worker`` cannot run, None where it can. Raises ``InputError`` where versions differ."""
        if outcome.failure:
            return outcome.failure
        there: State = outcome.value
        self.here = self.here or state(self.runs, self.folder)
        if not there.seen:
            return f"it does not see {str(self.folder)!r}: give a folder on a shared file system."
        why = None
        first, known = self.versions = self.versions or (worker, there.versions)
        unlike = [name for name in known if there.versions.get(name) != known[name]]
        if there.package != self.here.package:
            why = f"worker {worker} has another version of vanbench's code than this machine."
        elif unlike:
            differ = ", ".join(f"{name} {known[name]} and {there.versions.get(name)}" for name in unlike)
            why = f"workers {first} and {worker} differ: {differ}; their results must not be mixed."
        if why and not self.begun:
            raise InputError(why)
        other = [name for name, own in self.here.own.items() if there.own.get(name) != own]
        return why or (f"it reads another version of {', '.join(other)} than this machine." if other else None)


def _outcome(future: Any, job: Any, worker: str) -> Outcome:
    """What came of it, by name of the worker where that is what went wrong."""
    try:
        outcome: Outcome = pickle.loads(future.result(timeout=60))
    except Exception as error:  # what goes wrong on the way: vanbench is not installed there, say
        return Outcome(job, failure=f"worker {worker}: {str(error) or type(error).__name__}")
    return Outcome(job, outcome.value, outcome.failure, outcome.crash, outcome.refused)
