"""The map of trackers: what each needs, gives and costs, and its options, as tables of text."""

from __future__ import annotations

import inspect

from vanbench.neural.trackers import REGISTRY, find
from vanbench.neural.trackers.base import NEEDS, Tracker
from vanbench.neural.trackers.options import described, text

Rows = tuple[list[str], list[list[str]]]


def _kinds() -> dict[str, type[Tracker]]:
    """Built in and installed."""
    return {**REGISTRY.builtin, **REGISTRY.installed()}


def names() -> list[str]:
    return list(_kinds())


def purposes() -> Rows:
    """What each tracker does, a sentence."""
    return ["tracker", "what it does"], [[name, _first_line(kind)] for name, kind in _kinds().items()]


def variants() -> Rows:
    """A row for each picture, kind of trial states and target."""
    rows = []
    for name, kind in _kinds().items():
        for variant in kind.variants:
            which = ", ".join(f"{key}={text(value)}" for key, value in variant.when.items())
            needs = ", ".join(variant.needs) or "–"
            rows.append([name, which or "–", variant.target, needs, variant.network, variant.gives, variant.costs])
    return ["tracker", "options", "target", "needs", "network", "gives", "costs"], rows


def needs() -> Rows:
    """What the words under ``needs`` mean."""
    return ["need", "what it means"], [list(pair) for pair in NEEDS.items()]


def options(name: str) -> Rows:
    """Those of one tracker, with their defaults and a sentence each."""
    return ["option", "default", "what it is"], [[key, text(value), what] for key, value, what in described(find(name))]


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").split("\n")[0]
