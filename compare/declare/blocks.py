"""The ``[[tasks]]`` blocks of a suite file: defaults merged into each, and ``vary``, which makes several of it."""

from __future__ import annotations

from typing import Any

from vanbench.exact import InputError


def merged(defaults: dict[str, Any], task: dict[str, Any]) -> dict[str, Any]:
    """Tables (params, tracker_options, ...) are merged key by key, anything else replaced."""
    both = {
        k: {**defaults[k], **v} for k, v in task.items() if isinstance(v, dict) and isinstance(defaults.get(k), dict)
    }
    return {**defaults, **task, **both}


def varied(task: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """One task for each value of the one parameter under ``vary``."""
    given = task.pop("vary", None)
    if given is None:
        return [task]
    if not isinstance(given, dict) or [isinstance(values, list) for values in given.values()] != [True]:
        raise InputError(f"{where}: write vary = {{NAME = [VALUE, ...]}} with one parameter.")
    ((name, values),) = given.items()
    return [
        {**task, "name": f"{task.get('name')}-{name}{value}", "params": {**task.get("params", {}), name: value}}
        for value in values
    ]
