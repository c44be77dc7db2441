"""Gates on the symmetrised amplitude, in half the time; and gates that weigh by the start, for all of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.exact import InputError, StateSpace, build, solve
from vanbench.exact.sparse.generator import generator
from vanbench.neural import track


def follow(system, s, times, bond, picture="symmetrised", quantities=("ln_Z",), **options):
    return track(
        system, s, times, observable="activity", quantities=list(quantities), architecture="matrix-product",
        architecture_options={"bond": bond}, tracker="tebd", tracker_options={"picture": picture, **options},
    )  # fmt: skip


def value(records, quantity="ln_Z"):
    return float(records[records.quantity == quantity].value.iloc[-1])


def product(system):
    """The start, in the order of ``StateSpace``."""
    x = StateSpace(system).configurations()
    return np.asarray(system.initial)[np.arange(system.n_sites), x].prod(1)


@pytest.mark.parametrize("name", ["east", "fa"])
@pytest.mark.parametrize("c", [0.5, 0.2])
def test_ln_z_is_exact_where_no_bond_is_cut(name, c):
    """FA without its all-down state; c = 0.2 tells P from the amplitude."""
    system = build(name, (2, 3), c=c)
    exact = value(solve(system, 0.3, [4.0], ["ln_Z"]))
    found = value(follow(system, [0.3], [4.0], 8, dt=0.25, order=4).records)
    assert found == pytest.approx(exact, abs=1e-6)  # what is left is the splitting: 1e-4 in second order


def test_the_network_holds_half_the_time():
    system = build("fa", (5,), c=0.3)
    run = follow(system, [0.4], [4.0], 8, dt=0.25, order=4)
    half = torch.matrix_exp(torch.as_tensor(generator(system, 0.4).toarray()) * 2.0).numpy() @ product(system)
    half /= half.sum()
    assert np.allclose(run.distribution(0), half, atol=2e-4)  # weights near 0 bend in the network


def test_observables_are_those_of_the_middle():
    system, s, t = build("east", (4,), c=0.3), 0.4, 3.0
    run = follow(system, [s], [t], 8, dt=0.25, order=4, quantities=["ln_Z", "density"], measure=20000)
    row = run.records[run.records.quantity == "middle_density"].iloc[0]
    pi = product(system)
    half = torch.matrix_exp(torch.as_tensor(generator(system, s).toarray()) * t / 2).numpy() @ pi
    weights, x = half**2 / pi, StateSpace(system).configurations()
    assert abs(row.value - weights @ x.mean(1) / weights.sum()) < 4 * row.sampling_stderr


def test_the_balance_is_checked():
    for system in (build("asep", (4,)), build("fa", (4,), initial="down"), build("free", (3,), initial="down")):
        with pytest.raises(InputError, match="detailed balance"):
            follow(system, [0.1], [1.0], 4)


def test_weighing_by_the_start_keeps_what_is_rare_there():
    """Up-spins are rare at c = 0.05; at s = -1 they are what counts."""
    system = build("east", (3, 3), c=0.05)
    exact = value(solve(system, -1.0, [8.0], ["ln_Z"]))
    off = [
        abs(value(follow(system, [-1.0], [8.0], 8, "forward", dt=0.2, order=4, balanced=balanced).records) - exact)
        for balanced in (False, True)
    ]
    assert off[1] < off[0] / 5
