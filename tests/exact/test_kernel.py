"""Matrix-free generators against Kronecker products and the CSR generator, for named and for random systems."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from independent import constrained, neighbours
from numba import prange

from vanbench.exact import FixedSum, InputError, StateSpace, System, Term, build, generator, jumps
from vanbench.exact.matrixfree.kernel import Layout, operator
from vanbench.exact.matrixfree.kernel_blocked import BlockedKernel
from vanbench.exact.matrixfree.kernel_dense import DenseKernel
from vanbench.exact.matrixfree.kernel_listed import ListedKernel
from vanbench.exact.matrixfree.kernel_runs import RunsKernel
from vanbench.exact.matrixfree.kernel_stored import Pattern, StoredKernel
from vanbench.exact.matrixfree.local import Local, diagonal, merged, tilted, transposed
from vanbench.exact.threads import both

ROUNDING = 1e-13  # sums of some 50 products of numbers of order one

CASES = {
    "south-east": build("south-east", (3, 4)),
    "fa without its isolated state": build("fa", (3, 3)),
    "fa, up boundary": build("fa", (9,), c=0.3),
    "fa, two pins": build("fa", (3, 3), pinned="0:1,4:0"),
    "voter": build("voter", (3, 3)),
    "asep": build("asep", (6,)),
    "ring": build("ssep", (8,), boundary="periodic"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("transpose", [False, True])
def test_same_as_the_sparse_generator(name, order, transpose, rng):
    system = CASES[name]
    op = operator(system, 0.3, "activity", order, transpose)
    w = generator(system, 0.3, order=order)
    v = op.layout.from_states(rng.standard_normal(w.shape[0]))
    want = (w.T if transpose else w) @ op.layout.to_states(v)
    assert op.layout.to_states(op @ v) == pytest.approx(want, abs=ROUNDING * 10)
    assert op.layout.to_states(op.diagonal()) == pytest.approx(w.diagonal(), abs=ROUNDING)


@pytest.mark.parametrize("boundary", ["down", "up"])
def test_same_as_spin_operators(boundary, rng):
    """FA on 2x5 from Kronecker products, which share no code with the terms."""
    around = neighbours((2, 5), boundary)
    want = constrained(around, 0.3, 0.2, boundary == "up")
    system = dataclasses.replace(build("fa", (2, 5), c=0.3, boundary=boundary), support=None)
    v = rng.random(2**10)
    assert operator(system, 0.2) @ v == pytest.approx(want @ v, abs=ROUNDING * 10)


@pytest.mark.parametrize("low_bits", [1, 2, 3, 5, 6, 7, 11])
def test_every_way_of_cutting_the_index(low_bits, rng):
    """Strides below, at and above the vector loop's, and moves that look at high, low and mixed bits."""
    for system in (build("fa", (3, 4)), build("voter", (3, 4))):
        kernel = BlockedKernel(tilted(system, 0.2), system.free_sites, low_bits)
        plain = RunsKernel(tilted(system, 0.2), system.free_sites, 2)
        v, out, want = rng.random(kernel.size), rng.random(kernel.size), np.empty(kernel.size)
        product = plain.apply(v, want)
        expected = 1.5 * want - 0.25 * out
        assert kernel.apply(v, out, 1.5, -0.25) == pytest.approx(product, rel=1e-13)
        assert out == pytest.approx(expected, abs=ROUNDING * 10)


def test_an_operator_without_moves(rng):
    parts = [diagonal(site, rng.random(2)) for site in range(8)]
    kernel = BlockedKernel(parts, range(8), 3)
    v, out = rng.random(256), np.zeros(256)
    kernel.apply(v, out)
    x = StateSpace(build("fa", (8,))).configurations()
    assert out == pytest.approx(sum(part.matrix.diagonal()[x[:, part.sites[0]]] for part in parts) * v)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), d=st.sampled_from([2, 2, 3, 4]), single=st.booleans())
