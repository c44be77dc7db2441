"""Jobs on the machines of an existing dask.distributed cluster: one submission a job, results as they come.

The workers must see the run's folder and have vanbench installed. Dask starts a job again elsewhere when its worker is
lost, and gives it up after the third; nothing else is touched. A job that finds its record finished does nothing, so a
second start costs nothing. dask.distributed is imported only here, when it is asked for.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vanbench.compare.run.pool import Job, Outcome, attempt
from vanbench.exact import InputError
from vanbench.exact.errors import optional

CONNECT_SECONDS = 15
ONE_AT_A_TIME = threading.Lock()  # torch's global seed and Python's warnings are a process's, not a thread's


def connect(address: str) -> Any:
    """A client of the scheduler at ``address``. Raises ``InputError``."""
    distributed = optional("distributed", "--scheduler")
    try:
        return distributed.Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"no dask scheduler answers at {address!r}: {str(error) or type(error).__name__}.") from error


def require_shared(client: Any, folder: Path) -> None:
    """Raise ``InputError`` where a worker does not see ``folder``; workers that come later are trusted to."""
    seen = client.run(os.path.isdir, str(folder.resolve()))
    for worker, visible in seen.items():
        if not visible:
            raise InputError(f"worker {worker} does not see {str(folder)!r}: give a folder on a shared file system.")


def run_jobs_on(client: Any, jobs: Sequence[Job], on_outcome: Callable[[Outcome], None]) -> None:
    """Run ``jobs`` on the cluster; ``on_outcome`` once for each, in the order in which they end.

    On any exception here (Ctrl-C too) what has not started is cancelled before it goes on.
    """
    from distributed import as_completed

    futures = {client.submit(_far, job, os.getcwd(), pure=False): job for job in jobs}
    try:
        for future in as_completed(futures):
            on_outcome(_outcome(future, futures[future]))
            future.release()  # or a worker lost later would have its finished jobs done again
    except BaseException:
        client.cancel(list(futures))
        raise


def _outcome(future: Any, job: Job) -> Outcome:
    """What came of it. Where the worker that held the answer was lost, this waits until another has it."""
    from distributed import CancelledError, KilledWorker

    try:
        return future.result()
    except KilledWorker:
        return Outcome(job, failure="every worker that took it was lost; run again to repeat this one.")
    except CancelledError:
        return Outcome(job, failure="it was cancelled; run again to repeat this one.")
    except Exception as error:  # what goes wrong on the way: vanbench is not installed there, say
        return Outcome(job, failure=f"{type(error).__name__}: {error}")


def _far(job: Job, here: str) -> Outcome:
    """On the worker: the job, with the files and modules of the folder that the command was given in."""
    import torch

    with ONE_AT_A_TIME:
        if os.path.isdir(here):
            os.chdir(here)
        if here not in sys.path:
            sys.path.insert(0, here)
        torch.set_num_threads(1)  # as in the local pool: as many workers as cores
        return attempt(job, lambda *message: None)
