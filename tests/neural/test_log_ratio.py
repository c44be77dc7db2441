"""The fitted log-ratio steps against the same Heun steps on exact vectors, and against continuous time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.exact import InputError, StateSpace, build, solve
from vanbench.exact.sparse.generator import generator
from vanbench.neural import track

torch.set_num_threads(1)
SUMMED = {"full_summation": True, "damping": 1e-12, "tolerance": 1e9, "iterations": 6}
SAMPLED = {"full_summation": False, "samples": 500, "dt": 0.1}


def heun(system, s, spans):
    """``ln Z`` and the distribution by Heun steps of ``ln p`` on exact vectors."""
    w, ln_z = generator(system, s), 0.0
    log_p = np.log(StateSpace(system).initial())
    for dt in spans:
        euler = (w @ np.exp(log_p)) / np.exp(log_p)
        ahead = np.exp(log_p + dt * euler)
        log_p = log_p + dt / 2 * (euler + (w @ ahead) / ahead)
        top = np.logaddexp.reduce(log_p)
        ln_z, log_p = ln_z + top, log_p - top
    return ln_z, np.exp(log_p)


@pytest.mark.parametrize(
    ("system", "s"),
    [
        (build("fa", (5,), c=0.3), 0.2),
        (build("fa", (2, 2)), 0.5),  # all-down left out
        (build("east", (2, 3), c=0.2), -0.3),  # pinned corner
        (build("asep", (4,), p=1.0, q=0.3), 0.2),  # not symmetric
        (build("ssep", (6,), boundary="periodic"), 0.3),  # conserved particles
    ],
    ids=lambda v: getattr(v, "name", v),
)
def test_table_with_full_summation_steps_as_the_exact_vector(system, s):
    options = {**SUMMED, "dt": 0.1}
    found = track(system, [s], [0.5], architecture="table", tracker="log-ratio", tracker_options=options)
    ln_z, p = heun(system, s, found.log["dt"])
    row = found.records[found.records.quantity == "ln_Z"].iloc[-1]
    # Gauss-Newton converges quadratically: six iterations leave the damping, 1e-12, and the floor of zero starts
    assert row.value == pytest.approx(ln_z, rel=1e-7)
    assert found.distribution() == pytest.approx(p, abs=1e-7)
    assert found.log["residual"].iloc[-1] < 1e-5


@pytest.mark.parametrize(("architecture", "dtype"), [("sitewise", "float64"), ("sitewise", "float32")])
def test_sampled_runs_meet_continuous_time_within_a_permille(architecture, dtype):
    system, fields = build("east", (5,), c=0.4), [0.1, 0.4]
    exact = solve(system, fields, [1.5], ["ln_Z"]).value.to_numpy()
    found = track(
        system, fields, [1.5], tracker="log-ratio", architecture=architecture, tracker_options=SAMPLED, dtype=dtype
    )
    rows = found.records[found.records.quantity == "ln_Z"]
    error = np.abs(rows.value.to_numpy() - exact)
    assert (error < 1.5e-3 * np.abs(exact) + 4 * rows.sampling_stderr.to_numpy()).all()  # measured 3e-4
    assert (rows.sampling_stderr < 2e-3 * np.abs(exact)).all()
    assert found.log["ess"].between(0.5, 1.0 + 1e-6).all()


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="lies from 1"):
        track(build("fa", (4,)), [0.1], [0.1], tracker="log-ratio", tracker_options={"iterations": 0})
