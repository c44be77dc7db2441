"""Options of trackers: each a field of a frozen dataclass that says what it is, and what it may be, in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, field, fields
from typing import Any

from vanbench.exact import InputError

MOST = 10**9  # of a whole number: more is a slip
Numbers = tuple[float, ...]
SUMMED = (
    "sum over all configurations instead of sampling (up to 2^{} states); default: if they are no more than samples"
)


def option(
    default: Any,
    what: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    among: tuple[Any, ...] = (),
) -> Any:
    """A field with its default, one sentence, and the values it may have. Whole numbers are not negative."""
    limits = {"least": least, "above": above, "most": most, "below": below, "among": among}
    return field(default=default, metadata={"what": what, **limits})


def check(tracker: Any) -> None:
    """Raise ``InputError`` for the first option of the wrong kind or out of its limits; numbers become tuples of them
    where several are asked for."""
    for option in fields(tracker):
        given = getattr(tracker, option.name)
        if option.type.startswith("Numbers") and given is not None:
            given = tuple(given) if isinstance(given, list | tuple) else (given,)
            object.__setattr__(tracker, option.name, given)
        if wrong := _wrong(option, given):
            shown = given if isinstance(given, float) else repr(given)
            raise InputError(f"{option.name} = {shown}: this option of {tracker.name} {wrong}.")


def _wrong(option: Field, given: Any) -> str:
    kind, limits = str(option.type), option.metadata
    if kind == "str":
        return "" if given in limits["among"] else f"is one of {', '.join(limits['among'])}"
    if kind == "bool | None" and given is None:
        return ""
    if kind.startswith("bool"):
        return "" if isinstance(given, bool) else "is true or false"
    if kind.startswith("Numbers"):
        ok = given is None or all(_number(value) and math.isfinite(value) for value in given)
        return "" if ok else "must be finite numbers, like 1,2"
    if not _number(given):
        return "must be a number"
    if not math.isfinite(given):
        return "is a finite number"
    if kind == "int":
        if not isinstance(given, int):
            return "must be a whole number, written as digits"
        least = max(0, limits["least"])
        if not least <= given <= min(MOST, limits["most"]):
            return f"lies from {least} to {min(MOST, limits['most'])}"
    if limits["among"] and given not in limits["among"]:
        return f"is one of {', '.join(map(str, limits['among']))}"
    return "" if _within(given, limits) else f"must be {_range(limits)}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _within(value: float, limits: Mapping[str, Any]) -> bool:
    return limits["least"] <= value <= limits["most"] and limits["above"] < value < limits["below"]


def _range(limits: Mapping[str, Any]) -> str:
    words = {"least": "at least", "above": "above", "most": "at most", "below": "below"}
    told = [f"{word} {limits[name]:g}" for name, word in words.items() if math.isfinite(limits[name])]
    plain = {"above 0": "positive", "at least 0": "not negative"}
    return plain.get(" and ".join(told), " and ".join(told))


def described(kind: type) -> list[tuple[str, Any, str]]:
    """Name, default and sentence of every option of a tracker, in order."""
    return [(option.name, option.default, option.metadata["what"]) for option in fields(kind)]


def text(value: Any) -> str:
    """A default as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(f"{number:g}" for number in value) or "none"
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
