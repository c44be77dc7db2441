"""Records that make the pages of the studies, each with the command that makes it."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from command_line import run
from example_records import example

from vanbench.compare.declare.columns import columns
from vanbench.compare.declare.task import load_suite
from vanbench.compare.run.record import FOLDER, Record

TIMES = [1.0, 2.0, 5.0, 10.0]


def record(
    name: str, quantities: list[str], s: list[float], system: str = "east", shape: tuple[int, ...] = (4,), **task: Any
) -> Record:
    """A run of ``shape`` with smooth values of ``quantities``, those of profiles at each site, and their errors."""
    changes = {"system": system, "times": TIMES, "quantities": [q for q in quantities if ":" not in q], **task}
    held = example(task=name, **changes)
    asked = held.task.model_copy(update={"s": s, "params": task.get("params", {})})
    held.run = held.run.model_copy(update={"task": asked, "shape": shape})
    held.system, held.params = system, {**task.get("params", {}), "c": 0.5}
    rows = []
    for quantity, field, t in itertools.product(quantities, s, TIMES):
        for site in range(math.prod(shape)) if quantity.endswith("profile") else [None]:
            value = -t * field / (1 + field) + 0.1 * (site or 0)
            rows.append({"quantity": quantity, "s": field, "t": t, "site": site, "value": value, "score": 0.1})
    frame = pd.DataFrame(rows).assign(sampling_stderr=1e-3)
    exact = {"exact": frame.value + 1e-3, "scheme": frame.value + 5e-4, "total": 1e-3, "error": 1e-3}
    held.rows = columns(frame)
    held.errors = columns(frame.drop(columns="score").assign(stderr=1e-3, error_estimate=1e-3, **exact))
    held.log = columns(pd.DataFrame([{"s": field, "t": TIMES[-1], "ess": 0.9, "loss": 0.1} for field in s]))
    return held


def standing() -> Record:
    task = next(task for task in load_suite("standing").tasks if len(task.s) == 1)
    held = example(task=task.name)
    run = {"task": task, "shape": task.shapes[0], "architecture": task.architectures[0], "replica": 0, "seed": 1}
    held.run, held.task_hash = held.run.model_copy(update=run), task.hash
    at = [{"s": s, "t": t} for s in task.s for t in task.times]
    rows = [{"quantity": "ln_Z", **place, "value": -0.1, "sampling_stderr": 1e-3} for place in at]
    held.rows = columns(pd.DataFrame(rows))
    return held


STEPS = {"dt": 0.1, "epochs": 5, "first_epochs": 5, "learning_rate": 1e-3}
VOTER = {"boundary": "open", "initial": "up", "pinned": "first"}
FIELDS = [0.02, 0.05, 0.1, 0.2, 0.5]
PROTOCOL = ["ln_Z", "ln_Z:loss", "ln_Z:log_mean_exp"]
RECORDS = {
    "phases": record("phases", ["ln_Z"], FIELDS),
    "chains": record("chains", ["ln_Z"], FIELDS),
    "critical": record("phases", ["ln_Z"], FIELDS),
    "bands": record("bands", ["ln_Z", "density_profile"], [-0.5, -0.1], shape=(4, 4)),
    "protocol": record("epochs-40", PROTOCOL, [0.1], shape=(3, 3), tracker_options=STEPS),
    "voter": record("voter", ["ln_Z", "density_profile"], [0.1], "voter", params=VOTER),
    "calibration": record("any", ["ln_Z", "density"], [0.1]),
    "luo2022": record("ring", ["sigma_x", "sigma_y", "sigma_z"], [0.1], "heisenberg"),
    "standing": standing(),
}
OTHERS = {
    "bands": "study tang2024 bands IN --out OUT --largest 4",
    "calibration": "study calibration page IN --folder OUT",
    "luo2022": "study luo2022 figures IN --out OUT",
    "standing": "standing add IN --folder OUT",
}
COMMANDS = {name: OTHERS.get(name, f"study tang2024 {name} IN --out OUT").split() for name in RECORDS}
CONTENT = {name: json.loads(held.model_dump_json()) for name, held in RECORDS.items()}


def told(folder: Path, name: str, text: str, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """What the command of a page does with a record that is this text."""
    shutil.rmtree(folder, ignore_errors=True)
    path = folder / "in" / FOLDER / "a" / "a.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    names = {"IN": folder / "in", "OUT": folder / "out"}
    code = run(*(names.get(word, word) for word in COMMANDS[name]))
    return code, capsys.readouterr().err
