"""Every tracker and every network on a pretended device. `test_cuda` has them on CUDA."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import elsewhere
import pretended_device
import pytest

HERE = Path(__file__).parents[1]
QUICK = ("learning", "tracker kl time ", "tracker tdvp time forward", "network gru")


@pytest.fixture(scope="module")
def results(request):
    """Of the cases whose tests are to run, from one process."""
    asked = [item.callspec.params["case"] for item in request.session.items if "results" in item.fixturenames]
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, HERE / "elsewhere.py", *asked], capture_output=True, text=True, env=environment
    )
    if found.returncode == elsewhere.NO_DEVICE:
        pytest.skip("this torch takes no device from Python")
    assert found.returncode == 0, found.stderr[-2000:]
    return json.loads(found.stdout)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case in QUICK else pytest.mark.slow) for case in elsewhere.cases()]
)
def test_on_a_pretended_device_the_numbers_are_those_of_the_cpu(case, results):
    """The same random numbers, so only the order of additions may differ."""
    found = results[case]
    assert "failed" not in found, found["failed"]
    assert found["there"] == pytest.approx(found["here"], rel=1e-8, abs=1e-9)


def test_the_pretended_device_refuses_to_meet_the_cpu():
    code = """if True:
        import pretended_device, torch
        pretended_device.register()
        with pretended_device.pretended() as name:
            there = torch.ones(3, device=name)
            assert there.device.type == "pretended" and (2 * there).sum().item() == 6.0
            for forbidden in (lambda: there + torch.ones(3), lambda: there.numpy()):
                try:
                    forbidden()
                except (RuntimeError, TypeError):
                    continue
                raise SystemExit("no error")
    """
    if not pretended_device.possible():
        pytest.skip("this torch takes no device from Python")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE)
    assert found.returncode == 0, found.stderr[-2000:]