def test_random_terms(seed, d, single):
    """Any sum of terms, on sites in any order: rates of one flip, or of anything."""
    rng = np.random.default_rng(seed)
    n = 5 if d == 2 else 3
    terms = []
    for _ in range(6):
        k = int(rng.integers(1, 4))
        sites = tuple(int(i) for i in rng.permutation(n)[:k])
        rates = rng.random((d**k, d**k)) * (rng.random((d**k, d**k)) < 0.4)
        digits = np.stack(np.unravel_index(np.arange(d**k), (d,) * k), axis=-1)
        changed = (digits[:, None] != digits[None]).sum(-1)
        rates[(changed != 1) if single else (changed == 0)] = 0
        terms.append(jumps(sites, rates))
    system = System("random", (n,), d, tuple(terms), np.full((n, d), 1 / d))
    v = rng.standard_normal(d**n)
    op = operator(system, -0.4)
    assert op @ v == pytest.approx(generator(system, -0.4) @ v, abs=1e-12)
    assert np.linalg.norm(generator(system, -0.4).toarray(), 2) <= op.bound * (1 + 1e-12)


def kernel_of(system, parts, kind):
    """A compiled kernel, or the stored matrix, of a system that is too small for the one or too large for the other."""
    layout, d = Layout(system), system.local_dim
    parts = merged(parts, d)
    codes = np.arange(layout.size) if layout.codes is None else layout.codes
    if kind is StoredKernel:
        return StoredKernel(parts, Pattern(parts, layout.space.free, d, layout.codes))
    return kind(parts, layout.space.free, d, *([codes] if kind is ListedKernel else []))


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_every_kernel_is_the_sparse_generator(name, transpose, rng):
    """Also those that a system of this size does not take."""
    system = CASES[name]
    layout, w = Layout(system), generator(system, 0.3)
    parts = transposed(tilted(system, 0.3)) if transpose else tilted(system, 0.3)
    v, out = rng.standard_normal((2, layout.size))
    v[layout.excluded] = 0.0
    image = (w.T if transpose else w) @ layout.to_states(v)
    for kind in (StoredKernel, ListedKernel, *([RunsKernel] if layout.codes is None else [])):
        kernel, target = kernel_of(system, parts, kind), out.copy()
        assert kernel.apply(v, target, 1.5, -0.25) == pytest.approx(layout.to_states(v) @ image, abs=ROUNDING * 100)
        assert layout.to_states(target) == pytest.approx(1.5 * image - 0.25 * layout.to_states(out), abs=ROUNDING * 10)
        assert layout.to_states(kernel.diagonal()) == pytest.approx(w.diagonal(), abs=ROUNDING)
        assert not kernel.leaks


def test_a_stored_kernel_of_another_field_has_the_pattern_of_the_first(rng):
    layout = Layout(CASES["fa without its isolated state"])
    first, second = (layout.operator(tilted(layout.system, s)) for s in (0.1, 0.5))
    assert np.shares_memory(first.kernel.matrix.indices, second.kernel.matrix.indices)
    v = layout.from_states(rng.random(layout.size - 1))
    assert layout.to_states(second @ v) == pytest.approx(generator(layout.system, 0.5) @ layout.to_states(v), abs=1e-12)


def test_each_system_takes_its_kernel():
    assert isinstance(operator(CASES["voter"]).kernel, StoredKernel)
    assert isinstance(operator(build("voter", (3, 6))).kernel, BlockedKernel)
    assert isinstance(operator(build("asep", (18,))).kernel, RunsKernel)
    assert isinstance(operator(build("ssep", (20,), boundary="periodic")).kernel, ListedKernel)
    assert isinstance(operator(build("tfim", (9,))).kernel, DenseKernel)


