"""Shared by tests: a generator with a fixed seed, a suite of one tiny task."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from command_line import TINY_SUITE
from hypothesis import HealthCheck, settings

# Two workers fill two cores. A numba kernel on several threads also sets the number of OpenMP threads, and so torch's:
# then four threads wait for each other. `test_threads.py` is about kernels on several threads.
os.environ |= dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

# A shell starts what runs in the background with SIGINT ignored, and then no test could interrupt anything.
signal.signal(signal.SIGINT, signal.default_int_handler)

# hypothesis times each example, and gives up on a slow machine, unless told not to
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_SUITE)
    return path


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and laid out, but not drawn, which takes seconds for each run: how they look is for others."""
    from vanbench.compare.show import canvas
    from vanbench.compare.show.report import svg

    monkeypatch.setattr(canvas, "_write", lambda figure, form, path: path.touch())
    monkeypatch.setattr(svg, "_drawn", lambda figure: '<svg width="1" height="1"></svg>')
