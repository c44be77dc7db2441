"""How tables call what was declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def method_label(tracker: str, options: Mapping[str, Any], target: str) -> str:
    """A tracker with the words that make it another method: its picture, its trial states, its target."""
    words = [str(options[name]) for name in ("picture", "states") if name in options]
    words += ["dynamics"] * (options.get("dynamics") is True) + [target]
    told = [word for word in words if word not in ("forward", "networks", "time")]
    return f"{tracker}({', '.join(told)})" if told else tracker


def plain(value: Any) -> str:
    return ",".join(str(v) for v in value) if isinstance(value, list | tuple) else str(value)
