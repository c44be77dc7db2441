"""What a Dask worker itself executes: the standard library alone, sent by value, so that neither the scheduler nor a
worker that lives on needs this package, let alone the same version of it.

The work is done by fresh processes (`server`), one server for each call of ``vanbench run`` and each job at a time.
"""

from __future__ import annotations

from typing import Any


def far(job: bytes, call: str, here: str, topic: str) -> bytes:
    """A pickled outcome of the pickled job, by a server of this ``call``, started in the folder ``here``; progress goes
    to the events under ``topic``. Raises ``RuntimeError`` where no server starts."""
    import pickle
    import time

    from distributed import get_worker

    worker = get_worker()
    held = worker.__dict__.setdefault("_vanbench", {})
    idle, servers = held.setdefault(call, ([], []))
    server, told = idle.pop() if idle else _start(here), 0.0
    if server.poll() is not None:  # it had nothing to do for long
        server = _start(here)
    servers.append(server)
    try:
        _send(server.stdin, job)
        while True:
            kind, content = _receive(server.stdout)
            if kind == "outcome":
                idle.append(server)
                return content
            if time.monotonic() - told > 1.0:
                told = time.monotonic()
                worker.log_event(topic, pickle.loads(content))
    except (EOFError, OSError) as error:
        server.kill()
        last = server.stderr.read().decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(last[0] if last else "its process ended without a message") from error


def close(call: str, dask_worker: Any = None) -> None:
    """End the servers of a call, with what they do."""
    for server in dask_worker.__dict__.get("_vanbench", {}).pop(call, ([], []))[1]:
        server.kill()


def _start(here: str) -> Any:
    import os
    import subprocess
    import sys

    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from vanbench.compare.run.server import serve; serve()"
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    where = here if os.path.isdir(here) else None
    return subprocess.Popen(
        [sys.executable, "-c", code, here], cwd=where, env={**os.environ, **dict.fromkeys(threads, "1")}, **pipes
    )


def _send(stream: Any, content: bytes) -> None:
    stream.write(len(content).to_bytes(8, "big") + content)
    stream.flush()


def _receive(stream: Any) -> tuple[str, bytes]:
    kind, length = stream.read(1), int.from_bytes(stream.read(8), "big")
    content = stream.read(length)
    if not kind or len(content) < length:
        raise EOFError
    return {b"o": "outcome", b"p": "progress"}[kind], content
