"""Autoregressive networks and the algorithms that let them follow a distribution in time."""

from .architectures import ARCHITECTURES, build
from .autoregressive import Autoregressive
from .ensemble import Ensemble
from .runner import Track, track
from .trackers import TRACKERS

__all__ = ["ARCHITECTURES", "TRACKERS", "Autoregressive", "Ensemble", "Track", "build", "track"]
