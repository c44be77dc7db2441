"""Scans over many counting fields: one field after the other or several processes, saved as they come, resumed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.exact.definitions.quantities import evolved, functions, order_of
from vanbench.exact.definitions.states import available_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, Unstable
from vanbench.exact.files import write_text
from vanbench.exact.matrixfree.kernel import Layout
from vanbench.exact.method import needed
from vanbench.exact.registry import digests
from vanbench.exact.solve import asked_of, solve
from vanbench.exact.tidy import tidy

Progress = Callable[[str], None]


def scan(
    system: System,
    s: Sequence[float],
    times: float | Sequence[float] = (1.0,),
    folder: Path | None = None,
    processes: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> pd.DataFrame:
    """``solve(system, s, times, ...)`` for many ``s``, each stored in ``folder`` when it is done and not done twice.

    ``processes``: how many fields are worked on at once, each on one thread and with its own vectors; fewer where
    memory does not hold them. ``options`` go to ``solve``. Raises ``InputError`` if ``folder`` holds another question.
    """
    fields = list(dict.fromkeys(float(value) for value in np.atleast_1d(np.asarray(s, dtype=float))))
    if isinstance(options.get("quantities"), str):
        options["quantities"] = (options["quantities"],)
    if not fields:
        raise InputError("a scan needs at least one field s.")
    rows = asked_of(system, options.get("quantities"), options.get("method", "auto"))
    for value in (min(fields), max(fields)):
        for term in system.terms:  # raises where exp(-s) overflows, before anything is written
            term.tilted(options.get("observable", "activity"), value)
    if folder is not None:
        _check_folder(Path(folder), _question(system, times, options))
    found = {value: frame for value in fields if (frame := _stored(folder, value)) is not None}
    missing = [value for value in fields if value not in found]
    processes = _affordable(system, processes, order_of(row.name for row in rows), options.get("method", "auto"))
    if folder is not None:
        options["folder"] = Path(folder) / "unfinished"  # of the long runs within one field
    if processes == 1:
        options["progress"] = progress
    for value, frame in _computed(system, missing, times, processes, options):
        found[value] = frame
        if folder is not None:
            _store(folder, value, frame)
        if progress:
            progress(f"s = {value:g}: done, {len(found)} of {len(fields)}")
    if folder is not None:
        with contextlib.suppress(OSError):  # not there, or somebody else still works in it
            options["folder"].rmdir()
    unstable = [_unstable(frame) for frame in found.values()]
    if all(unstable):
        raise Unstable(unstable[0])
    whole = pd.concat([found[value] for value in fields], ignore_index=True)
    taken = {name for frame in found.values() if (name := frame.attrs.get("method"))}
    whole.attrs["method"] = ", ".join(sorted(taken)) or "as stored"
    return whole


def _computed(
    system: System, fields: list[float], times: Any, processes: int, options: dict[str, Any]
) -> Iterator[tuple[float, pd.DataFrame]]:
    if processes == 1:
        for value in fields:
            yield value, _one(system, value, times, options)
        return
    context = multiprocessing.get_context("spawn")  # threads of the compiled loops do not survive a fork
    with ProcessPoolExecutor(processes, context, _one_thread) as pool:
        jobs = {pool.submit(_one, system, value, times, options): value for value in fields}
        for job in as_completed(jobs):
            yield jobs[job], job.result()


def _one(system: System, value: float, times: Any, options: dict[str, Any]) -> pd.DataFrame:
    """One field. A scan goes on where the Euler scheme is unstable: its rows say so."""
    try:
        return solve(system, [value], times, **options)
    except Unstable as error:
        names = [row.name for row in asked_of(system, options.get("quantities"), options.get("method", "auto"))]
        head, grid = {"s": value, "value": np.nan, "note": str(error)}, np.atleast_1d(np.asarray(times, float))
        lost = [row.name for row in evolved(names)]
        frames = [tidy([{"quantity": name, "t": t, **head} for name in lost for t in grid])]
        if steady := [name for name in names if name not in lost]:  # those of W_s itself, whatever the scheme
            frames.append(solve(system, [value], times, **{**options, "quantities": steady, "scheme": "continuous"}))
        return pd.concat(frames, ignore_index=True)


def _unstable(frame: pd.DataFrame) -> str:
    """Why no value at any time is there, or empty."""
    evolved = frame[frame.t.notna()]
    return evolved.note.iloc[0] if len(evolved) and evolved.value.isna().all() else ""


def _one_thread() -> None:
    import numba

    numba.set_num_threads(1)


def _affordable(system: System, processes: int, order: int, method: str) -> int:
    if processes < 1:
        raise InputError("a scan needs at least one process.")
    each = needed(system, Layout(system), order, method) + 3e8  # the libraries themselves
    return max(1, min(processes, int(0.8 * available_memory() / each)))


def _question(system: System, times: Any, options: dict[str, Any]) -> str:
    options = {key: value for key, value in options.items() if key not in ("progress", "folder")}
    if sources := digests(functions(options.get("quantities") or ())):
        options["sources"] = sources
    told = {
        "system": system.name, "shape": system.shape, "terms": system.fingerprint,
        "times": np.atleast_1d(times).tolist(), "options": options,
    }  # fmt: skip
    return json.dumps(told, sort_keys=True, default=str)


def _check_folder(folder: Path, question: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{str(folder)!r} cannot be made a folder: {error.strerror}.") from error
    note = folder / "question.json"
    if note.exists() and note.read_text() != question:
        raise InputError(f"{folder} holds a scan of another system or other options: give an empty folder.")
    write_text(note, question)


def _file(folder: Path, value: float) -> Path:
    return Path(folder) / f"s={float(value)!r}.csv"


def _stored(folder: Path | None, value: float) -> pd.DataFrame | None:
    if folder is None or not _file(folder, value).exists():
        return None
    frame = pd.read_csv(_file(folder, value), dtype={"note": str, "bound_kind": str})
    if "bound_kind" not in frame:  # of a version whose bounds did not all hold: done again
        return None
    return frame.fillna({"note": "", "bound_kind": ""})


def _store(folder: Path, value: float, frame: pd.DataFrame) -> None:
    write_text(_file(folder, value), frame.to_csv(index=False), folder)
