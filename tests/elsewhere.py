"""``python elsewhere.py``: every tracker and every network on the CPU and on the pretended device, as JSON.

A process of its own: autograd counts the devices once, at the first gradient.
"""

from __future__ import annotations

import json
import sys
import traceback

import numpy as np
import pretended_device
import torch

from vanbench.exact import build
from vanbench.neural import build as network
from vanbench.neural import track
from vanbench.neural.architectures import ARCHITECTURES, find, hyperparameters
from vanbench.neural.learning.likelihood import Training, fit, log_prob
from vanbench.neural.trackers import TRACKERS
from vanbench.neural.trackers.base import STATIC

EAST = build("east", (2, 2), c=0.4)
SPINS = build("heisenberg", (2,), Jy=1.8)
ISING = build("ising", (2, 2))
BASE = {"architecture": "sitewise", "tracker": "tdvp", "tracker_options": {"samples": 20, "dt": 3.2}}  # begins with 0.2
OPTIONS = {
    "kl": {"samples": 20, "dt": 0.1, "epochs": 2, "first_epochs": 2},
    "natural-gradient": {"samples": 20, "dt": 0.1},
    "clones": {"clones": 400},
    "guided-clones": {"clones": 400, "samples": 40},
    "ritz": {"flow_samples": 100, "samples": 100, "second": 40, "starts": 1.0},
    "tebd": {},
    "free-energy": {"samples": 20, "iterations": 4, "measure": 100},
    "likelihood": {"configurations": 100, "epochs": 2, "batches": 4, "measure": 100},
    "l1": {"samples": 20, "iterations": 2, "dt": 0.2, "epochs": 2},
}
SMALL = {"width": 4, "layers": 1, "hidden": 8}
NO_DEVICE = 5  # exit status


def cases() -> dict[str, dict]:
    out: dict[str, dict] = {"learning": {}}
    for name, kind in TRACKERS.items():
        for one in kind.variants:
            chain = {"any": "sitewise", "none": "bernoulli"}.get(one.network, one.network)
            options = {**OPTIONS.get(name, BASE["tracker_options"]), **one.when}
            if options.get("states") == "matrix-products":
                options = dict(one.when)
            case = {**BASE, "tracker": name, "tracker_options": options, "target": one.target, "architecture": chain}
            label = f"tracker {name} {one.target} {' '.join(map(str, one.when.values()))}"
            out[label] = {**case, "system": SPINS if name == "l1" or one.steady else EAST}
            if STATIC in one.needs:
                out[label] |= {"system": ISING, "observable": "energy", "quantities": ("ln_Z", "free_energy")}
    for name in ARCHITECTURES:
        known = hyperparameters(find(name)) or {}
        options = {key: value for key, value in SMALL.items() if key in known}
        out[f"network {name}"] = {
            **BASE,
            "architecture": name,
            "architecture_options": options,
            "system": EAST,
            "s": [0.1],
        }
    return out


def learned(device: str) -> list[float]:
    """Log-probabilities after maximum likelihood."""
    x = np.random.default_rng(0).integers(2, size=(200, 4)).astype(np.int8)
    torch.manual_seed(1)
    net = network("made", (2, 2)).double().to(device)
    fit(net, x, Training(epochs=2, batches=4))
    return log_prob(net, x).tolist()


def values(case: dict, device: str) -> list[float]:
    if not case:
        return learned(device)
    case = dict(case)
    system = case.pop("system")
    spins = system.quantum is not None
    iterations = case["tracker"] == "l1" and case["target"] == "steady"
    times = [2.0] if iterations and "dynamics" not in case["tracker_options"] else [0.2]
    observable = case.pop("observable", "jumps" if spins else "activity")
    quantities = case.pop("quantities", ("sigma_z", "purity") if spins else ("ln_Z", "activity", "density"))
    fields = [0.0] if spins else case.pop("s", [0.1, 0.3])
    found = track(system, fields, times, observable, quantities, device=device, **case)
    return found.records.value.tolist()


def both(case: dict) -> dict:
    try:
        here = values(case, "cpu")
        with pretended_device.pretended() as name:
            return {"here": here, "there": values(case, name)}
    except Exception:
        return {"failed": traceback.format_exc()}


if __name__ == "__main__":
    if not pretended_device.possible():
        raise SystemExit(NO_DEVICE)
    torch.set_num_threads(1)
    pretended_device.register()
    asked = sys.argv[1:]
    json.dump({name: both(case) for name, case in cases().items() if name in asked}, sys.stdout)
