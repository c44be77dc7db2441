"""How often the errors that `mps` prints hold: random small systems, whose exact vectors are known.

python tests/exact/mps_calibration.py    # two minutes: seeds 1000 to 1039, and 1200 to 1205 with derivatives
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from vanbench.exact import System, build, solve
from vanbench.exact.mps.accuracy import Accuracy, Asked
from vanbench.exact.mps.solve_tebd import Evolved

CLASSICAL = ("ln_Z", "density", "instantaneous_activity")
DERIVED = ("activity", "susceptibility", "trajectory_density")
QUANTUM = ("ln_Z", "sigma_z", "sigma_x_profile", "correlation_zz", "purity")


def drawn(seed: int) -> tuple[System, float, str]:
    """A system, a counting field, an observable."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["fa", "east", "asep", "voter", "fa-2d", "east-2d", "ring", "tfim", "heisenberg"])
    s, c = float(rng.normal() * 0.3), float(rng.uniform(0.1, 0.9))
    observable = "activity"
    if kind in ("fa", "east"):
        system = build(kind, (int(rng.integers(5, 10)),), c=c)
    elif kind in ("fa-2d", "east-2d"):
        system = build(kind[:-3], ((2, 4), (3, 3), (2, 3))[rng.integers(3)], c=c)
    elif kind == "ring":
        system = build("fa", (int(rng.integers(5, 9)),), c=c, boundary="periodic")
    elif kind == "asep":
        system = build("asep", (int(rng.integers(5, 9)),), p=1.0, q=float(rng.uniform(0, 1)))
        observable = str(rng.choice(["activity", "current"]))
    elif kind == "voter":
        system = build("voter", (int(rng.integers(5, 9)),), initial=f"bernoulli:{c:.3f}")
    elif kind == "tfim":
        system = build("tfim", (4,), V=float(rng.uniform(0.5, 3)), g=1.0, initial=str(rng.choice(["up", "-y"])))
        observable = "jumps"
    else:
        shape = ((4,), (2, 2))[rng.integers(2)]
        system = build(
            "heisenberg", shape, Jx=float(rng.uniform(0.5, 2)), boundary=str(rng.choice(["open", "periodic"]))
        )
        observable = "jumps"
    return system, s, observable


def compared(seed: int, derived: bool = False) -> list[dict[str, Any]]:
    """Rows ``quantity, t, value, bound, off`` of one system by a random bond and tolerance."""
    system, s, observable = drawn(seed)
    rng = np.random.default_rng([seed, 1])
    times = np.array([0.5, 2.0]) if system.quantum else np.sort(rng.uniform(0.2, 12, 2))
    quantities = QUANTUM if system.quantum else CLASSICAL + (DERIVED if derived else ())
    accuracy = Accuracy(int(rng.choice([4, 6, 8, 12, 16])), float(rng.choice([1e-2, 1e-3, 1e-5])))
    rows = list(Evolved(Asked(system, s, times, quantities, observable, accuracy)).rows())
    exact, frame = solve(system, s, times, quantities, observable=observable), pd.DataFrame(rows)
    keys = ["quantity", "t", *(name for name in ("site", "distance") if name in frame)]
    frame = frame.merge(exact[[*keys, "value"]], on=keys, suffixes=("", "_exact"), how="left")
    frame["off"] = (frame.value - frame.value_exact).abs()
    told = {"system": system.name, "shape": str(system.shape), "seed": seed, "bond": accuracy.bond, "s": s}
    return frame.assign(tolerance=accuracy.tolerance, **told).to_dict("records")


def collected(seeds: Iterable[int], derived: bool = False) -> pd.DataFrame:
    return pd.DataFrame([row for seed in seeds for row in compared(seed, derived)])


if __name__ == "__main__":
    frame = pd.concat([collected(range(1000, 1040)), collected(range(1200, 1206), derived=True)], ignore_index=True)
    outside = frame[frame.off > frame.bound]
    print(f"{len(outside)} of {len(frame)} rows are outside, by {(frame.off / frame.bound).max():.2g} at most")
    print(outside[["system", "shape", "seed", "quantity", "t", "bond", "tolerance", "off", "bound"]].to_string())
