"""Autoregressive networks, and the algorithms by which they follow a distribution in time."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vanbench.neural.architectures import ARCHITECTURES, build
    from vanbench.neural.autoregressive import Autoregressive
    from vanbench.neural.ensemble import Ensemble
    from vanbench.neural.outside.wrapping import wrap
    from vanbench.neural.run.result import Track
    from vanbench.neural.run.runner import track
    from vanbench.neural.trackers import TRACKERS

__all__ = ["ARCHITECTURES", "TRACKERS", "Autoregressive", "Ensemble", "Track", "build", "track", "wrap"]
# Imported at first use: torch takes seconds, and what only names networks does not need it.
PLACES = {
    "ARCHITECTURES": "architectures",
    "TRACKERS": "trackers",
    "Autoregressive": "autoregressive",
    "Ensemble": "ensemble",
    "Track": "run.result",
    "build": "architectures",
    "track": "run.runner",
    "wrap": "outside.wrapping",  # a module named wrap would take the place of the function
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{PLACES[name]}", __name__), name)
