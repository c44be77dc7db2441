"""Leading eigenvalues against dense matrices: non-normal generators, classes that moves do not connect, stiff rates."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackError

from vanbench.exact import System, build, generator, solve
from vanbench.exact.definitions.terms import jumps
from vanbench.exact.matrixfree import eigenvectors, kernel_stored
from vanbench.exact.matrixfree.gauge import in_gauge, product_gauge
from vanbench.exact.matrixfree.kernel import Layout
from vanbench.exact.matrixfree.local import tilted
from vanbench.exact.sparse import eigen as eigen_module
from vanbench.exact.sparse.balance import balanced
from vanbench.exact.sparse.eigen import norm, outermost
from vanbench.exact.sparse.spectrum import scgf_and_gap


def precise(w: np.ndarray, digits: int = 50) -> np.ndarray:
    """All eigenvalues, in extended precision, by falling real part."""
    with mp.workdps(digits):
        values = mp.eig(mp.matrix(w.tolist()), left=False, right=False)
        return np.array(sorted((complex(v) for v in values), key=lambda v: -v.real))


def read(frame) -> dict[str, float]:
    return dict(zip(frame["quantity"], frame["value"]))


def two_rings(name: str, length: int, **params) -> System:
    edges = [(k + i, k + (i + 1) % length) for k in (0, length) for i in range(length)]
    return build(name, (2 * length,), edges=edges, **params)


# -- non-normal generators --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("s", [-20.0, -6.0, 0.3, 10.0, 20.0])
@pytest.mark.parametrize("observable", ["current_0", "current_2", "current", "activity"])
def test_strong_fields_on_small_exclusion_processes(observable, s):
    """Tolerance: what 50 digits leave of the rounding of the matrix, relative to its largest balanced element."""
    w = generator(build("asep", (4,)), s, observable)
    want = precise(w.toarray())
    got = scgf_and_gap(w)
    scale = eigen_module.norm(balanced(w)[0])
    assert got.theta == pytest.approx(want[0].real, abs=1e-13 * scale)
    assert got.gap == pytest.approx((want[0] - want[1]).real, abs=1e-12 * scale)
    assert abs(got.theta - want[0].real) <= got.theta_error + 1e-16 * scale
    assert abs(got.gap - (want[0] - want[1]).real) <= got.gap_error + 1e-16 * scale


def test_a_field_on_one_bond_of_twelve_sites():
    """The tilted open chain: a field on any one bond has the same spectrum, spread evenly over all bonds too."""
    system = build("asep", (12,))
    found = [read(solve(system, s, (), ("scgf", "gap"), observable=name, method=method)) for s, name, method in (
        (10.0, "current_0", "sparse"), (10.0, "current_7", "sparse"), (10 / 13, "current", "sparse"),
    )]  # fmt: skip
    assert found[0]["scgf"] == pytest.approx(0.352039, abs=5e-7)
    assert found[0]["gap"] == pytest.approx(0.0916, abs=5e-5)
    for other in found[1:]:
        assert other["scgf"] == pytest.approx(found[0]["scgf"], rel=1e-11)
        assert other["gap"] == pytest.approx(found[0]["gap"], rel=1e-9)


def test_matrix_free_as_stored(monkeypatch):
    systems = [(build("asep", (9,)), 10.0, "current_0"), (build("asep", (12,), boundary="periodic"), -8.0, "current_3")]
    want = [scgf_and_gap(generator(*case)) for case in systems]
    monkeypatch.setattr(eigenvectors, "STORED", 0)
    for (system, s, observable), known in zip(systems, want):
        got = eigenvectors.scgf_and_gap(system, s, observable, Layout(system))
        assert got.theta == pytest.approx(known.theta, rel=1e-10)
        assert got.gap == pytest.approx(known.gap, rel=1e-8)


def test_the_gauge_symmetrises_where_it_can():
    system = build("east", (6,), c=0.01, initial="up")
    parts = tilted(system, 0.7)
    assert in_gauge(parts, product_gauge(parts, 6, 2))[1]
    assert balanced(generator(system, 0.7))[2]
    assert not balanced(generator(build("asep", (4,)), 0.7, "current"))[2]


def test_vectors_of_a_strong_field():
    system = build("asep", (9,))
    found, w = eigenvectors.leading_vectors(system, 10.0, "current_0"), generator(system, 10.0, "current_0")
    b, logs, _ = balanced(w)
    for matrix, vector in ((b, found.right / np.exp(logs)), (b.T, found.left * np.exp(logs))):
        residual = np.linalg.norm(matrix @ vector - found.theta * vector) / np.linalg.norm(vector)
        assert residual < 1e-9


# -- stiff rates, solvers that fail -----------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [0.01, 1e-4])
def test_default_quantities_of_a_slow_chain(c):
    frame = solve(build("east", (9,), c=c), 0.0, 1.0)
    assert read(frame)["scgf"] == pytest.approx(0.0, abs=1e-12)
    assert read(frame)["density"] == pytest.approx(c, rel=1e-10)
    assert frame.value.notna().all()


def test_a_small_gap_of_rates_over_decades():
    """Reservoirs at 1e-6 beside hops at 1: the total drifts by one slow mode, whose rate is a sum of four of them.

    Tolerance: corrections are of the order of the square of the slow rates.
    """
    rates = {"alpha": 1e-6, "beta": 2e-6, "gamma": 3e-6, "delta": 4e-6, "p": 1.0, "q": 1.0}
    w = generator(build("asep", (9,), **rates))
    top = scgf_and_gap(w)
    assert top.theta == pytest.approx(0.0, abs=1e-13)
    assert top.gap == pytest.approx(sum((1e-6, 2e-6, 3e-6, 4e-6)) / 9, rel=1e-4)


def test_an_iteration_that_fails_is_tried_by_another_route(monkeypatch):
    w = generator(build("asep", (9,)), 0.3, "current")
    want = outermost(w)

    def fails(*args):
        raise ArpackError(-1)

    monkeypatch.setattr(eigen_module, "_arnoldi", fails)
    assert outermost(w).values == pytest.approx(want.values, abs=1e-10)


def test_no_solver_converges_and_the_other_rows_stay(monkeypatch):
    def fails(*args):
        raise ArpackError(-1)

    for route in ("_arnoldi", "_by_lanczos", "_inverted", "_dense"):
        monkeypatch.setattr(eigen_module, route, fails)
    for dt in (None, 0.01):
        frame = solve(build("asep", (10,)), 0.1, 1.0, ("ln_Z", "scgf", "gap"), "euler" if dt else "continuous", dt)
        rows = frame.set_index("quantity")
        assert np.isfinite(rows.value["ln_Z"])
        assert rows.value[["scgf", "gap"]].isna().all()
        assert rows.note[["scgf", "gap"]].str.contains("no eigenvalue solver converged").all()


# -- classes that moves do not connect --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [4, 9])
def test_two_rings_share_the_largest_eigenvalue(length):
    """Of two rings apart one may be all down: then the other's theta leads, twice."""
    frame = solve(two_rings("fa", length, initial="up"), 0.1, (), ("gap", "scgf"))
    one = scgf_and_gap(generator(build("fa", (length,), boundary="periodic"), 0.1))
    assert read(frame)["scgf"] == pytest.approx(one.theta, abs=1e-12)
    assert read(frame)["gap"] == 0.0
    assert frame.set_index("quantity").note["gap"].startswith("the largest eigenvalue is degenerate")


