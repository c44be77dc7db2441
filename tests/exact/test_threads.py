"""Kernels on two threads give what they give on one. A process of its own: numba starts its threads once."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

QUANTITIES = "ln_Z,density,activity"
COMMANDS = {
    "blocked kernel": f"exact fa --shape 18 --s 0.1 --times 1 --method lanczos --quantities {QUANTITIES}",
    "kernel in runs": f"exact asep --shape 18 --s 0.1 --times 0.1 --method krylov --quantities {QUANTITIES}",
    "leading eigenvalue": "exact fa --shape 18 --s 0.1 --quantities scgf",
    "Lindblad": "exact tfim --shape 9 --times 0.1 --quantities sigma_x,sigma_z",
    "trajectories": "exact fa --shape 3x3 --s 0.1 --times 1 --method cloning --clones 100000 --seed 1",
}


@pytest.mark.slow  # half a minute of compiling each
@pytest.mark.parametrize("name", COMMANDS)
def test_two_threads_give_what_one_gives(name):
    one, two = (_values(COMMANDS[name], threads) for threads in (1, 2))
    assert two.keys() == one.keys()
    assert list(two.values()) == pytest.approx(list(one.values()), rel=1e-10, abs=1e-13)


def _values(command: str, threads: int) -> dict[str, float]:
    environment = {**os.environ, "NUMBA_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    words = [sys.executable, "-m", "vanbench", *command.split(), "-q", "--format", "json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["records"]
    return {f"{row['quantity']} {row.get('t')} {row.get('site')}": row["value"] for row in rows}


def test_torch_keeps_its_number_of_threads(tmp_path):
    """The first loop on threads sets it for every library that shares OpenMP."""
    (tmp_path / "loop.py").write_text("""
import numpy, torch
torch.set_num_threads(1)
from vanbench.exact.threads import both, pick
from numba import prange
def double(x):
    for i in prange(len(x)):
        x[i] *= 2
pick(both(double), 1 << 16)(numpy.ones(1 << 16))
print(torch.get_num_threads())
""")
    environment = {**os.environ, "NUMBA_NUM_THREADS": "3"}
    done = subprocess.run([sys.executable, tmp_path / "loop.py"], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("asked", [None, "2"])
def test_the_command_line_leaves_linear_algebra_on_one_thread_unless_told(tmp_path, asked):
    (tmp_path / "tell.py").write_text("""
import os
from vanbench import __main__
__main__._loaded = lambda: lambda: print(os.environ["OPENBLAS_NUM_THREADS"])
__main__.main()
""")
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environment |= {"OPENBLAS_NUM_THREADS": asked} if asked else {}
    done = subprocess.run([sys.executable, tmp_path / "tell.py"], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{asked or 1}\n", "")
