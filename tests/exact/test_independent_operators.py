"""The generators of all classical systems against operators built by other means: Kronecker products and QuSpin."""

from __future__ import annotations

import math

import independent as ind
import numpy as np
import pytest

from vanbench.exact import StateSpace, build, generator

TOL = 1e-12  # the same numbers added in another order: a few hundred roundings of values below 100
S = 0.37
BOUNDARIES = ("up", "down", "open", "periodic")
SHAPES = [(1,), (2,), (6,), (2, 3), (1, 4), (2, 2), (2, 2, 2)]
GRAPH = [(0, 1), (1, 2), (2, 0), (2, 3), (4, 5), (3, 5), (0, 5)]


def compare(system, full, s=S, observable="activity"):
    x = StateSpace(system).configurations()
    difference = generator(system, s, observable) - ind.restrict(full, x)
    assert abs(difference).max() < TOL
    return x


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pinned", [None, {0: 1}])
@pytest.mark.parametrize("name", ["fa", "east"])
def test_constrained_models(name, shape, boundary, pinned):
    given = pinned if pinned is not None else "none"
    system = build(name, shape, c=0.3, boundary=boundary, pinned=given)
    around = ind.neighbours(shape, boundary, lower_only=name == "east")
    full = ind.constrained(around, 0.3, S, boundary == "up", tuple(pinned or ()))
    x = compare(system, full)
    n = math.prod(shape)
    expected = 2 ** (n - len(pinned or ())) - (boundary != "up" and not pinned)
    assert len(x) == expected  # all-down left out exactly where nothing can wake it


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", SHAPES)
def test_voter(shape, boundary):
    system = build("voter", shape, boundary=boundary)
    x = compare(system, ind.voter(ind.neighbours(shape, boundary), S, boundary))
    assert len(x) == 2 ** math.prod(shape)


@pytest.mark.parametrize("name", ["fa", "east", "voter"])
@pytest.mark.parametrize(("shape", "boundary"), [((3, 4), "down"), ((2, 3, 2), "periodic"), ((2, 3, 2), "up")])
def test_larger_lattices(name, shape, boundary):
    around = ind.neighbours(shape, boundary, lower_only=name == "east")
    if name == "voter":
        compare(build(name, shape, boundary=boundary), ind.voter(around, S, boundary))
    else:
        full = ind.constrained(around, 0.45, S, boundary == "up")
        compare(build(name, shape, c=0.45, boundary=boundary, pinned="none"), full)


@pytest.mark.parametrize("name", ["fa", "voter"])
def test_graphs(name):
    around = ind.graph_neighbours(GRAPH, 6)
    system = build(name, (6,), edges=GRAPH, **({"c": 0.6} if name == "fa" else {}))
    full = ind.constrained(around, 0.6, S, False) if name == "fa" else ind.voter(around, S, "open")
    compare(system, full)
    again = [(b, a) for a, b in GRAPH]  # turned round: the same simple graph
    turned = build(name, (6,), edges=again, **({"c": 0.6} if name == "fa" else {}))
    compare(turned, full)


RATES = {"p": 1.3, "q": 0.4, "alpha": 0.7, "beta": 0.9, "gamma": 0.2, "delta": 0.35}


