"""A process beside a Dask worker that runs one job after another, each in a fresh process of its own."""

from __future__ import annotations

import os
import pickle
import select
import sys
from typing import Any, BinaryIO

from vanbench.compare.run.pool import Job, Outcome, run_in_processes
from vanbench.compare.run.remote import _send

IDLE = 600.0  # seconds without a job after which a call is taken for killed: its worker lives on


def serve() -> None:
    """Pickled jobs from stdin, their pickled outcomes to stdout, until stdin ends or nothing comes. Whatever else is
    printed is dropped: nobody reads it."""
    answers = os.fdopen(os.dup(1), "wb")
    errors = os.open(os.devnull, os.O_WRONLY)
    os.dup2(errors, 1)
    last = os.dup(2)  # words
    os.dup2(errors, 2)
    try:
        _answer(answers)
    except Exception as error:
        os.write(last, f"{type(error).__name__}: {error}".encode())
        raise


def _answer(answers: BinaryIO) -> None:
    asked = sys.stdin.buffer
    while select.select([asked], [], [], IDLE)[0] and len(head := asked.read(8)) == 8:
        job = pickle.loads(asked.read(int.from_bytes(head, "big")))
        _serve(job, answers)


def _serve(job: Job, answers: BinaryIO) -> None:
    def ended(outcome: Outcome) -> None:
        answers.write(b"o")
        _send(answers, pickle.dumps(outcome))

    def moved(job: Job, *message: Any) -> None:
        answers.write(b"p")
        _send(answers, pickle.dumps((job.label, *message)))

    run_in_processes([job], 1, ended, moved)
