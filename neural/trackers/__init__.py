"""The trackers by name; somebody's own as `exact.registry` finds it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from vanbench.exact import InputError
from vanbench.exact.errors import unknown
from vanbench.exact.registry import Registry
from vanbench.neural.architectures import ARCHITECTURES
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.trackers.base import Diverged, Problem, Step, Tracker
from vanbench.neural.trackers.clones import Clones
from vanbench.neural.trackers.gates import Gates, SteadyGates
from vanbench.neural.trackers.gates_ritz import GatesRitz
from vanbench.neural.trackers.gates_symmetric import SymmetricGates
from vanbench.neural.trackers.guided_clones import GuidedClones
from vanbench.neural.trackers.kl import KL
from vanbench.neural.trackers.log_ratio import LogRatio
from vanbench.neural.trackers.natural_gradient import NaturalGradient
from vanbench.neural.trackers.ritz import Ritz
from vanbench.neural.trackers.scgf import SCGF
from vanbench.neural.trackers.steady import Steady, SteadyDynamics
from vanbench.neural.trackers.still import still
from vanbench.neural.trackers.tdvp import TDVP, SteadyTDVP
from vanbench.neural.trackers.tdvp_symmetric import SymmetricTDVP
from vanbench.neural.trackers.trapezoid import Trapezoid

__all__ = ["TRACKERS", "Diverged", "Problem", "Step", "Tracker", "build"]

TRACKERS: dict[str, Callable[..., Tracker]] = {
    "kl": KL,
    "natural-gradient": NaturalGradient,
    "tdvp": TDVP,
    "tdvp-steady": SteadyTDVP,
    "tdvp-symmetric": SymmetricTDVP,
    "log-ratio": LogRatio,
    "gates": Gates,
    "gates-steady": SteadyGates,
    "gates-symmetric": SymmetricGates,
    "gates-ritz": GatesRitz,
    "ritz": Ritz,
    "scgf": SCGF,
    "trapezoid": Trapezoid,
    "steady": Steady,
    "steady-dynamics": SteadyDynamics,
    "clones": Clones,
    "guided-clones": GuidedClones,
}


def _checked(name: str, make: Any) -> Callable[..., Tracker]:
    if not callable(getattr(make, "step", None)):
        raise InputError(f"tracker {name!r} must be a class with a method `step`.")
    return make


REGISTRY = Registry("tracker", "trackers", TRACKERS, _checked)
find = REGISTRY.find


def build(name: str, problem: Problem, **options: Any) -> Tracker:
    """A tracker with its options, or `Still` where nothing moves; unknown names are answered with those that exist."""
    check(name, options)
    check_network(name, problem.ensemble.net)
    return still(problem) or find(name)(problem, **options)


def check(name: str, options: dict[str, Any]) -> None:
    """Raise ``InputError`` for an unknown tracker or option."""
    known = list(options_of(name))
    for key in options:
        if key not in known:
            raise unknown(f"option of {name}", key, known)


def check_network(name: str, net: Autoregressive) -> None:
    """Raise ``InputError`` for a network that the tracker ``name`` cannot move."""
    only = getattr(find(name), "acts_on", None)
    if only is not None and not isinstance(net, ARCHITECTURES[only]):
        raise InputError(f"{name} needs the architecture {only}, and this is {type(net).__name__}.")


def steps_as_euler(name: str) -> bool:
    """Whether a tracker's steps approximate ``(1 + dt W_s)``: times are then multiples of ``dt``."""
    return bool(getattr(find(name), "euler", False))


def stationary(name: str) -> bool:
    """Whether a tracker goes for the steady state, to be compared with that at every time."""
    return bool(getattr(find(name), "stationary", False))


def counts_iterations(name: str) -> bool:
    """Whether a tracker's time counts its iterations."""
    return bool(getattr(find(name), "counts_iterations", False))


def middle(name: str) -> bool:
    """Whether a tracker's observables are of the middle of the trajectory in the s-ensemble, not of its end."""
    return bool(getattr(find(name), "middle", False))


def noiseless(name: str) -> bool:
    """Whether a tracker's ``ln Z`` has no noise of sampling."""
    return bool(getattr(find(name), "noiseless", False))


def uses_network(name: str) -> bool:
    """Whether a tracker trains the networks of the run at all."""
    return bool(getattr(find(name), "uses_network", True))


def options_of(name: str) -> dict[str, Any]:
    """Option names of a tracker with their defaults; ``**options`` stands for those of its base."""
    found: dict[str, Any] = {}
    for made in getattr(find(name), "__mro__", (find(name),)):
        parameters = inspect.signature(made).parameters
        found = {**{key: p.default for key, p in parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD}, **found}
        if not any(p.kind == p.VAR_KEYWORD for p in parameters.values()):
            break
    found.pop("problem", None)
    return found
