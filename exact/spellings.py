"""Names that were renamed, and how they are spelled now. Files of users may still have them."""

from __future__ import annotations

from vanbench.exact.errors import InputError

TRACKERS = {
    "tdvp-steady": ("tdvp", "", "steady"),
    "tdvp-symmetric": ("tdvp", "picture=symmetrised", "time"),
    "scgf": ("tdvp", "picture=symmetrised", "steady"),
    "gates": ("tebd", "", "time"),
    "gates-steady": ("tebd", "", "steady"),
    "gates-symmetric": ("tebd", "picture=symmetrised", "time"),
    "gates-ritz": ("ritz", "states=matrix-products", "time"),
    "trapezoid": ("l1", "", "time"),
    "steady": ("l1", "", "steady"),
    "steady-dynamics": ("l1", "dynamics=true", "steady"),
}


def refuse_old_tracker(name: str) -> None:
    """Raise ``InputError`` with the new spelling for a tracker that was renamed."""
    if name in TRACKERS:
        new, option, target = TRACKERS[name]
        parts = [f"the option {option}"] * bool(option) + [f"target {target}"] * (target != "time")
        rest = f" with {' and '.join(parts)}" if parts else ""
        raise InputError(f"the tracker {name!r} is now called {new!r}{rest}.")