@pytest.mark.parametrize(
    "system",
    [
        build("voter", (3, 3)),
        build("east", (9,), boundary="down", pinned="none"),
        build("east", (2, 4), boundary="down", pinned="none"),
        build("fa", (7,), edges=[(0, 1), (1, 2), (3, 4)]),
        build("asep", (8,), boundary="periodic"),
        build("asep", (5,), p=0.0, q=0.0, alpha=0.0, beta=0.0),
    ],
    ids=["voter", "east", "south-east", "graph", "ring", "absorbing"],
)
def test_classes_without_a_matrix(system, monkeypatch):
    layout = Layout(system)
    w = generator(system)
    n, labels = connected_components(w, connection="strong")
    own = layout.to_states(layout.classes)
    assert len({*zip(labels.tolist(), own.tolist())}) == n == len(set(own.tolist()))
    for largest in (kernel_stored.ELEMENTS, 0):
        monkeypatch.setattr(kernel_stored, "ELEMENTS", largest)
        assert Layout(system).connected == (n == 1)
    for stored in (0, 40):
        monkeypatch.setattr(eigenvectors, "STORED", stored)
        for s in (0.2, -0.7):
            got = eigenvectors.scgf_and_gap(system, s, "activity", Layout(system))
            want = scgf_and_gap(generator(system, s))
            assert (got.theta, got.gap) == pytest.approx((want.theta, want.gap), abs=1e-9)
            assert got.shared == want.shared


# -- random systems ---------------------------------------------------------------------------------------------------


def random_system(rng: np.random.Generator) -> System:
    """Rates over up to six decades: spins on a random graph, exclusion, voters, or any list of terms, d = 2 and 3."""
    kind = rng.choice(["fa", "east", "asep", "voter", "terms"])
    n = int(rng.integers(2, 6))
    if kind == "asep":
        rates = dict(zip(("p", "q", "alpha", "beta", "gamma", "delta"), 10.0 ** rng.uniform(-3, 1, 6)))
        return build("asep", (n,), **rates, boundary=str(rng.choice(["open", "periodic"])))
    if kind in ("voter", "fa"):
        pairs = [(i, j) for i in range(n) for j in range(i) if rng.random() < 0.5]
        more = {"c": float(10 ** rng.uniform(-3, -0.01))} if kind == "fa" else {}
        return build(kind, (n,), edges=pairs or [(0, 1)], **more)
    if kind == "east":
        return build("east", (n,), c=float(10 ** rng.uniform(-3, -0.01)))
    d = int(rng.integers(2, 4))
    n = min(n, 4) if d == 3 else n
    terms = []
    for _ in range(int(rng.integers(n, 3 * n))):
        sites = tuple(int(i) for i in rng.choice(n, size=min(n, 2), replace=False))
        rates = 10.0 ** rng.uniform(-3, 1, (d ** len(sites),) * 2) * (rng.random((d ** len(sites),) * 2) < 0.3)
        np.fill_diagonal(rates, 0.0)
        terms.append(jumps(sites, rates))
    return System("random", (n,), d, tuple(terms), np.full((n, d), 1 / d))


