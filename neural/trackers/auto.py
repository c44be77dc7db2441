"""Which tracker a run takes where none is named, by the kind of its system and network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from vanbench.exact import InputError, System
from vanbench.exact.errors import unknown
from vanbench.neural.architectures import MatrixProduct
from vanbench.neural.trackers import TRACKERS, make
from vanbench.neural.trackers.base import Target

AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """A tracker, the options that go with it, and why."""

    tracker: str
    reason: str
    options: dict[str, Any] = field(default_factory=dict)


def choose(system: System, architecture: object, target: Target, asked: Mapping[str, Any]) -> Choice:
    """For an ``architecture``, a name, class or network, and ``asked``, the options given: the best tracker that takes
    them, or else the first one that has them by name, which then says what is wrong with a value.

    Raises ``InputError`` where no tracker has all of them.
    """
    choice, wanted = _best(system, architecture, target), set(asked)
    every = sorted(set().union(*map(_options, TRACKERS)))
    for name in sorted(wanted - set(every)):
        raise unknown("option of any tracker", name, every)
    able = [name for name in (choice.tracker, *TRACKERS) if wanted <= _options(name)]
    if not able:
        raise InputError(f"no tracker has all the options {', '.join(sorted(wanted))}: name one with --tracker.")
    name = next((name for name in able if _takes(name, asked)), able[0])
    return choice if name == choice.tracker else Choice(name, f"it has the options given: {', '.join(sorted(wanted))}")


def _takes(name: str, asked: Mapping[str, Any]) -> bool:
    try:
        make(name, dict(asked))
    except InputError:
        return False
    return True


def _best(system: System, architecture: object, target: Target) -> Choice:
    if system.static:
        return Choice("free-energy", "no moves: equilibrium at the inverse temperature s t")
    local = all(len(term.sites) <= 2 for term in system.terms)
    if local and (architecture == "matrix-product" or MatrixProduct in (architecture, type(architecture))):
        return Choice("tebd", "local propagators evolve a matrix-product network without samples")
    if system.quantum is not None:
        reason = "signed generator: four stages per step are stable for oscillations too"
        return Choice("tdvp", reason, {"order": 4} if target == "time" else {})
    return Choice("tdvp", "it takes any network, and its steps are controlled by their error")


def _options(name: str) -> set[str]:
    return {option.name for option in fields(TRACKERS[name])}  # type: ignore[arg-type]
