"""DMRG against Lanczos on the whole space, and against quimb's DMRG, which shares the local matrices alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse.linalg import eigsh

from vanbench.exact import InputError, Term, build, generator, solve
from vanbench.exact.definitions.quantities import given
from vanbench.exact.definitions.quantity import CLASSICAL, DMRG
from vanbench.exact.definitions.system import System
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.mps.accuracy import Accuracy, Asked
from vanbench.exact.mps.dmrg import leading
from vanbench.exact.mps.mpo import product_operator
from vanbench.exact.mps.solve_dmrg import Leading

NAMES = given(DMRG, CLASSICAL)
CASES = {
    "a chain": (build("fa", (9,), c=0.3), 0.2),
    "a ring": (build("fa", (7,), boundary="periodic"), 0.1),
    "active": (build("east", (8,), c=0.7), -0.3),
    "without all down": (build("fa", (3, 3)), 0.1),
    "pinned": (build("east", (3, 3), c=0.3), 0.15),
    "free": (build("free", (5,), c=0.2), 0.4),
    "an exclusion process": (build("ssep", (6,), boundary="open", alpha=0.5, beta=0.5, gamma=0.5, delta=0.5), 0.2),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_lanczos(name):
    system, s = CASES[name]
    got = solve(system, s, [], NAMES, method="dmrg", bond=32)
    want = solve(system, s, [], [n for n in NAMES if n != "scgf_lower"])
    values = got.set_index(["quantity", "site"])
    exact = want.set_index(["quantity", "site"]).value
    for key, row in values.iterrows():
        if key[0] == "scgf_lower":
            assert row.bound_kind == "certified"
            assert row.value <= exact["scgf"].iloc[0] + 1e-12
            assert row.value == pytest.approx(exact["scgf"].iloc[0], abs=1e-6)
        else:
            wanted = exact[exact.index.get_level_values(0) == key[0]]
            wanted = wanted[wanted.index.get_level_values(1).isna() == np.isnan(key[1])]
            number = wanted.iloc[0] if np.isnan(key[1]) else wanted[wanted.index.get_level_values(1) == key[1]].iloc[0]
            assert abs(row.value - number) <= row.bound + 1e-7, key


def test_it_finds_the_phase_where_one_without_a_mixer_sticks():
    """South-East 4x4 at s = 0.1, where a plain two-site sweep stands still at -0.5520."""
    system = build("east", (4, 4))
    found = solve(system, 0.1, [], ["scgf"], method="dmrg", bond=16).iloc[0]
    assert found.value == pytest.approx(solve(system, 0.1, [], ["scgf"]).value[0], abs=found.bound)
    assert found.bound < 5e-3


def test_the_operator_of_random_terms_is_their_sum():
    rng = np.random.default_rng(3)
    places = [(0,), (2,), (0, 1), (0, 3), (1, 3), (2, 4), (3, 4)]
    terms = [Term(sites, (m := rng.normal(size=(2 ** len(sites),) * 2)) + m.T) for sites in places]
    system = System("random", (5,), 2, tuple(terms), np.full((5, 2), 0.5))
    from vanbench.exact.mps.operators import LocalOperatorSum

    x = np.array([0, 1, 1, 0, 1])
    dense = np.ones((1, 1, 1))
    for tensor in product_operator(LocalOperatorSum.tilted(system), [x], 3.0):
        dense = np.einsum("aij,abkl->bikjl", dense, tensor)
        dense = dense.reshape(dense.shape[0], dense.shape[1] * dense.shape[2], -1)
    want = generator(system).toarray()
    want[int("01101", 2), int("01101", 2)] -= 3.0
    assert np.allclose(dense[0], want, atol=1e-12)
    value, vector = leading(lambda v: want @ v, rng.normal(size=32), 1e-20)
    exact = eigsh(want, 1, which="LA")[0][0]
    assert vector @ want @ vector / (vector @ vector) == pytest.approx(value, abs=1e-9)
    assert value <= exact + 1e-12


@pytest.mark.slow
def test_it_is_the_dmrg_of_quimb():
    import quimb.tensor as quimb

    system, s = build("fa", (16,)), -0.2
    found = Leading(Asked(system, s, np.zeros(0), ["scgf"], "activity", Accuracy(16)))
    arrays = [-tensor if k == 0 else tensor for k, tensor in enumerate(product_operator(found.operator))]
    arrays[0], arrays[-1] = arrays[0][0], arrays[-1][:, 0]
    start = quimb.MPS_rand_state(16, 4, seed=1)
    other = quimb.DMRG2(quimb.MatrixProductOperator(arrays, shape="lrud"), bond_dims=[8, 16], cutoffs=1e-12, p0=start)
    other.solve(tol=1e-8, verbosity=0)
    row = next(found.rows())
    assert row["value"] == pytest.approx(-other.energy.real, abs=1e-7)
    assert row["value"] >= -other.energy.real - row["bound"]


def test_a_long_chain_has_the_theta_of_its_ends():
    """FA beyond its transition: activity lives at the two ends alone, however long the chain."""
    values = [solve(build("fa", (n,)), 0.1, [], ["scgf"], method="dmrg", bond=16).value[0] for n in (14, 40)]
    assert values[1] == pytest.approx(values[0], abs=2e-3)


@pytest.mark.parametrize(
    ("system", "message"),
    [
        (build("asep", (4,), p=1.0, q=0.3), "detailed balance"),
        (build("ssep", (4,), boundary="periodic"), "conserved sums"),
        (build("tfim", (3,)), "detailed balance"),
        (build("free", (1,)), "two free sites"),
    ],
)
def test_what_it_cannot_do_is_refused(system, message):
    with pytest.raises(InputError, match=message):
        solve(system, 0.1, [], ["scgf"], method="dmrg")


def test_it_takes_no_time_steps():
    with pytest.raises(InputError, match="leave dt out"):
        solve(build("fa", (4,)), 0.1, [], ["scgf"], method="dmrg", dt=0.1)


def test_what_acts_on_no_site_is_a_constant():
    asked = SimpleNamespace(free=[0, 1, 2], ask=SimpleNamespace(system=build("fa", (3,))))
    parts = Leading._sum(asked, [Local((), np.array([[0.3]])), Local((1,), np.diag([1.0, 2.0]))]).parts
    assert sum(part.matrix[0, 0] for part in parts) == pytest.approx(1.3)
    assert sum(part.matrix[1, 1] for part in parts) == pytest.approx(2.3)


def test_rounding_is_that_of_every_contraction():
    """Each sums over a bond and the values of a site, and there is one a site."""
    asked = SimpleNamespace(operator=SimpleNamespace(n_sites=40, d=2), size=3.0)
    state = SimpleNamespace(bonds=[2, 8, 2])
    assert Leading.rounding(asked, state) >= np.finfo(float).eps * 3.0 * max(40, 16)


@pytest.mark.parametrize(("s", "bond"), [(0.1, 2), (-0.2, 4)])
def test_the_bound_of_an_average_is_what_bonds_change(s, bond):
    """By the difference of two bonds, not by rounding: it covers the error, and the errors of all sites together; also
    without what the gap adds, which is not resolved at bond 2."""
    system = build("fa", (12,), c=0.3)
    asked = Leading(Asked(system, s, np.zeros(0), ["trajectory_density"], "activity", Accuracy(bond)))
    want = solve(system, s, [], ["trajectory_density"])
    rows = list(asked._averages(*asked.solved(), -0.3, 1e-12, 0.0, {"s": s, "t": None}))
    mean, sites = rows[0], [row["bound"] for row in rows[1:]]
    error = abs(mean["value"] - want.value[want.site.isna()].item())
    assert 1e-6 < error < mean["bound"]
    assert mean["bound"] <= np.mean(sites) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("name", "n", "s", "params"),
    [
        ("fa", 3, 0.0, {"boundary": "periodic"}),
        ("fa", 3, 0.0, {"boundary": "down"}),
        ("fa", 4, -1.0, {}),
        ("fa", 4, 0.2, {"boundary": "down"}),
        ("fa", 10, -1.0, {"boundary": "down"}),
        ("fa", 5, 2.0, {"boundary": "down", "c": 0.5}),
        ("east", 4, 3.0, {"c": 0.5}),
        ("east", 6, 1.0, {"c": 0.3}),
        ("east", 4, 0.1, {"c": 0.5}),
        ("east", 8, -0.2, {"c": 0.4}),
    ],
)
def test_errors_cover_next_states_of_any_symmetry_and_vectors_that_are_nearly_degenerate(name, n, s, params):
    """The next state may be odd under a reflection; where the gap is small, averages are off by far more than theta."""
    system, asked = build(name, (n,), **params), ["scgf", "gap", "rate_function", "trajectory_density"]
    want = solve(system, s, [], asked, method="sparse").set_index(["quantity", "site"])
    answered = 0
    for row in solve(system, s, [], asked, method="dmrg").itertuples():
        exact = want.loc[(row.quantity, getattr(row, "site", np.nan))]
        if np.isnan(row.value) or np.isnan(exact.value):
            assert row.note or exact.note
            continue
        assert abs(row.value - exact.value) <= row.bound + exact.bound
        answered += 1
    assert answered >= 2
