"""Gates on matrix product states: exact where nothing is cut, up to the splitting; the best cut where something is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.exact import InputError, build, solve
from vanbench.exact.mps.state import MatrixProductState
from vanbench.neural import track
from vanbench.neural.architectures.matrix_product import MatrixProduct
from vanbench.neural.trackers import Diverged

SPINS = ["sigma_x", "sigma_y", "sigma_z"]
RING = {"Jx": 2.0, "Jy": 0.0, "Jz": 1.0, "B": 1.0, "initial": "-y"}


def follow(system, s, times, quantities, bond=16, observable="jumps", out=None, resume=False, target="time", **options):
    return track(
        system, s, times, observable=observable, quantities=quantities, architecture="matrix-product",
        architecture_options={"bond": bond}, tracker="tebd", tracker_options=options, target=target, out=out,
        resume=resume,
    )  # fmt: skip


def difference(found, exact, quantities):
    merged = found.records.merge(exact, on=["quantity", "s", "t"])
    assert set(merged.quantity) == set(quantities)
    return (merged.value_x - merged.value_y).abs().max()


def test_jump_counts_and_spins_of_a_square_are_exact_where_no_bond_is_cut():
    """Two of the four bonds join sites that are not neighbours in the chain."""
    system, s, times, quantities = build("heisenberg", (2, 2), **RING), [0.0, 0.3], [0.5, 1.0], [*SPINS, "ln_Z"]
    found = follow(system, s, times, quantities, dt=0.1, order=4, full_summation=True)
    exact = solve(system, s, times, quantities)
    assert difference(found, exact[exact.quantity == "ln_Z"], ["ln_Z"]) < 5e-7  # second order: 1e-3
    assert difference(found, exact[exact.quantity != "ln_Z"], SPINS) < 1e-4  # weights near 0 bend in the network


@pytest.mark.parametrize(("order", "steps", "largest"), [(2, (0.1, 0.05), 1e-3), (4, (0.5, 0.25), 1e-4)])
def test_errors_fall_with_the_power_of_the_step(order, steps, largest):
    system = build("tfim", (3,), V=2.0, g=1.0, initial="down", povm="4-pauli")  # starts with outcomes of probability 0
    exact = solve(system, 0.3, [1.0], ["ln_Z"])
    errors = [difference(follow(system, [0.3], [1.0], ["ln_Z"], dt=dt, order=order), exact, ["ln_Z"]) for dt in steps]
    assert errors[0] < largest
    assert 0.7 * 2**order < errors[0] / errors[1] < 1.3 * 2**order


@pytest.mark.parametrize(("shape", "bends"), [((6,), 1e-5), ((2, 3), 4e-4)])
def test_classical_generators(shape, bends):
    """The second without its all-down state: a conditional weight of exactly 0, which the network bends to `SOFT`."""
    system, quantities = build("fa", shape, c=0.3), ["ln_Z", "density"]
    exact = solve(system, [0.1], [2.0], quantities)
    options = {"observable": "activity", "dt": 0.2, "order": 4, "full_summation": True}
    found = follow(system, [0.1], [2.0], quantities, bond=8, **options)
    assert difference(found, exact[exact.quantity == "ln_Z"], ["ln_Z"]) < 1e-7
    assert difference(found, exact[exact.quantity == "density"], ["density"]) < bends


def test_samples_agree_with_sums():
    system = build("heisenberg", (3,), **RING)
    rows = [
        follow(system, [0.0], [0.5], SPINS, measure=4000, full_summation=full).records.query("quantity in @SPINS")
        for full in (True, False)
    ]
    away = (rows[0].value.to_numpy() - rows[1].value.to_numpy()) / rows[1].sampling_stderr.to_numpy()
    assert abs(away).max() < 4


def test_steady_states_are_compared_with_the_steady_state():
    system = build("tfim", (3,), V=2.0, g=2.5)
    want = solve(system, quantities=[f"steady_{name}" for name in SPINS]).sort_values("quantity").value.to_numpy()
    found = follow(system, [0.0], [20.0], SPINS, target="steady", dt=0.1, order=4, full_summation=True)
    got = found.records.query("quantity in @SPINS").sort_values("quantity").value.to_numpy()
    assert abs(got - want).max() < 2e-4  # exp(-20 gap) with a gap of about a half, and the splitting


def test_a_bond_that_is_too_small_is_told():
    system = build("heisenberg", (6,), **RING)
    with pytest.warns(UserWarning, match="bonds of 4 have cut .* of the vector.s squares: take a larger bond"):
        follow(system, [0.0], [1.0], ["ln_Z"], bond=4, measure=10)


def test_a_step_that_is_too_long_is_told():
    system = build("fa", (6,))
    exact = solve(system, -3.0, [1.0], ["ln_Z"])
    with pytest.warns(UserWarning, match="dt = 0.5 is too long for these rates: take dt below 0.17"):
        long = follow(system, [-3.0], [1.0], ["ln_Z"], observable="activity", dt=0.5, measure=10)
    short = follow(system, [-3.0], [1.0], ["ln_Z"], observable="activity", dt=0.17, measure=10)
    errors = [difference(run, exact, ["ln_Z"]) / exact.value.iloc[0] for run in (short, long)]
    assert errors[0] < 1e-3 < 1e-2 < errors[1]


@pytest.mark.parametrize("s", [-8.0, -300.0])
def test_a_step_that_overflows_says_which_does_not(s):
    with pytest.raises(Diverged, match="overflows: take dt below"):
        follow(build("fa", (4,)), [s], [1.0], ["ln_Z"], observable="activity", measure=10)


def test_nothing_happens_where_nothing_can():
    rates = dict.fromkeys(["p", "alpha", "beta", "gamma", "delta"], 0.0)
    for system in (build("voter", (1,)), build("ssep", (3,), **rates)):
        found = follow(system, [0.1], [1.0], ["ln_Z"], observable=system.observables[0], measure=10)
        assert abs(found.records.value[0]) < 1e-12


@pytest.mark.filterwarnings("ignore:.*take a larger bond")
def test_an_excluded_configuration_does_not_come_back():
    """Cut bonds lead to it, and it does not decay: at t = 40 it would be all there is."""
    system = build("fa", (2, 3))
    found = follow(system, [0.5], [40.0], ["ln_Z"], bond=4, observable="activity", dt=0.2, measure=10)
    exact = solve(system, 0.5, [40.0], ["ln_Z"])
    assert found.records.value[0] == pytest.approx(exact.value[0], rel=2e-2)  # bond 8 would be exact


def test_a_network_becomes_the_matrix_product_state():
    rng = np.random.default_rng(3)
    tensors = [rng.uniform(0.2, 1, size=shape) for shape in [(1, 2, 2), (2, 2, 3), (3, 2, 2), (2, 2, 1)]]
    state = MatrixProductState(tensors, 4, 0.0)
    state.divide(state.total(np.ones((4, 2))))
    net = MatrixProduct((4,), bond=3).double()
    net.load_state_dict(MatrixProduct.parameters_of(state), strict=False)
    x = np.indices((2,) * 4).reshape(4, -1).T.astype(np.int8)
    p = net.log_prob(torch.tensor(x.copy())).exp().detach().numpy()
    assert np.allclose(p, state.amplitudes(x), rtol=5e-3)  # weights near 0 bend, by (SOFT/f)^2


@pytest.mark.parametrize(
    ("system", "architecture", "options", "says"),
    [
        (("east", (4,)), "made", {}, "matrix-product"),
        (("ssep", (4,)), "matrix-product", {"dt": -0.1}, "not negative"),
        (("east", (4,)), "matrix-product", {"order": 3}, "order = 3"),
    ],
)
def test_what_gates_cannot_do_is_refused(system, architecture, options, says):
    with pytest.raises(InputError, match=says):
        track(build(*system), [0.1], architecture=architecture, tracker="tebd", tracker_options=options)


def test_a_fixed_sum_is_refused():
    with pytest.raises(InputError, match="fixed sum"):
        track(build("ssep", (4,), boundary="periodic"), [0.1], architecture="matrix-product", tracker="tebd")
