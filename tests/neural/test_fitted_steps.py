"""Fits of Euler and SSP-RK2 steps, by Adam and by natural gradient, against the same steps on exact vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.exact import InputError, StateSpace, build, solve
from vanbench.exact.sparse.generator import generator
from vanbench.neural import track

torch.set_num_threads(1)
ADAM = {"epochs": 250, "first_epochs": 500, "learning_rate": 1e-2, "decay": 1e-3}
NEWTON = {"iterations": 6, "damping": 1e-12}
SYSTEMS = [
    (build("fa", (4,), c=0.3), 0.2),
    (build("fa", (2, 2)), 0.5),  # all-down left out
    (build("east", (2, 2), c=0.2), -0.3),  # pinned corner
    (build("ssep", (4,), boundary="periodic"), 0.3),  # conserved particles
]


def stepped(system, s, dt, steps, order):
    """``ln Z`` and the distribution after steps on exact vectors."""
    w, p = generator(system, s), StateSpace(system).initial()
    for _ in range(steps):
        euler = p + dt * (w @ p)
        p = euler if order == 1 else (p + euler + dt * (w @ euler)) / 2
    return np.log(p.sum()), p / p.sum()


def last(found, quantity="ln_Z"):
    return found.records[found.records.quantity == quantity].iloc[-1]


@pytest.mark.parametrize(("system", "s"), SYSTEMS, ids=lambda v: getattr(v, "name", v))
@pytest.mark.parametrize(("tracker", "order"), [("natural-gradient", 1), ("natural-gradient", 2), ("kl", 2)])
def test_table_with_full_summation_steps_as_the_exact_vector(system, s, tracker, order):
    options = {**(ADAM if tracker == "kl" else NEWTON), "dt": 0.1, "order": order, "full_summation": True}
    found = track(system, [s], [0.2], architecture="table", tracker=tracker, tracker_options=options)
    ln_z, p = stepped(system, s, 0.1, 2, order)
    for quantity in ("ln_Z", "ln_Z:integrated", "ln_Z_summed"):
        assert last(found, quantity).value == pytest.approx(ln_z, rel=1e-6)  # what the fits must reach, they leave 1e-8
    assert found.distribution() == pytest.approx(p, abs=1e-5)


def test_second_order_is_nearer_to_continuous_time():
    system = build("east", (2, 2), c=0.5)
    exact = solve(system, 0.3, [0.4], ["ln_Z"]).value.iloc[0]
    error = {}
    for order in (1, 2):
        options = {**NEWTON, "dt": 0.1, "order": order, "full_summation": True}
        found = track(system, [0.3], [0.4], architecture="table", tracker="natural-gradient", tracker_options=options)
        error[order] = abs(last(found).value - exact) / abs(exact)
    assert error[2] < error[1] / 20  # dt lambda / 6 at second order against dt lambda / 2 at first


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_natural_gradient_meets_its_scheme_on_samples(dtype):
    system, fields = build("east", (5,), c=0.4), [0.1, 0.4]
    options = {"dt": 0.1, "samples": 600, "order": 2, "full_summation": False}
    found = track(
        system,
        fields,
        [1.0],
        architecture="sitewise",
        tracker="natural-gradient",
        tracker_options=options,
        dtype=dtype,
    )
    rows = found.records[found.records.quantity == "ln_Z"]
    for row, s in zip(rows.itertuples(), fields):
        want = stepped(system, s, 0.1, 10, 2)[0]
        assert abs(row.value - want) < 4 * row.sampling_stderr + 2e-3 * abs(want)  # measured 5e-4


@pytest.mark.parametrize(
    "more", [{"tilts": (1.0, 2.0), "share": 0.3}, {"anneal": 1.1, "epochs": 60}, {"order": 2}], ids=str
)
def test_options_of_the_published_tracker_keep_its_scheme(more):
    system = build("east", (5,), c=0.4)
    options = {"dt": 0.1, "samples": 300, "epochs": 20, "first_epochs": 60, "learning_rate": 3e-3, "decay": 0.1}
    options |= {"order": 1, "full_summation": False, **more}
    found = track(system, [0.3], [0.4], architecture="sitewise", tracker_options=options)
    want = stepped(system, 0.3, 0.1, 4, more.get("order", 1))[0]
    for name in ("log_mean_exp", "integrated"):
        row = last(found, f"ln_Z:{name}")
        assert abs(row.value - want) < 4 * row.sampling_stderr + 3e-3 * abs(want)


@pytest.mark.parametrize(
    ("tracker", "options", "message"),
    [
        ("kl", {"order": 3}, "is one of 1, 2|lies from"),
        ("kl", {"anneal": 0.5}, "at least 1"),
        ("kl", {"tilts": "abc"}, "finite numbers"),
        ("natural-gradient", {"iterations": 0}, "lies from 1"),
        ("natural-gradient", {"epochs": 5}, "option of natural-gradient"),
    ],
)
def test_bad_options_are_refused(tracker, options, message):
    with pytest.raises(InputError, match=message):
        track(build("fa", (4,)), [0.1], [0.1], tracker=tracker, tracker_options=options)
