"""Scans over many counting fields: one field after the other or several processes, saved as they come, resumed."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vanbench.exact.definitions.quantities import evolved, functions, order_of
from vanbench.exact.definitions.quantity import COUNTED
from vanbench.exact.definitions.states import available_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, Unstable
from vanbench.exact.files import read_text, write_text
from vanbench.exact.registry import digests
from vanbench.exact.solve import MATRIX_PRODUCTS, asked_of, by_field, require_values
from vanbench.exact.tidy import Table

if TYPE_CHECKING:
    import pandas as pd

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
    """`scanned` as a frame."""
    return scanned(system, s, times, folder, processes, progress, **options).frame()


def scanned(
    system: System,
    s: Sequence[float],
    times: float | Sequence[float] = (1.0,),
    folder: Path | None = None,
    processes: int = 1,
    progress: Progress | None = None,
    **options: Any,
) -> Table:
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
    there = {value: table for value in fields if (table := _stored(folder, value)) is not None}
    missing = [value for value in fields if value not in there]
    processes = _affordable(system, processes, order_of(row.name for row in rows), options.get("method", "auto"))
    if folder is not None:
        options["folder"] = Path(folder) / "unfinished"  # of the long runs within one field
    if processes == 1:
        options["progress"] = progress
    for value, table in _computed(system, missing, times, processes, options):
        there[value] = table
        if folder is not None:
            _store(folder, value, table)
        if progress:
            progress(f"s = {value:g}: done, {len(there)} of {len(fields)}")
    if folder is not None:
        with contextlib.suppress(OSError):  # not there, or somebody else still works in it
            options["folder"].rmdir()
    whole = Table.joined(there[value] for value in fields)
    require_values(whole, options.get("scheme", "continuous"), options.get("dt"))
    whole.methods = whole.methods or ("as stored",)
    return whole


def _computed(
    system: System, fields: list[float], times: Any, processes: int, options: dict[str, Any]
) -> Iterator[tuple[float, Table]]:
    if processes == 1:
        yield from _each(system, fields, times, options)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    context = multiprocessing.get_context("spawn")  # threads of the compiled loops do not survive a fork
    with ProcessPoolExecutor(processes, context, _one_thread) as pool:
        jobs = [pool.submit(_one, system, value, times, options) for value in fields]
        for job in as_completed(jobs):
            yield job.result()


def _one(system: System, value: float, times: Any, options: dict[str, Any]) -> tuple[float, Table]:
    return next(_each(system, [value], times, options))


def _each(system: System, fields: list[float], times: Any, options: dict[str, Any]) -> Iterator[tuple[float, Table]]:
    """A scan goes on where the Euler scheme of an open quantum system is unstable: its rows say so."""
    left = list(fields)
    while left:
        try:
            for value, table in by_field(system, left, times, **options):
                yield value, table
                left = left[1:]
        except Unstable as error:
            yield left[0], _without_values(system, left[0], times, options, str(error))
            left = left[1:]


def _without_values(system: System, value: float, times: Any, options: dict[str, Any], note: str) -> Table:
    names = [row.name for row in asked_of(system, options.get("quantities"), options.get("method", "auto"))]
    head, grid = {"s": value, "value": np.nan, "note": note}, np.atleast_1d(np.asarray(times, float))
    lost = [row.name for row in evolved(names)]
    tables = [Table([{"quantity": name, "t": t, **head} for name in lost for t in grid])]
    if steady := [name for name in names if name not in lost]:  # those of W_s itself, whatever the scheme
        still = {**options, "quantities": steady, "scheme": "continuous"}
        tables += [table for _, table in by_field(system, [value], times, **still)]
    return Table.joined(tables)


def _one_thread() -> None:
    import numba

    numba.set_num_threads(1)


def _affordable(system: System, processes: int, order: int, method: str) -> int:
    if processes < 1:
        raise InputError("a scan needs at least one process.")
    if processes == 1:
        return 1
    if method in MATRIX_PRODUCTS:  # which are small
        return processes
    from vanbench.exact.matrixfree.kernel import Layout
    from vanbench.exact.method import needed

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
        raise InputError(f"{str(folder)!r} cannot be created as a folder: {error.strerror}.") from error
    note = folder / "question.json"
    if note.exists() and read_text(note) != question:
        raise InputError(f"{folder} holds a scan of another system or other options: give an empty folder.")
    write_text(note, question, folder)


def _file(folder: Path, value: float) -> Path:
    return Path(folder) / f"s={float(value)!r}.csv"


def _stored(folder: Path | None, value: float) -> Table | None:
    if folder is None or not _file(folder, value).exists():
        return None
    reader = csv.DictReader(io.StringIO(read_text(_file(folder, value))))
    if "bound_kind" not in (reader.fieldnames or ()):  # of a version whose bounds did not all hold: done again
        return None
    try:
        rows = [{name: _read(name, text) for name, text in row.items()} for row in reader]
        if not rows or any(row["value"] is None or row["s"] != value or not row["quantity"] for row in rows):
            raise ValueError("its rows are not of this field")
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        path = str(_file(folder, value))
        raise InputError(f"{path!r} is damaged ({error}): delete it, and the same command computes it.") from error
    return Table(rows)


def _read(name: str, text: str) -> Any:
    if name in ("quantity", "bound_kind", "note"):
        return text
    if name == "t" and not text:  # of what has no time
        return None
    number = float(text or "nan")
    return int(number) if name in COUNTED and number == number else number


def _store(folder: Path, value: float, table: Table) -> None:
    columns, text = table.columns(), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_written(item) for item in cells] for cells in zip(*columns.values()))
    write_text(_file(folder, value), text.getvalue(), folder)


def _written(item: Any) -> str:
    if isinstance(item, str):
        return item
    return "" if item is None or item != item else repr(item.item() if isinstance(item, np.generic) else item)
