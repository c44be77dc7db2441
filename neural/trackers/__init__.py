"""The trackers by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from exact.errors import unknown

from .base import Diverged, Problem, Step, Tracker
from .kl import KL
from .tdvp import TDVP
from .tdvp_symmetric import SymmetricTDVP

__all__ = ["TRACKERS", "Diverged", "Problem", "Step", "Tracker", "build"]

TRACKERS: dict[str, Callable[..., Tracker]] = {"kl": KL, "tdvp": TDVP, "tdvp-symmetric": SymmetricTDVP}


def build(name: str, problem: Problem, **options: Any) -> Tracker:
    """A tracker with its options; unknown names are answered with those that exist."""
    check(name, options)
    return TRACKERS[name](problem, **options)


def check(name: str, options: dict[str, Any]) -> None:
    """Raise ``InputError`` for an unknown tracker or option."""
    if name not in TRACKERS:
        raise unknown("tracker", name, list(TRACKERS))
    known = list(options_of(name))
    for key in options:
        if key not in known:
            raise unknown(f"option of {name}", key, known)


def options_of(name: str) -> dict[str, Any]:
    """Option names of a tracker with their defaults (a subclass that adds none has those of its base)."""
    made = TRACKERS[name]
    found = inspect.signature(made).parameters
    if isinstance(made, type) and any(p.kind == inspect.Parameter.VAR_KEYWORD for p in found.values()):
        found = inspect.signature(made.__mro__[1]).parameters
    return {key: p.default for key, p in found.items() if key != "problem"}
