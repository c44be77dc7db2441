"""The exception a user's mistake raises, and a missing optional package too."""

from __future__ import annotations

import importlib
from typing import Any


class InputError(ValueError):
    """Bad input, told in one sentence that says what to do about it.

    The command line prints the sentence alone and exits with code 2; library callers may catch it as a ``ValueError``.
    """


class Unstable(InputError):
    """Steps of the given length grow without bound on exact vectors or states; a scan over fields goes on."""


EXTRAS = {
    **dict.fromkeys(("qutip", "quspin"), "quantum"), "distributed": "cluster", "tensorboard": "logs",
    "xarray": "arrays", "safetensors": "weights", "jax": "jax",
    **dict.fromkeys(("flax", "equinox", "netket"), "jax-networks"),
}  # fmt: skip


def optional(module: str, what: str) -> Any:
    """The module of an optional package, or an ``InputError`` with the line that installs what ``what`` needs."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise InputError(f"{what} needs {package}: python -m pip install 'vanbench[{EXTRAS[package]}]'.") from None


def number(name: str, value: object) -> float:
    """``value`` as a float, or an ``InputError`` that names the parameter; a string is no number."""
    if isinstance(value, str) or not hasattr(value, "__float__"):
        raise InputError(f"{name} = {value!r}: it must be a number.")
    return float(value)  # type: ignore[arg-type]


def counted(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def unknown(kind: str, name: str, known: list[str]) -> InputError:
    """An unknown ``name`` answered with the names that exist and the nearest one."""
    import difflib

    folded = {item.casefold(): item for item in known}
    near = difflib.get_close_matches(str(name).casefold(), folded, n=1, cutoff=0.45)
    hint = f", did you mean {folded[near[0]]!r}?" if near else "."
    return InputError(f"unknown {kind} {name!r}{hint} Known: {', '.join(sorted(known)) or 'none'}")
