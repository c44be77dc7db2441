"""Matrix product states and TEBD against quimb and against dense matrices.

quimb evolves by the Taylor series of a matrix product operator, or by a splitting of its own: it shares with ours the
list of local matrices and nothing else. It is imported by a fixture, as that takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.sparse.linalg import expm_multiply

from vanbench.exact import InputError, StateSpace, System, Term, build, generator
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.mps.evolution import Evolution
from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.mps.state import MatrixProductState

RING = {"Jx": 2.0, "Jy": 0.0, "Jz": 1.0, "B": 1.0, "initial": "-y", "boundary": "periodic"}


@dataclass
class Case:
    system: System
    s: float
    observable: str
    t: float

    @property
    def operator(self) -> LocalOperatorSum:
        return LocalOperatorSum.tilted(self.system, self.s, self.observable)

    def follow(self, steps: int, max_bond: int = 64, **options) -> tuple[float, Evolution]:
        """``ln Z`` and the state at ``t``."""
        evolution = Evolution(self.system, self.s, self.observable, max_bond, **options)
        return sum(evolution.step(self.t / steps) for _ in range(steps)), evolution


CASES = {
    "chain, activity": Case(build("fa", (6,), c=0.3), 0.3, "activity", 1.0),
    "chain, current": Case(build("asep", (6,), p=1.0, q=0.3), -0.4, "current", 1.0),
    "ring, forward": Case(build("voter", (6,), initial="bernoulli:0.3"), 0.0, "activity", 1.0),
    "lattice, activity": Case(build("east", (2, 4), c=0.4), -0.2, "activity", 1.0),
    "chain, signed": Case(build("tfim", (4,), V=2.0, g=1.0, initial="down", povm="4-pauli"), 0.0, "jumps", 0.5),
    "ring, signed": Case(build("heisenberg", (4,), **RING), 0.3, "jumps", 0.5),
    "lattice, signed": Case(build("heisenberg", (2, 2), **RING), 0.0, "jumps", 0.5),
}


@pytest.fixture(scope="module")
def quimb():
    import quimb.tensor

    return quimb.tensor


def quimb_operator(quimb, operator: LocalOperatorSum):
    """The same sum as a matrix product operator of quimb."""
    total, d = None, operator.d
    for part in operator.parts:
        local = quimb.MatrixProductOperator.from_dense(part.matrix, dims=d, sites=part.sites, L=operator.n_sites)
        local = local.fill_empty_sites(mode="full", fill_array=np.eye(d))
        total = local if total is None else total.add_MPO(local)
    total.compress(cutoff=1e-22)
    return total


def quimb_taylor(quimb, case: Case, steps: int, order: int):
    """``exp(t W_s) P_0`` of a product start as a state of quimb, by a Taylor series of ``order`` in each step."""
    operator = quimb_operator(quimb, case.operator)
    state = quimb.MPS_product_state(list(case.system.initial))
    for _ in range(steps):
        total = term = state
        for k in range(1, order + 1):
            term = operator.apply(term) * (case.t / steps / k)
            term.compress(cutoff=1e-22)
            total = total.add_MPS(term)
        total.compress(cutoff=1e-22)
        state = total
    return state


def quimb_tebd(quimb, case: Case, dt: float, max_bond: int):
    """``exp(t W_s) P_0`` of a chain up to a factor, by quimb's fourth-order TEBD in imaginary time."""
    alone = {part.sites[0]: -part.matrix for part in case.operator.parts if len(part.sites) == 1}
    pairs = {part.sites: -part.matrix for part in case.operator.parts if len(part.sites) == 2}
    hamiltonian = quimb.LocalHam1D(case.system.n_sites, H2=pairs, H1=alone or None)
    options = {"cutoff": 1e-18, "cutoff_mode": "rsum2", "max_bond": max_bond}
    start = quimb.MPS_product_state(list(case.system.initial))
    tebd = quimb.TEBD(start, hamiltonian, dt=dt, imag=True, progbar=False, split_opts=options)
    tebd.update_to(case.t, order=4)
    return tebd.pt


def quimb_state(quimb, state: MatrixProductState):
    """Ours as a state of quimb."""
    first, *middle, last = state.tensors
    return quimb.MatrixProductState([first[0], *middle, last[:, :, 0]], shape="lpr")


def dense(state: MatrixProductState) -> np.ndarray:
    out = np.ones((1, 1))
    for tensor in state.tensors:
        out = np.tensordot(out, tensor, 1).reshape(-1, tensor.shape[2])
    return out.reshape([tensor.shape[1] for tensor in state.tensors])


def test_bonds_are_the_sizes_between_sites(rng):
    assert random_state(rng, (2, 3, 2)).bonds == [2, 3, 2]


