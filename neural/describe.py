"""What there is of networks and trackers, as text: from the classes, or as stored, which loads no torch.

``python -m vanbench.neural.describe`` stores it; a test holds it to the classes.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from vanbench.exact.files import write_text
from vanbench.exact.registry import entries

STORED = Path(__file__).with_name("described.json")


def described() -> dict[str, Any]:
    """The tables of ``vanbench list``: from the classes where an installed package gives some, else as stored."""
    if entries("architectures") or entries("trackers"):
        return tables()
    return json.loads(STORED.read_text(encoding="utf-8"))


def tables() -> dict[str, Any]:
    """``architectures``, ``trackers`` (by title) and the ``options`` of each tracker, as headings and rows."""
    from vanbench.neural.trackers import chart

    return {
        "architectures": _architectures(),
        "trackers": {
            "trackers": chart.purposes(),
            "what they need, give and cost": chart.variants(),
            "needs": chart.needs(),
        },
        "options": {name: chart.options(name) for name in chart.names()},
    }


def _architectures() -> tuple[list[str], list[list[str]]]:
    from vanbench.neural.architectures import REGISTRY, hyperparameters

    rows = []
    for name, cls in {**REGISTRY.builtin, **REGISTRY.installed()}.items():
        known = hyperparameters(cls)
        what = (inspect.getdoc(cls) or "").split("\n")[0]
        rows.append([name, "any" if known is None else defaults(known), what])
    return ["architecture", "options and defaults", "what it is"], rows


def defaults(known: dict[str, Any]) -> str:
    """``name=value``, or the name alone where there is no default."""
    empty = inspect.Parameter.empty
    return ", ".join(key if value is empty or value is None else f"{key}={value}" for key, value in known.items())


def as_json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_text(STORED, as_json(tables()))