@pytest.mark.parametrize(("name", "shape"), [("tfim", (5,)), ("heisenberg", (2, 2)), ("heisenberg", (5,))])
def test_filled_matrices_by_products_and_by_gathering(name, shape, rng):
    parts, free = tilted(build(name, shape), 0.2, "jumps"), range(np.prod(shape))
    dense, plain = DenseKernel(parts, free, 4), RunsKernel(parts, free, 4)
    v, out = rng.standard_normal((2, dense.size))
    want = out.copy()
    assert dense.apply(v, out, 1.5, -0.25) == pytest.approx(plain.apply(v, want, 1.5, -0.25), abs=1e-11)
    assert out == pytest.approx(want, abs=1e-12)
    assert dense.diagonal() == pytest.approx(plain.diagonal(), abs=ROUNDING)


def test_sites_in_falling_order(rng):
    layout = Layout(build("tfim", (3,)))
    there = Local((2, 0), rng.standard_normal((16, 16)))
    v = rng.standard_normal(64)
    want = np.einsum("acbd,dxb->cxa", there.matrix.reshape(4, 4, 4, 4), v.reshape(4, 4, 4)).ravel()
    assert layout.operator([there]) @ v == pytest.approx(want, abs=1e-12)


def test_memory_is_a_twentieth_of_csr():
    system = build("south-east", (4, 4))
    w = generator(system, 0.1)
    stored = w.data.nbytes + w.indices.nbytes + w.indptr.nbytes
    assert BlockedKernel(tilted(system, 0.1), system.free_sites).nbytes < stored / 20  # asked of 2^20 states


def test_a_site_with_many_neighbours_falls_back():
    """A star of 20 leaves: its hub looks at more high bits than a pattern table holds."""
    system = build("fa", (21,), edges=[(0, leaf) for leaf in range(1, 21)])
    assert isinstance(operator(system, 0.1).kernel, RunsKernel)


def test_open_support_is_refused():
    system = dataclasses.replace(build("fa", (4,)), support=FixedSum(2))
    with pytest.raises(InputError, match="not closed"):
        operator(system)


def test_moving_a_pinned_site_is_refused():
    flip = np.array([[0.0, 1.0], [1.0, 0.0]])
    start = np.array([[0.0, 1.0], [0.5, 0.5]])
    system = System("pinned", (2,), 2, (jumps((0,), flip),), start, pinned={0: 1})
    with pytest.raises(InputError, match="pinned"):
        operator(system)


def test_layout_keeps_states_in_order(rng):
    system = CASES["fa without its isolated state"]
    layout = Layout(system)
    p = layout.to_states(layout.initial())
    assert len(p) == 2**9 - 1
    assert p.sum() == pytest.approx(1, abs=1e-15)
    assert layout.to_states(layout.from_states(p)) == pytest.approx(p, abs=0)


def test_product_of_site_factors(rng):
    for system in (CASES["fa, two pins"], CASES["ring"]):
        layout = Layout(system)
        factors = rng.random((system.n_sites, 2))
        x = layout.space.configurations()
        free = list(system.free_sites)
        assert layout.product(factors) == pytest.approx(factors[free, x[:, free]].prod(1), rel=1e-14)


def test_term_order_of_sites_does_not_matter(rng):
    rates = rng.random((4, 4)) * (1 - np.eye(4))
    swap = [0, 2, 1, 3]
    one = System("a", (2,), 2, (jumps((0, 1), rates),), np.full((2, 2), 0.5))
    other = System("b", (2,), 2, (Term((1, 0), jumps((0, 1), rates).matrix[np.ix_(swap, swap)]),), np.full((2, 2), 0.5))
    v = rng.random(4)
    assert operator(one) @ v == pytest.approx(operator(other) @ v, rel=1e-14)


def test_serial_and_threaded_variants_do_not_share_a_cache_file():
    """numba names cache files after the function: under one name the variant compiled first serves for both."""

    def double(x):
        for i in prange(x.size):
            x[i] *= 2

    serial, threaded = both(double)
    assert serial.py_func.__qualname__ != threaded.py_func.__qualname__
    assert threaded.targetoptions["parallel"]
    assert not serial.targetoptions.get("parallel", False)