@pytest.mark.parametrize("boundary", ["open", "periodic"])
@pytest.mark.parametrize("shape", [(2,), (5,), (3, 2), (2, 3), (2, 2, 2)])
@pytest.mark.parametrize("tilt", ["activity", "current", "current_1"])
def test_asep(shape, boundary, tilt):
    system = build("asep", shape, boundary=boundary, **RATES)
    x = compare(system, ind.exclusion(shape, S, tilt, boundary, **RATES), observable=tilt)
    n = math.prod(shape)
    assert len(x) == (2**n if boundary == "open" else math.comb(n, n // 2))


def test_every_cut_of_the_current():
    for cut in range(5):
        tilt = f"current_{cut}"
        compare(build("asep", (4,), **RATES), ind.exclusion((4,), S, tilt, **RATES), observable=tilt)


@pytest.mark.parametrize("boundary", ["open", "periodic"])
def test_ssep_is_asep_with_equal_rates(boundary):
    rest = {k: RATES[k] for k in ("alpha", "beta", "gamma", "delta")}
    system = build("ssep", (3, 2), p=0.8, boundary=boundary, **rest)
    compare(system, ind.exclusion((3, 2), S, "activity", boundary, p=0.8, q=0.8, **rest))


# -- QuSpin: pauli=0 gives S+ with a single 1 and S^z = n - 1/2; its states run downwards, site 0 most significant ----


def quspin_matrix(static, basis):
    from quspin.operators import hamiltonian

    off = {"check_herm": False, "check_symm": False, "check_pcon": False}
    matrix = hamiltonian(static, [], basis=basis, dtype=np.float64, **off).toarray()
    order = np.argsort(basis.states)  # exact: upwards
    return matrix[np.ix_(order, order)], basis.states[order]


def quspin_constrained(pairs, ends, c, s):
    """``f_i`` as sums over ``pairs (i, j)`` and ``ends[i]``, with ``n = S^z + 1/2`` multiplied out."""
    g = math.exp(-s)
    lists = {name: [] for name in ("z+", "z-", "+", "-", "zz", "z", "I")}
    for i, j in pairs:
        lists["z+"].append([g * c, j, i])
        lists["z-"].append([g * (1 - c), j, i])
        lists["+"].append([g * c / 2, i])
        lists["-"].append([g * (1 - c) / 2, i])
        # -(z_j + 1/2) (c (1/2 - z_i) + (1-c) (z_i + 1/2)) = -(z_j + 1/2) (1/2 + (1-2c) z_i)
        lists["zz"].append([-(1 - 2 * c), j, i])
        lists["z"] += [[-0.5, j], [-(1 - 2 * c) / 2, i]]
        lists["I"].append([-0.25, 0])
    for i, times in enumerate(ends):
        lists["+"].append([times * g * c, i])
        lists["-"].append([times * g * (1 - c), i])
        lists["z"].append([-times * (1 - 2 * c), i])
        lists["I"].append([-times * 0.5, 0])
    return [[name, items] for name, items in lists.items() if items]


def test_quspin_fa_and_east():
    basis_module = pytest.importorskip("quspin.basis")
    n, c = 7, 0.35
    basis = basis_module.spin_basis_1d(n, pauli=0)
    chain = [(i, i + 1) for i in range(n - 1)]
    both = chain + [(b, a) for a, b in chain]
    ring = [*both, (n - 1, 0), (0, n - 1)]
    cases = [
        ("fa", "up", both, [1, *[0] * (n - 2), 1]),
        ("fa", "down", both, [0] * n),
        ("fa", "periodic", ring, [0] * n),
        ("east", "up", [(b, a) for a, b in chain], [1, *[0] * (n - 1)]),
        ("east", "periodic", [(b, a) for a, b in [*chain, (n - 1, 0)]], [0] * n),
    ]
    for name, boundary, pairs, ends in cases:
        system = build(name, (n,), c=c, boundary=boundary)
        want, states = quspin_matrix(quspin_constrained(pairs, ends, c, S), basis)
        keep = np.flatnonzero((states != 0) | (boundary == "up"))
        np.testing.assert_allclose(
            generator(system, S).toarray(), want[np.ix_(keep, keep)], atol=TOL, err_msg=f"{name} {boundary}"
        )


def quspin_ssep(n, bonds, s, reservoirs=None):
    g = math.exp(-s)
    static = [
        ["+-", [[g, i, j] for i, j in bonds]],
        ["-+", [[g, i, j] for i, j in bonds]],
        ["zz", [[2.0, i, j] for i, j in bonds]],  # -n(1-m) - (1-n)m = 2 z z - 1/2
        ["I", [[-0.5, 0] for _ in bonds]],
    ]
    for i, come, go in reservoirs or ():
        static += [["+", [[g * come, i]]], ["-", [[g * go, i]]]]
        static += [["z", [[come - go, i]]], ["I", [[-(come + go) / 2, 0]]]]
    return static


@pytest.mark.parametrize("particles", [1, 3, 4])
def test_quspin_ssep_ring(particles):
    basis_module = pytest.importorskip("quspin.basis")
    n = 8
    basis = basis_module.spin_basis_1d(n, pauli=0, Nup=particles)
    want, _ = quspin_matrix(quspin_ssep(n, [(i, (i + 1) % n) for i in range(n)], S), basis)
    got = generator(build("ssep", (n,), boundary="periodic", particles=particles), S).toarray()
    np.testing.assert_allclose(got, want, atol=TOL)


def test_quspin_ssep_with_reservoirs():
    basis_module = pytest.importorskip("quspin.basis")
    n = 6
    basis = basis_module.spin_basis_1d(n, pauli=0)
    static = quspin_ssep(n, [(i, i + 1) for i in range(n - 1)], S, [(0, 0.7, 0.2), (n - 1, 0.35, 0.9)])
    want, _ = quspin_matrix(static, basis)
    system = build("ssep", (n,), alpha=0.7, beta=0.9, gamma=0.2, delta=0.35)
    np.testing.assert_allclose(generator(system, S).toarray(), want, atol=TOL)


def test_quspin_2d_fa_general_basis():
    basis_module = pytest.importorskip("quspin.basis")
    shape, c = (2, 4), 0.6
    around = ind.neighbours(shape, "down")
    pairs = [(i, j) for i, js in enumerate(around) for j in js if j != ind.OUTSIDE]
    basis = basis_module.spin_basis_1d(8, pauli=0)
    want, _ = quspin_matrix(quspin_constrained(pairs, [0] * 8, c, S), basis)
    got = generator(build("fa", shape, c=c), S).toarray()
    np.testing.assert_allclose(got, want[1:, 1:], atol=TOL)  # all-down, state 0, is left out
