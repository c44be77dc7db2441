"""The cost of a step by size: the fit, and that a 16 x 16 lattice runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from vanbench.compare.studies.tang2024 import scaling

torch.set_num_threads(1)


def test_the_exponent_of_a_power_law():
    sites = np.array([16.0, 36, 64, 144, 256])
    assert scaling.exponent(sites, 3e-4 * sites**1.7) == pytest.approx(1.7)


def test_a_16_by_16_lattice_takes_a_step():
    seconds, parameters = scaling.time_per_step("tdvp", "sitewise", 16, steps=1, samples=20, tilts=())
    assert seconds > 0
    assert parameters > 100_000  # four tanh units over all the earlier sites of each


def test_table_by_command(tmp_path):
    app = typer.Typer()
    app.command()(scaling.main)
    out = tmp_path / "new" / "a.md"
    arguments = ["--lengths", "2,3", "--tracker-option", "samples=20", "--out", str(out)]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert "Time grows as N^" in out.read_text()
    assert CliRunner().invoke(app, ["--tracker", "tpvd"]).exit_code == 2
    told = CliRunner().invoke(app, [*arguments[:-2], "--dtype", "float32", "--fields", "3"])
    assert "CPU, float32, 3 counting fields" in told.output


@pytest.mark.parametrize(("option", "value"), [("--device", "tpu"), ("--dtype", "float16"), ("--fields", "0")])
def test_what_it_cannot_time_is_refused(option, value):
    app = typer.Typer()
    app.command()(scaling.main)
    assert CliRunner().invoke(app, [option, value]).exit_code == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_step_on_a_gpu(dtype):
    where = scaling.Where("cuda", dtype, 3)
    assert scaling.time_per_step("tdvp", "sitewise", 4, steps=1, where=where, samples=50, picture="symmetrised")[0] > 0
