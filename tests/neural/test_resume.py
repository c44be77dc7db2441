"""Every tracker: a run that was killed goes on from its checkpoint with the same numbers to the last digit."""

from __future__ import annotations

import pytest

from vanbench.exact import build
from vanbench.neural import track
from vanbench.neural.callbacks import Moment
from vanbench.neural.trackers import TRACKERS

OPEN_SYSTEMS = {"tdvp-steady", "gates-steady", "trapezoid", "steady", "steady-dynamics"}
ADAM = {"samples": 100, "epochs": 5, "first_epochs": 10}
GATES = {"architecture": "matrix-product", "architecture_options": {"bond": 3}}
CASES = [  # tracker, its options, report times, the step that is its last
    ("kl", {"dt": 0.1, **ADAM}, [0.6], 4),
    ("kl", {"dt": 0.1, "epochs": 5, "first_epochs": 10, "full_summation": True}, [0.6], 4),
    ("natural-gradient", {"dt": 0.1, "samples": 200, "order": 2, "tilts": 2.0}, [0.5], 3),
    ("tdvp", {"dt": 0.1, "samples": 300}, [0.5], 4),
    ("tdvp-steady", {"dt": 0.1, "samples": 300}, [0.5], 4),
    ("tdvp-symmetric", {"dt": 0.1, "samples": 300}, [0.5], 4),
    ("log-ratio", {"dt": 0.1, "samples": 300}, [0.4], 3),
    ("gates", {"dt": 0.1, "measure": 100}, [0.2, 0.5], 4),  # the checkpoint is then not that of a report time
    ("gates-steady", {"dt": 0.1, "measure": 100, "cutoff": 1e-12}, [0.2, 0.5], 4),
    ("gates-symmetric", {"dt": 0.1, "measure": 100}, [0.2, 0.5], 4),
    ("gates-ritz", {"first": 0.2, "measure": 100}, [0.5, 2.0], 4),
    ("ritz", {"flow_samples": 50, "samples": 100, "starts": 1.0}, [1.0, 2.0], 3),
    ("scgf", {"samples": 200, "dt": 0.2, "window": 1.0, "still": 0.02}, [2.0], 9),
    ("trapezoid", {"dt": 0.1, "samples": 50, "epochs": 5}, [0.4], 3),
    ("steady", {"samples": 50, "mix": 0.5, "refresh": 3}, [8.0], 5),
    ("steady-dynamics", {"dt": 0.1, "samples": 50, "epochs": 5, "iterations": 3}, [0.4], 3),
    ("clones", {"clones": 400}, [6.0], 20),  # resampled before
    ("guided-clones", {"clones": 400, "samples": 200}, [1.0, 2.0], 9),
]


def test_every_tracker_is_among_them():
    assert {case[0] for case in CASES} == set(TRACKERS)


@pytest.mark.parametrize(("tracker", "options", "times", "last"), CASES)
def test_a_killed_run_resumed_gives_the_same_numbers(tracker, options, times, last, tmp_path, monkeypatch):
    classical = tracker not in OPEN_SYSTEMS
    system = build("fa", (4,), c=0.4) if classical else build("tfim", (3,), V=2.0, g=1.0)
    arguments = {
        "s": [0.4, 0.8] if classical else [0.0], "times": times, "observable": "activity" if classical else "jumps",
        "quantities": ["ln_Z", "density" if classical else "sigma_z"], "architecture": "sitewise",
        **(GATES if tracker.startswith("gates") else {}), "tracker": tracker, "tracker_options": options,
    }  # fmt: skip
    whole = track(system, **arguments)
    monkeypatch.setattr("vanbench.neural.callbacks.CHECKPOINT_SECONDS", 0.0)

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
