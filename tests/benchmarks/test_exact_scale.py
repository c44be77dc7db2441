"""The same question by three routes in one run: ours, scipy's and QuSpin's ``expm_multiply`` on the CSR matrix.

2D South-East on 2^15 and 2^20 states (4x4 and 3x7), c = 0.5, s = 0.1: ln Z at t = 10 to the same accuracy (each route
is held to 1e-10 of the certified value). Building the CSR matrix is left out of the other routes' times, which favours
them. Run it with ``python -m pytest -m benchmark --benchmark-enable --benchmark-only`` and this file's path.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy.sparse.linalg import expm_multiply

from vanbench.exact import build, generator
from vanbench.exact.matrixfree.kernel import Layout, operator
from vanbench.exact.matrixfree.symmetric import Symmetric

pytestmark = pytest.mark.benchmark

SHAPES = {15: (4, 4), 20: (3, 7)}
S, T = 0.1, 10.0
ACCURACY = 1e-10


@functools.lru_cache(maxsize=1)
def problem(bits: int):
    system = build("south-east", SHAPES[bits])
    w = generator(system, S)
    value, _ = ours(system)
    return system, w, Layout(system).initial(), value


def ours(system) -> tuple[float, float]:
    run = Symmetric(system, S).run(np.array([T]))
    value, bound = run.ln_z(np.array([T]))
    return float(value[0]), float(bound[0])


@pytest.mark.parametrize("bits", SHAPES)
def test_ours(benchmark, bits):
    system, _, _, want = problem(bits)
    benchmark.group = f"ln Z at t = 10, 2^{bits} states"
    value, bound = benchmark.pedantic(ours, (system,), rounds=5, warmup_rounds=1)
    assert value == pytest.approx(want, abs=ACCURACY)
    assert bound < ACCURACY


@pytest.mark.parametrize("bits", SHAPES)
def test_scipy(benchmark, bits):
    _, w, p0, want = problem(bits)
    benchmark.group = f"ln Z at t = 10, 2^{bits} states"
    trace = w.trace()
    evolved = benchmark.pedantic(lambda: expm_multiply(w * T, p0, traceA=T * trace), rounds=1)
    assert np.log(evolved.sum()) == pytest.approx(want, abs=ACCURACY)


@pytest.mark.parametrize("bits", SHAPES)
def test_quspin(benchmark, bits):
    quspin = pytest.importorskip("quspin.tools.evolution")
    import scipy.sparse as sp

    _, w, p0, want = problem(bits)
    benchmark.group = f"ln Z at t = 10, 2^{bits} states"
    matrix = sp.csr_matrix(w)
    step = quspin.expm_multiply_parallel(matrix, a=T)
    evolved = benchmark.pedantic(lambda: step.dot(p0), rounds=1)
    assert np.log(evolved.sum()) == pytest.approx(want, abs=ACCURACY)


def test_one_application_csr(benchmark):
    _, w, p0, _ = problem(20)
    benchmark.group = "one application, 2^20 states"
    benchmark(lambda: w @ p0)


def test_one_application_matrix_free(benchmark):
    system, w, p0, _ = problem(20)
    benchmark.group = "one application, 2^20 states"
    op, out = operator(system, S), np.empty_like(p0)
    benchmark(lambda: op.apply(p0, out))
    assert out == pytest.approx(w @ p0, abs=1e-13)
    stored = w.data.nbytes + w.indices.nbytes + w.indptr.nbytes
    assert op.nbytes < stored / 20


def test_one_application_5x5(benchmark):
    """Aimed at: 0.35 s on two cores; a loop over single states takes about a second."""
    system = build("south-east", (5, 5))
    op = operator(system, S)
    v, out = np.full(op.size, 1.0 / op.size), np.empty(op.size)
    benchmark.group = "one application, 2^24 states"
    benchmark.pedantic(op.apply, (v, out), rounds=5, warmup_rounds=1)
    assert out.sum() == pytest.approx((op @ v).sum(), rel=1e-12)
