"""Autoregressive networks and the algorithms that let them follow a distribution in time."""

from vanbench.neural.architectures import ARCHITECTURES, build
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.ensemble import Ensemble
from vanbench.neural.runner import Track, track
from vanbench.neural.trackers import TRACKERS
from vanbench.neural.wrap import wrap

__all__ = ["ARCHITECTURES", "TRACKERS", "Autoregressive", "Ensemble", "Track", "build", "track", "wrap"]
