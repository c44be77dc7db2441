"""What people type on the command line: shapes, lists of numbers, ``NAME=VALUE``. Everything else is ``InputError``.
And what a suite file leaves out: its defaults, and the tasks that ``vary`` stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vanbench.exact import InputError
from vanbench.exact.files import read_text

ARCHITECTURE_OPTION = "--architecture-option"
MAX_POINTS = 100_000  # of a range a:b:step; more is a slip of the finger


def shape(text: str) -> tuple[int, ...]:
    """``"4x6"`` -> ``(4, 6)``."""
    try:
        lengths = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        raise InputError(f"shape {text!r}: write whole numbers joined by x, like 8 or 4x6 or 2x3x4.") from None
    if any(length < 1 for length in lengths):
        raise InputError(f"shape {text!r}: every length must be a positive integer.")
    return lengths


def shape_text(lengths: Sequence[int]) -> str:
    """``(4, 6)`` -> ``"4x6"``."""
    return "x".join(str(length) for length in lengths)


def numbers(text: str, what: str) -> list[float]:
    """``"1,10,100"``, ranges ``"0:1:0.1"`` (end included), or both joined by commas."""
    parsed: list[float] = []
    for item in text.split(","):
        parts = item.split(":")
        try:
            values = [float(part) for part in parts]
        except ValueError:
            raise InputError(f"{what} {text!r}: write numbers like 1,10,100 or a range like 0:1:0.1.") from None
        if not all(math.isfinite(value) for value in values):
            raise InputError(f"{what} {text!r}: every number must be finite.")
        parsed += [values[0]] if len(values) == 1 else _range(values, what, text)
    return parsed


def _range(values: list[float], what: str, text: str) -> list[float]:
    if len(values) != 3 or values[2] == 0 or (values[1] - values[0]) / values[2] < 0:
        raise InputError(f"{what} {text!r}: a range is start:end:step with a step that leads from start to end.")
    start, end, step = values
    count = math.floor((end - start) / step + 1e-9) + 1
    if count > MAX_POINTS:
        raise InputError(f"{what} {text!r}: that range has {count} points, more than {MAX_POINTS}.")
    return [float(f"{start + k * step:.12g}") for k in range(count)]  # 0.30000000000000004 is nobody's wish


def names(text: str) -> list[str]:
    """``"ln_Z,density"`` -> ``["ln_Z", "density"]``."""
    parsed = [name.strip() for name in text.split(",") if name.strip()]
    if not parsed:
        raise InputError(f"{text!r}: give at least one name.")
    return parsed


def options(items: Sequence[str], flag: str = "-p") -> dict[str, Any]:
    """``["c=0.5", "boundary=up"]`` -> ``{"c": 0.5, "boundary": "up"}``; ``edges=FILE`` reads a CSV edge list."""
    parsed: dict[str, Any] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name or not text:
            raise InputError(f"{flag} {item!r}: write NAME=VALUE.")
        if name in parsed:
            raise InputError(f"{flag} {name} is given twice.")
        parsed[name] = edges(Path(text)) if name == "edges" else value(text)
    return parsed


def architecture(text: str, more: Sequence[str] = ()) -> tuple[str, dict[str, Any]]:
    """``"gru:width=12,layers=2"`` -> ``("gru", {"width": 12, "layers": 2})``; a name alone has no options, and may hold
    colons itself (``file.py:Net``, ``package.module:Net:width=12``). ``more`` are those of --architecture-option."""
    name, colon, given = text.rpartition(":")
    if not (colon and "=" in given):
        return text, options(more, ARCHITECTURE_OPTION)
    items: list[str] = []
    for piece in given.split(","):
        if "=" in piece or not items:
            items.append(piece)
        else:  # of a list, as in hidden=180,120
            items[-1] += f",{piece}"
    return name, options([*items, *more], f"architecture {text!r}:")


def value(text: str) -> Any:
    """A boolean, a whole number, a number, a comma list of numbers (as a list), or the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    items = [value(item) for item in text.split(",")] if "," in text else []
    numeric = items and all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    return items if numeric else text


def seed(number: int) -> int:
    """``number``, if every generator takes it. Raises ``InputError``."""
    if not 0 <= number < 2**63:
        raise InputError(f"--seed {number}: a seed is a whole number from 0 to 2^63 - 1.")
    return number


def edges(path: Path) -> list[list[int]]:
    """An edge list from a CSV file: two site numbers a line, an optional header, ``#`` comments."""
    import numpy as np  # here, since help does without it

    lines = read_text(path, "edge list").splitlines()
    if lines and not any(character.isdigit() for character in lines[0]):
        lines = lines[1:]
    try:
        table = np.loadtxt(lines, delimiter=",", dtype=int, ndmin=2, comments="#") if lines else np.zeros((0, 2), int)
    except ValueError:
        raise InputError(f"edge list {str(path)!r}: every line must hold two site numbers, like 0,1.") from None
    if table.shape[1:] != (2,) or not len(table):
        raise InputError(f"edge list {str(path)!r}: every line must hold two site numbers, like 0,1.")
    return table.tolist()


def part(text: str) -> tuple[int, int]:
    """``3/20``: the third of twenty. Raises ``InputError``."""
    k, _, n = text.partition("/")
    if not (k.isdecimal() and n.isdecimal() and len(n) < 10 and 1 <= int(k) <= int(n)):
        raise InputError(f"--part {text}: write K/N with K from 1 to N, like 3/20.")
    return int(k), int(n)
