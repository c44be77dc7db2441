"""The published trackers of open systems: with an exact ansatz and full summation nothing but the scheme is left."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.references import compute
from compare.task import Task
from exact import InputError, build, solve
from neural import Ensemble, track
from neural import build as network
from neural.trackers import Problem
from neural.trackers.l1 import L1Fit, Residual
from neural.trackers.steady import interpolated

SPINS = ["sigma_x", "sigma_y", "sigma_z"]
RING = {"Jx": 2.0, "Jy": 0.0, "Jz": 1.0, "B": 1.0, "initial": "-y"}
# Adam at a learning rate that falls to 3e-5 leaves each logit within about that of the optimum
ADAM = 3e-4


def two_spins():
    return build("heisenberg", (2,), **RING)


def spins(frame):
    return frame[frame.quantity.isin(SPINS)].sort_values(["quantity", "t"]).value.to_numpy()


def follow(tracker: str, times, **options):
    return track(
        two_spins(), [0.0], times, observable="jumps", quantities=SPINS,
        architecture="table", tracker=tracker, tracker_options={"full_summation": True, **options},
    )  # fmt: skip


def test_trapezoid_with_an_exact_ansatz_is_the_exact_scheme():
    times = [0.1, 0.2]
    found = follow("trapezoid", times, dt=0.1, epochs=300, learning_rate=0.02, decay=1e-3)
    scheme = solve(two_spins(), 0.0, times, SPINS, scheme="trapezoid", dt=0.1)
    continuous = solve(two_spins(), 0.0, times, SPINS)
    error = abs(spins(found.records) - spins(scheme)).max()
    assert error < ADAM
    assert abs(spins(continuous) - spins(scheme)).max() > 5 * error  # so the scheme is told from continuous time
    assert (found.log.loss < 1e-3).all()


@pytest.mark.parametrize("mixed", [{}, {"mix": 0.5}, {"mix": 0.5, "between": "residuals"}])
def test_steady_with_an_exact_ansatz_is_the_steady_state(mixed):
    found = follow("steady", [600.0], horizon=600, learning_rate=0.03, decay=1e-3, **mixed)
    want = solve(two_spins(), quantities=[f"steady_{name}" for name in SPINS]).sort_values("quantity").value
    assert abs(spins(found.records) - want.to_numpy()).max() < 4 * ADAM  # three times the rate above
    loss = found.log.loss.to_numpy()
    assert loss[-1] < 1e-2 * loss[0]


def test_dynamics_after_the_steady_objective_stays_there():
    found = follow(
        "steady-dynamics", [0.2], dt=0.1, epochs=50, learning_rate=3e-3, decay=1e-2,
        iterations=400, steady_rate=0.03, steady_decay=1e-3,
    )  # fmt: skip
    want = solve(two_spins(), quantities=[f"steady_{name}" for name in SPINS]).sort_values("quantity").value
    assert abs(spins(found.records) - want.to_numpy()).max() < 4 * ADAM


@pytest.mark.parametrize("neighbours", [0, 3])
def test_the_sampled_gradient_is_that_of_the_summed_norm(neighbours):
    """Gradients of the L1 norm from many samples, all neighbours or a few, against automatic differentiation."""
    torch.manual_seed(1)
    system = two_spins()
    net = network("made", (2,), 4, hidden=4).double().initialise(system.initial)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    problem = Problem(system, [0.0], "jumps", Ensemble(net), torch.Generator().manual_seed(2))
    residuals = [Residual(0.7, 2.0, -0.5, -1.9, -0.4), Residual(0.3, 0.0, 1.0)]
    before = {name: value + 0.1 for name, value in problem.ensemble.frozen().items()}

    def gradient(fit: L1Fit, which: str) -> np.ndarray:
        fit.optimiser.zero_grad()
        getattr(fit, which)(residuals, before)
        return torch.cat([p.grad.flatten() for p in problem.ensemble.parameters.values()]).numpy()

    exact = gradient(L1Fit(problem, 10, 0, 1e-2, full_summation=True), "_summed")
    fit = L1Fit(problem, 4000, neighbours, 1e-2, full_summation=False)
    found = np.array([gradient(fit, "_sampled") for _ in range(12)])
    stderr = found.std(0, ddof=1) / np.sqrt(len(found)) + 1e-12
    assert (abs(found.mean(0) - exact) / stderr).max() < 6  # Student's t, 11 degrees of freedom: 1e-4 each
    assert np.linalg.norm(found.mean(0) - exact) < 0.1 * np.linalg.norm(exact)


def test_the_interpolations_end_in_both_objectives():
    for between in ("norms", "residuals"):
        assert interpolated(0.0, between, 0.1) == [Residual(1.0, 0.0, 1.0)]
        (step,) = interpolated(1.0, between, 0.1)
        assert (abs(step.own), abs(step.flow), abs(step.old), abs(step.old_flow)) == (10.0, 0.5, 10.0, 0.5)


def test_what_the_objectives_cannot_do_is_refused():
    for tracker, s, times, options, message in [
        ("trapezoid", 0.1, [0.1], {}, "tdvp"),
        ("steady", 0.0, [0.5], {}, "whole numbers"),
        ("steady", 0.0, [1.0], {"between": "lines"}, "norms"),
        ("trapezoid", 0.0, [0.1], {"neighbours": -1}, "neighbours"),
    ]:
        with pytest.raises(InputError, match=message):
            track(
                two_spins(), [s], times, observable="jumps", quantities=SPINS, tracker=tracker, tracker_options=options
            )


def test_steady_trackers_are_compared_with_the_steady_state():
    declared = {
        "name": "x", "system": "tfim", "shapes": [(2,)], "s": [0.0], "times": [5.0, 10.0],
        "observable": "jumps", "quantities": SPINS, "tracker": "steady",
    }  # fmt: skip
    found = compute(Task(**declared), (2,)).continuous
    want = solve(build("tfim", (2,)), quantities=["steady_sigma_z"]).value.item()
    assert found[found.quantity == "sigma_z"].value.tolist() == [want, want]
    assert sorted(set(found.t)) == [5.0, 10.0]
