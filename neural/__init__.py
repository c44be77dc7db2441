"""Autoregressive networks and the algorithms that let them follow a distribution in time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vanbench.neural.architectures import ARCHITECTURES, build
    from vanbench.neural.autoregressive import Autoregressive
    from vanbench.neural.ensemble import Ensemble
    from vanbench.neural.result import Track
    from vanbench.neural.runner import track
    from vanbench.neural.trackers import TRACKERS
    from vanbench.neural.wrapping import wrap

__all__ = ["ARCHITECTURES", "TRACKERS", "Autoregressive", "Ensemble", "Track", "build", "track", "wrap"]
# Imported at first use: torch takes seconds, and what only names networks does not need it.
PLACES = {
    "ARCHITECTURES": "architectures",
    "TRACKERS": "trackers",
    "Autoregressive": "autoregressive",
    "Ensemble": "ensemble",
    "Track": "result",
    "build": "architectures",
    "track": "runner",
    "wrap": "wrapping",  # a module named wrap would take the place of the function
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{PLACES[name]}", __name__), name)
