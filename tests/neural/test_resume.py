"""Every tracker: a run that was killed goes on from its checkpoint with the same numbers to the last digit."""

from __future__ import annotations

import shutil

import pytest
import torch

from vanbench.exact import InputError, build
from vanbench.neural import track
from vanbench.neural.run.callbacks import Moment
from vanbench.neural.run.log import ARRAYS
from vanbench.neural.trackers import TRACKERS

SYMMETRISED = {"picture": "symmetrised"}
ADAM = {"samples": 100, "epochs": 5, "first_epochs": 10}
MATRICES = {"architecture": "matrix-product", "architecture_options": {"bond": 3}}
CASES = [  # tracker, its options, report times, the step that is its last; with a target, an open system
    ("kl", {"dt": 0.1, **ADAM}, [0.6], 4),
    ("kl", {"dt": 0.1, "epochs": 5, "first_epochs": 10, "full_summation": True}, [0.6], 4),
    ("natural-gradient", {"dt": 0.1, "samples": 200, "order": 2, "tilts": 2.0}, [0.5], 3),
    ("tdvp", {"dt": 0.1, "samples": 300}, [0.5], 4),
    ("tdvp", {"dt": 0.1, "samples": 300, "control": "ln_Z", "measure": 400}, [0.5], 4),
    ("tdvp", {"dt": 0.1, "samples": 300}, [0.5], 4, "steady"),
    ("tdvp", {"dt": 0.1, "samples": 300, **SYMMETRISED}, [0.5], 4),
    ("log-ratio", {"dt": 0.1, "samples": 300}, [0.4], 3),
    ("tebd", {"dt": 0.1, "measure": 100}, [0.2, 0.5], 4),  # the checkpoint is then not that of a report time
    ("tebd", {"dt": 0.1, "measure": 100, "cutoff": 1e-12}, [0.2, 0.5], 4, "steady"),
    ("tebd", {"dt": 0.1, "measure": 100, **SYMMETRISED}, [0.2, 0.5], 4),
    ("ritz", {"states": "matrix-products", "first": 0.2, "measure": 100}, [0.5, 2.0], 4),
    ("ritz", {"flow_samples": 50, "samples": 100, "starts": 1.0}, [1.0, 2.0], 3),
    (
        "tdvp",
        {"samples": 200, "dt": 0.2, "window": 1.0, "still": 0.02, "control": "ln_Z", **SYMMETRISED},
        [2.0],
        9,
        "limit",
    ),
    ("l1", {"dt": 0.1, "samples": 50, "epochs": 5}, [0.4], 3, "time"),
    ("l1", {"samples": 50, "mix": 0.5, "refresh": 3}, [8.0], 5, "steady"),
    ("l1", {"dt": 0.1, "samples": 50, "epochs": 5, "iterations": 3, "dynamics": True}, [0.4], 3, "steady"),
    ("clones", {"clones": 400}, [6.0], 20),  # resampled before
    ("guided-clones", {"clones": 400, "samples": 200}, [1.0, 2.0], 9),
    ("free-energy", {"iterations": 40, "samples": 50, "measure": 100}, [0.5, 1.0], 25, "equilibrium"),
    ("likelihood", {"configurations": 100, "epochs": 2, "measure": 100}, [0.5, 1.0], 1, "equilibrium"),
]


def test_every_tracker_is_among_them():
    assert {case[0] for case in CASES} == set(TRACKERS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{'-'.join(map(str, case[1].values()))}")
def test_a_killed_run_resumed_gives_the_same_numbers(case, tmp_path, monkeypatch):
    tracker, options, times, last, *target = case
    kind = "still" if target == ["equilibrium"] else "classical" if target in ([], ["limit"]) else "quantum"
    system, observable, quantity = {
        "classical": (build("fa", (4,), c=0.4), "activity", "density"),
        "quantum": (build("tfim", (3,), V=2.0, g=1.0), "jumps", "sigma_z"),
        "still": (build("ising", (4,)), "energy", "free_energy"),
    }[kind]
    arguments = {
        "s": [0.0] if kind == "quantum" else [0.4, 0.8], "times": times, "observable": observable,
        "quantities": ["ln_Z", quantity], "architecture": "sitewise",
        "tracker": tracker, "tracker_options": options,
        **(MATRICES if tracker == "tebd" or "states" in options else {}),
        "target": {"limit": "steady", "equilibrium": "time"}.get(target[0], target[0]) if target else "time",
    }  # fmt: skip
    whole = track(system, **arguments)
    monkeypatch.setattr("vanbench.neural.run.callbacks.CHECKPOINT_SECONDS", 0.0)

    def killed(moment: Moment) -> None:
        if moment.log.steps == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track(system, **arguments, out=tmp_path, callbacks=[killed])
    resumed = track(system, **arguments, out=tmp_path, resume=True)
    columns = [c for c in whole.log.columns if c != "wall"]
    assert len(whole.log) > last * len(arguments["s"])
    assert resumed.log[columns].equals(whole.log[columns])
    assert resumed.records.equals(whole.records)


FIELDS = ["s", "t", "steps", "default", "negative", "steepest", "wall", "ln_z", "covariance", "rows", "records"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A folder with the checkpoint of a run, and its options."""
    out = tmp_path_factory.mktemp("stopped")
    options = {"architecture": "bernoulli", "tracker_options": {"samples": 10}}
    track(build("east", (3,)), [0.1], [0.1], **options, out=out)
    return out, options


@pytest.mark.parametrize("name", [*FIELDS, "opened", *ARRAYS, "warnings"])
def test_a_damaged_log_is_damaged(name, stopped, tmp_path):
    """One sentence before any work, whatever stands for a number, a row or an array: never a traceback."""
    folder, options = stopped
    out = shutil.copytree(folder, tmp_path / "run")
    held = torch.load(out / "checkpoint.pt", weights_only=False)
    for value in (["x"], "x", {"x": "y"}, [[]], 7):
        torch.save({**held, "log": {**held["log"], name: value}}, out / "checkpoint.pt")
        told = ""
        try:
            track(build("east", (3,)), [0.1], [0.1], **options, out=out, resume=True)
        except InputError as error:
            told = str(error)
        assert not told or "is damaged" in told