def check_random(seed: int) -> None:
    """Against LAPACK on blocks of the classes, balanced; sizes up to 81 states, every route of `eigen` in turn."""
    rng = np.random.default_rng(seed)
    system, s = random_system(rng), float(rng.uniform(-6, 6))
    observable = str(rng.choice(system.observables))
    w = generator(system, s, observable)
    n, labels = connected_components(w, connection="strong")
    assert Layout(system).connected == (n == 1)
    found = []
    for label in range(n):
        inside = np.flatnonzero(labels == label)
        inner = sp.csr_array(w[inside][:, inside])
        found += list(np.linalg.eigvals(balanced(inner)[0].toarray() if len(inside) > 1 else inner.toarray()))
    want = np.sort(np.array(found).real)[::-1]
    scale = max(float(np.abs(w.diagonal()).max()), abs(want[0]), 1e-30)
    top = scgf_and_gap(w)
    assert abs(top.theta - want[0]) <= top.theta_error + 1e-12 * scale
    if len(want) > 1:
        assert abs(top.gap - (want[0] - want[1])) <= 2 * top.gap_error + 1e-11 * scale


@pytest.mark.parametrize("block", range(4))
def test_random_systems(block):
    for seed in range(25 * block, 25 * block + 25):
        check_random(seed)


@pytest.mark.parametrize("block", range(4))
def test_random_systems_by_iteration(block, monkeypatch):
    """The same without LAPACK: Lanczos, ARPACK and the factorised matrix, where there are states enough for them."""
    monkeypatch.setattr(eigen_module, "DENSE", 12)
    monkeypatch.setattr(eigen_module, "DENSE_SYMMETRIC", 12)
    for seed in range(25 * block, 25 * block + 25):
        check_random(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_many_random_systems(block):
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        check_random(seed)


def test_the_bound_on_the_norm_takes_rows_and_columns():
    row = sp.csr_array(np.outer([1.0, 0, 0, 0], [1.0, 1, 1, 1]))  # its largest column sum alone is 1, its 2-norm 2
    assert norm(row) == norm(row.T.tocsr()) == pytest.approx(2.0)


NEAR = {  # a mean of the profile, or the rate function, by inverse iteration in 280 bits
    "a gap of 1e-11": (("east", (6,), {"c": 0.1}), 1.0, "activity", "site 5", 0.01800956),
    "a gap below rounding": (("east", (6,), {"c": 0.1}), 2.0, "activity", "site 5", 0.002555904),
    "another one": (("east", (8,), {"c": 0.3}), 1.0, "activity", "site 7", 0.117697476),
    "slow ends": (
        ("asep", (3,), {"p": 1e8, "q": 1e8 / 3, "alpha": 1e-7, "beta": 3e-7, "gamma": 2e-7, "delta": 0.7e-7}),
        0.5, "current_0", "rate_function", 7.3269e-9,
    ),
}  # fmt: skip


@pytest.mark.parametrize("method", ["auto", "sparse"])
@pytest.mark.parametrize("case", NEAR)
def test_averages_over_nearly_degenerate_vectors_know_their_error(case, method):
    """Rounding of the operator mixes them by itself over the gap: the bound says so, or nothing is printed."""
    (name, shape, params), s, observable, which, want = NEAR[case]
    got = solve(
        build(name, shape, **params),
        s,
        [],
        ["trajectory_density", "rate_function"],
        observable=observable,
        method=method,
    )
    rows = (
        got[got.quantity == "rate_function"] if which == "rate_function" else got[got.quantity == "trajectory_density"]
    )
    if rows.value.isna().all():
        assert rows.note.str.contains("not known").all()
        return
    row = rows.iloc[0] if which == "rate_function" else rows[rows.site == int(which[-1])].iloc[0]
    assert abs(row.value - want) <= row.bound


def test_one_scale_of_all_rates_changes_nothing_but_the_scale():
    """Eigenvalues are not degenerate because they are small."""
    rates = {"p": 1.0, "q": 0.3, "alpha": 1.0, "beta": 3.0, "gamma": 2.0, "delta": 0.7}
    asked = ["gap", "rate_function", "trajectory_density"]
    one, small = (
        solve(build("asep", (3,), **{k: v * scale for k, v in rates.items()}), 0.5, [], asked, observable="current_0")
        for scale in (1.0, 1e-9)
    )
    scaled = np.where(one.quantity == "trajectory_density", 1.0, 1e-9)
    np.testing.assert_allclose(small.value, one.value * scaled, rtol=1e-9)
