"""Results of other codes as they come: tables of values (CSV) and samples of configurations (``.npz``)."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vanbench.compare.declare import parse
from vanbench.exact import InputError
from vanbench.exact.errors import unknown
from vanbench.exact.files import read_arrays, require_file

NEEDED = ("shape", "s", "t", "quantity", "value")
NUMBERS = ("stderr", "site", "distance", "cpu_s", "wall_s", "memory_mib", "parameters")
COLUMNS = (*NEEDED, "seed", "task", *NUMBERS)
WHOLE = ("site", "distance", "parameters")
COST = ("cpu_s", "wall_s", "memory_mib", "parameters")  # of a run: the largest that its rows give
DELIMITERS = "\t;,"
LARGEST = 1e100  # of any number, as in a record
MOST = 2**53  # whole numbers up to here are what they are also as a double
ARRAYS = ("x", "shape", "s", "t", "seed", "task", "weights")


@dataclass(frozen=True)
class Value:
    """One row of a table; ``where`` names it in a sentence."""

    where: str
    shape: tuple[int, ...]
    s: float
    t: float
    quantity: str
    value: float  # may be infinite or NaN: a code that diverged says so
    seed: int = 1
    task: str | None = None
    extra: dict[str, float] = field(default_factory=dict)  # of NUMBERS, those that are given


@dataclass(frozen=True)
class Samples:
    """Configurations ``x`` ``(n, n_sites)`` from the distribution at ``t``, with ``weights`` ``(n,)`` of total one."""

    where: str
    x: np.ndarray
    weights: np.ndarray
    shape: tuple[int, ...] | None
    s: float | None
    t: float | None
    seed: int = 1
    task: str | None = None


def read_table(path: Path) -> list[Value]:
    """The rows of a CSV file (commas, semicolons or tabs) with a heading. ``InputError`` names the row."""
    require_file(path, "table")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            delimiter = max(DELIMITERS, key=heading.count)
            names = [name.strip() for name in next(csv.reader([heading], delimiter=delimiter), [])]
            _check_heading(path, names)
            reader = csv.reader(file, delimiter=delimiter)
            rows = [_row(f"{path}, line {reader.line_num + 1}", names, cells) for cells in reader if any(cells)]
    except UnicodeDecodeError as error:
        raise InputError(f"table {str(path)!r} is not in UTF-8: save it in UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise InputError(f"table {str(path)!r} cannot be read: {error}.") from error
    if not rows:
        raise InputError(f"table {str(path)!r} has no rows.")
    return rows


def _check_heading(path: Path, names: list[str]) -> None:
    if len(names) == 1:
        raise InputError(
            f"table {str(path)!r} has one column, {names[0]!r}: separate them by commas, semicolons or tabs."
        )
    for name in names:
        if name not in COLUMNS:
            raise unknown(f"column of {str(path)!r}", name, list(COLUMNS))
        if names.count(name) > 1:
            raise InputError(f"table {str(path)!r} has the column {name!r} twice.")
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise InputError(
            f"table {str(path)!r} lacks the columns {', '.join(missing)}: its first line names {', '.join(NEEDED)}, "
            f"and where there are any {', '.join(COLUMNS[len(NEEDED) :])}."
        )


def _row(where: str, names: list[str], cells: list[str]) -> Value:
    if len(cells) != len(names):
        raise InputError(f"{where}: {len(cells)} cells under {len(names)} headings.")
    held = {name: cell.strip() for name, cell in zip(names, cells) if cell.strip()}
    missing = [name for name in NEEDED if name not in held]
    if missing:
        raise InputError(f"{where}: {' and '.join(missing)} is empty.")
    try:
        return Value(
            where,
            parse.shape(held["shape"]),
            _finite("s", held["s"]),
            _finite("t", held["t"]),
            held["quantity"],
            _number("value", held["value"]),
            _seed(held.get("seed", "1")),
            held.get("task"),
            {name: _extra(name, held[name]) for name in NUMBERS if name in held},
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        hint = ": write the decimal point as a point" if "," in text else ""
        raise InputError(f"{name} = {text!r} is no number{hint}.") from None
    if math.isfinite(number) and abs(number) > LARGEST:
        raise InputError(f"{name} = {text} is beyond {LARGEST:g}.")
    return number


def _finite(name: str, text: str) -> float:
    number = _number(name, text)
    if not math.isfinite(number):
        raise InputError(f"{name} = {text} is not finite.")
    return number


def _extra(name: str, text: str) -> float:
    number = _finite(name, text)
    if number < 0:
        raise InputError(f"{name} = {text} is negative.")
    if name in WHOLE and (number != int(number) or number >= MOST):
        raise InputError(f"{name} = {text} is no whole number from 0 to 2^53 - 1.")
    return number


def _seed(text: str) -> int:
    if not text.isdecimal() or len(text) > len(str(2**63)) or int(text) >= 2**63:
        raise InputError(f"seed = {text!r}: a seed is a whole number from 0 to 2^63 - 1.")
    return int(text)


def read_samples(path: Path) -> Samples:
    """``x``, ``(n, n_sites)`` or ``(n, *shape)`` of values 0 to d-1; ``s``, ``t``, ``shape``, ``seed``, ``task`` and
    ``weights`` beside it, where there are any. Raises ``InputError``."""
    where = str(path)
    held = read_arrays(path)
    for name in held:
        if name not in ARRAYS:
            raise unknown(f"array of {where!r}", name, list(ARRAYS))
    x = held.get("x")
    if x is None or x.ndim < 2 or not len(x) or x.dtype.kind not in "buif":
        raise InputError(f"{where}: its array x must hold configurations, (n, n_sites) or (n, *shape).")
    shape = tuple(_whole(where, "shape", item) for item in np.atleast_1d(held["shape"])) if "shape" in held else None
    shape = tuple(x.shape[1:]) if shape is None and x.ndim > 2 else shape
    weights = held.get("weights", np.ones(len(x)))
    if (
        weights.dtype.kind not in "buif"
        or weights.shape != (len(x),)
        or not np.isfinite(weights).all()
        or (weights < 0).any()
        or not weights.any()
    ):
        raise InputError(f"{where}: weights must be {len(x)} finite numbers, none negative and not all zero.")
    s, t = (_scalar(where, name, held[name]) if name in held else None for name in ("s", "t"))
    seed = _whole(where, "seed", held["seed"]) if "seed" in held else 1
    task = str(held["task"]) if "task" in held else None
    weights = weights / weights.max()  # the sum of finite numbers may not be
    return Samples(where, x.reshape(len(x), -1), weights / weights.sum(), shape, s, t, seed, task)


def _scalar(where: str, name: str, value: Any) -> float:
    try:
        number = float(np.asarray(value).item())
    except (TypeError, ValueError):
        raise InputError(f"{where}: its array {name} must be one number.") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} = {number} is not finite.")
    return number


def _whole(where: str, name: str, value: Any) -> int:
    number = _scalar(where, name, value)
    if number != int(number) or not 0 <= number < MOST:
        raise InputError(f"{where}: {name} = {number:g} is no whole number from 0 to 2^53 - 1.")
    return int(number)


def read(paths: list[Path]) -> Iterator[Value | Samples]:
    """Of tables and of ``.npz`` files."""
    for path in paths:
        if path.suffix == ".npz":
            yield read_samples(path)
        else:
            yield from read_table(path)
