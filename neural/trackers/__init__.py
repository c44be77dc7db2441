"""The trackers by name; somebody's own as `exact.registry` finds it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from vanbench.exact import InputError
from vanbench.exact.errors import unknown
from vanbench.exact.registry import Registry
from vanbench.exact.spellings import refuse_old_tracker
from vanbench.neural.architectures import ARCHITECTURES
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.trackers.base import Diverged, Problem, Step, Target, Tracker, Variant
from vanbench.neural.trackers.gibbs.free_energy import FreeEnergy
from vanbench.neural.trackers.gibbs.likelihood import Likelihood
from vanbench.neural.trackers.projected.kl import KL
from vanbench.neural.trackers.projected.l1 import L1
from vanbench.neural.trackers.projected.natural_gradient import NaturalGradient
from vanbench.neural.trackers.still import Still, at_rest
from vanbench.neural.trackers.subspace.ritz import Ritz
from vanbench.neural.trackers.tangent.log_ratio import LogRatio
from vanbench.neural.trackers.tangent.tdvp import TDVP
from vanbench.neural.trackers.tebd.tebd import TEBD
from vanbench.neural.trackers.walkers.clones import Clones
from vanbench.neural.trackers.walkers.guided_clones import GuidedClones

__all__ = [
    "REGISTRY",
    "TRACKERS",
    "Diverged",
    "Problem",
    "Step",
    "Target",
    "Tracker",
    "Variant",
    "make",
    "moving",
    "saved",
]

TRACKERS: dict[str, type[Tracker]] = {
    "kl": KL,
    "natural-gradient": NaturalGradient,
    "log-ratio": LogRatio,
    "tdvp": TDVP,
    "l1": L1,
    "ritz": Ritz,
    "tebd": TEBD,
    "clones": Clones,
    "guided-clones": GuidedClones,
    "free-energy": FreeEnergy,
    "likelihood": Likelihood,
}


def _checked(name: str, kind: Any) -> type[Tracker]:
    if not (isinstance(kind, type) and issubclass(kind, Tracker) and is_dataclass(kind)):
        raise InputError(f"tracker {name!r} must be a dataclass that derives from vanbench.neural.trackers.Tracker.")
    return kind


REGISTRY = Registry("tracker", "trackers", TRACKERS, _checked)
find = REGISTRY.find


def make(name: str, options: dict[str, Any]) -> Tracker:
    """A tracker with its options. Raises ``InputError`` for an unknown name or option, and for a wrong value."""
    refuse_old_tracker(name)
    kind = find(name)
    known = [option.name for option in fields(kind)]
    for key in options:
        if key not in known:
            raise unknown(f"option of {name}", key, known)
    return kind(**options)


def saved() -> list[type]:
    """Every class that a state of these trackers may be made of."""
    kinds: list[type[Tracker]] = [*TRACKERS.values(), Still]
    return [name for kind in kinds for name in kind.saved]


def check_network(tracker: Tracker, target: Target, net: Autoregressive) -> None:
    """Raise ``InputError`` for a network that the tracker cannot move."""
    only = tracker.variant(target).network
    if only in ARCHITECTURES and not isinstance(net, ARCHITECTURES[only]):
        raise InputError(f"{tracker.name} needs the architecture {only}, and this is {type(net).__name__}.")
    if getattr(tracker, "tilts", None) and not net.tiltable:
        raise InputError(
            f"tilts need site biases, which {type(net).__name__}, a density without conditionals, does not have."
        )


def certified(tracker: Tracker, target: Target) -> Tracker:
    """With a sharper error estimate, at up to twice the cost. Raises ``InputError`` for what has none."""
    if target != "time":
        raise InputError("certify sharpens the error estimates of values in time: leave it out for a steady state.")
    return tracker.certified()


def moving(tracker: Tracker, problem: Problem) -> Tracker:
    """The tracker of a problem: `Still` where nothing moves from the start, though elsewhere it may."""
    return tracker if problem.system.static or at_rest(problem) is None else Still()