def random_state(rng, sizes, d=2, max_bond=99) -> MatrixProductState:
    """With bonds of ``sizes``."""
    return MatrixProductState([rng.normal(size=(a, d, b)) for a, b in zip((1, *sizes), (*sizes, 1))], max_bond, 0.0)


# -- evolution ---------------------------------------------------------------------------------------------------------


SPLITTING = 3e-8, 5e-7  # of ten steps of fourth order: of ln Z, and of probabilities relative to the largest


@pytest.mark.parametrize("name", CASES)
def test_evolution_is_that_of_quimb(name, quimb):
    """Taylor's remainder is below 1e-9."""
    case = CASES[name]
    agree(case.follow(10), quimb_taylor(quimb, case, steps=6, order=12).to_dense().ravel())


@pytest.mark.parametrize("name", CASES)
def test_evolution_is_the_exponential_of_the_generator(name):
    case = CASES[name]
    x, want = exponential(case)
    agree(case.follow(10), want, x)


def exponential(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Configurations, and ``exp(t W_s) P_0`` from the sparse generator."""
    x = StateSpace(case.system).configurations()
    start = case.system.initial[np.arange(case.system.n_sites), x].prod(1)
    return x, expm_multiply(case.t * generator(case.system, case.s, case.observable), start / start.sum())


def agree(followed: tuple[float, Evolution], want: np.ndarray, x: np.ndarray | None = None) -> None:
    ln_z, evolution = followed
    probability = evolution.probability()
    got = dense(probability).ravel() if x is None else probability.amplitudes(x)
    assert ln_z == pytest.approx(np.log(want.sum()), abs=SPLITTING[0])
    assert np.abs(got - want / want.sum()).max() < SPLITTING[1] * np.abs(want).max()


def test_a_long_chain_is_that_of_quimb(quimb):
    """2^16 configurations, by two splittings that differ from the fourth order on."""
    case = Case(build("fa", (16,), c=0.3), 0.3, "activity", 1.0)
    _, evolution = case.follow(10, max_bond=10)
    assert evolution.state.discarded < 1e-12
    assert apart(quimb_state(quimb, evolution.state), quimb_tebd(quimb, case, 0.1, 10)) < 1e-6


def test_cut_bonds_are_those_of_quimb(quimb):
    """Where both cut, they differ by less than the square root of what is cut: that part is orthogonal to the rest."""
    case = Case(build("heisenberg", (7,), **{**RING, "boundary": "open"}), 0.0, "jumps", 0.5)
    _, evolution = case.follow(5, max_bond=6)
    assert 1e-5 < evolution.state.discarded < 1e-2
    difference = apart(quimb_state(quimb, evolution.state), quimb_tebd(quimb, case, 0.1, 6))
    assert difference < evolution.state.discarded**0.5


def apart(a, b) -> float:
    """The distance of two states of quimb after both are given the norm 1."""
    return max(0.0, 2 - 2 * float(a.H @ b) / a.norm() / b.norm()) ** 0.5


@pytest.mark.parametrize(("name", "shape"), [("fa", (5,)), ("fa", (2, 3)), ("east", (2, 3))])
def test_half_the_time_is_enough_where_it_is_symmetrised(name, shape):
    """The second without its all-down state."""
    case = Case(build(name, shape, c=0.3), 0.3, "activity", 2.0)
    ln_z, evolution = case.follow(10, symmetrised=True)
    assert ln_z == pytest.approx(np.log(exponential(case)[1].sum()), abs=1e-7)
    x, half = exponential(replace(case, t=1.0))
    assert np.allclose(evolution.probability().amplitudes(x), half / half.sum(), rtol=0, atol=1e-7)


@pytest.mark.parametrize(("order", "steps", "largest"), [(2, (10, 20), 1e-2), (4, (2, 4), 1e-4)])
def test_errors_fall_with_the_power_of_the_step(order, steps, largest):
    case = replace(CASES["chain, signed"], s=0.3, t=1.0)
    exact = np.log(exponential(case)[1].sum())
    errors = [case.follow(n, order=order)[0] - exact for n in steps]
    assert abs(errors[0]) < largest
    assert 0.7 * 2**order < errors[0] / errors[1] < 1.3 * 2**order


def test_a_step_that_overflows_says_which_does_not():
    case = Case(build("fa", (4,)), -8.0, "activity", 1.0)
    with pytest.raises(OverflowError, match="take dt below"):
        case.follow(1)


@pytest.mark.parametrize(
    ("system", "options", "message"),
    [
        (build("ssep", (4,), boundary="periodic"), {}, "fixed sum"),
        (build("fa", (2, 2)), {"max_bond": 1}, "bond of 2"),
        (build("fa", (4,)), {"order": 3}, "order = 3"),
        (build("asep", (4,), p=1.0, q=0.3), {"symmetrised": True}, "detailed balance"),
        (build("fa", (4,), initial="down"), {"symmetrised": True}, "detailed balance"),
        (System("three", (3,), 2, (Term((0, 1, 2), np.zeros((8, 8))),), np.full((3, 2), 0.5)), {}, "one site or two"),
    ],
)
def test_what_it_cannot_do_is_refused(system, options, message):
    with pytest.raises(InputError, match=message):
        Case(system, 0.0, "activity", 1.0).follow(1, **options)


# -- states and operators ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sites", [(1,), (0, 1), (3, 1), (0, 4), (4, 2)])
def test_a_matrix_on_any_sites_is_the_dense_one(sites):
    rng = np.random.default_rng(1)
    state = random_state(rng, (4, 5, 5, 2), 3)
    matrix, k = rng.normal(size=(3 ** len(sites),) * 2), len(sites)
    moved = np.moveaxis(dense(state), sites, range(k))
    want = np.moveaxis((matrix @ moved.reshape(3**k, -1)).reshape(moved.shape), range(k), sites)
    state.apply([Local(sites, matrix)])
    assert np.allclose(dense(state), want, rtol=1e-12, atol=1e-9)


def test_what_is_cut_is_what_is_discarded():
    rng = np.random.default_rng(2)
    state = random_state(rng, (2, 4, 2), max_bond=3)
    before = dense(state)
    state.apply([Local((1, 2), np.eye(4))])
    assert state.bonds[1] == 3
    share = np.square(before - dense(state)).sum() / np.square(before).sum()
    assert np.isclose(share, state.discarded, rtol=1e-9)
    smallest = np.linalg.svd(before.reshape(4, 4), compute_uv=False)[-1]
    assert np.isclose(share, smallest**2 / np.square(before).sum(), rtol=1e-9)  # and no cut loses less


def test_an_entry_is_removed():
    state, x = random_state(np.random.default_rng(4), (2, 3, 2), max_bond=4), np.array([0, 1, 1, 0])
    want = dense(state)
    assert state.amplitudes(x[None])[0] == pytest.approx(want[0, 1, 1, 0], rel=1e-12)
    want[0, 1, 1, 0] = 0.0
    state.remove(x)
    assert np.allclose(dense(state), want, rtol=1e-12, atol=1e-12)


def test_sums_and_marginals_are_the_dense_ones():
    rng = np.random.default_rng(5)
    state, weights = random_state(rng, (2, 3)), rng.uniform(0.5, 1, size=(3, 2))
    want = np.einsum("abc,a,b,c", dense(state), *weights)
    assert state.total(weights) == pytest.approx(want, rel=1e-12)
    assert state.multiplied(weights).total(np.ones((3, 2))) == pytest.approx(want, rel=1e-12)
    state.divide(dense(state).sum())
    assert np.allclose(state.marginals()[1], dense(state).sum((0, 2)), rtol=1e-12)
    assert state.norm == pytest.approx(np.linalg.norm(dense(state)), rel=1e-12)


@pytest.mark.parametrize("d", [2, 3])
def test_matrix_elements_are_those_of_quimb_and_the_dense_ones(d, quimb):
    """One site, neighbours, sites apart, either order, two terms on the same sites; states of different sizes."""
    rng, n = np.random.default_rng(1), 5
    places = [(2,), (0, 1), (1, 4), (4, 0), (3, 1), (1, 3), (4,), (0, 1)]
    parts = [Local(sites, rng.normal(size=(d ** len(sites),) * 2)) for sites in places]
    bra, ket = random_state(rng, (2, 4, 3, 2), d), random_state(rng, (3, 3, 2, 1), d, max_bond=10**6)
    total = np.zeros((d,) * n)
    for part in parts:
        changed = ket.copy()
        changed.apply([part])
        total += dense(changed)
    operator = LocalOperatorSum(parts, n, d)
    overlap, element = operator.between(bra, ket)
    assert overlap == pytest.approx(np.vdot(dense(bra), dense(ket)), rel=1e-12)
    assert element == pytest.approx(np.vdot(dense(bra), total), rel=1e-12)
    moved = quimb_operator(quimb, operator).apply(quimb_state(quimb, ket))
    assert element == pytest.approx(quimb_state(quimb, bra).H @ moved, rel=1e-10)


@pytest.mark.parametrize("h", [0.7, -0.7])
def test_a_tilted_state_weighs_what_is_down(h):
    """``exp(h n / 2)`` with ``n`` sites at 0, normalised."""
    evolution = Evolution(build("fa", (4,), c=0.3), 0.2, "activity", 8)
    evolution.step(0.3)
    psi, tilted = (dense(e.state.multiplied(e.scale)).ravel() for e in (evolution, evolution.tilted(h)))
    down = np.array([(4 - bin(x).count("1")) for x in range(16)])
    want = psi * np.exp(h * down / 2)
    assert tilted / tilted.sum() == pytest.approx(want / want.sum(), rel=1e-10)
