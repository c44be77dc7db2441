"""What `ritz` over matrix products adds to its flows: matrix elements of one state with another. ``make benchmark``.

South-East, bond 16. One pass, beside the plain way, each term applied on its own, and beside a step of the flow.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vanbench.exact import build
from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.mps.state import MatrixProductState

pytestmark = pytest.mark.benchmark
BOND, S = 16, 0.1


def train(n: int, seed: int) -> MatrixProductState:
    rng = np.random.default_rng(seed)
    sizes = [1, *[min(BOND, 2 ** min(k, n - k)) for k in range(1, n)], 1]
    return MatrixProductState([rng.normal(size=(a, 2, b)) for a, b in pairwise(sizes)], BOND, 1e-12)


@pytest.mark.parametrize("way", ["one-pass", "term-by-term", "step"])
@pytest.mark.parametrize("shape", [(5, 5), (8, 8)])
def test_matrix_elements(benchmark, shape, way):
    n = int(np.prod(shape))
    bra, ket, one_pass = train(n, 0), train(n, 1), LocalOperatorSum.tilted(build("east", shape), S)
    identity = LocalOperatorSum([], n, 2)

    def term_by_term() -> float:
        total = 0.0
        for gate in one_pass.parts:
            changed = ket.copy()
            changed.max_bond, changed.cutoff = 10**6, 0.0
            changed.apply([gate])
            total += identity.between(bra, changed)[0]
        return total

    assert term_by_term() == pytest.approx(one_pass.between(bra, ket)[1], rel=1e-8)
    benchmark.group = f"matrix elements, {shape[0]}x{shape[1]}"
    ways = {
        "one-pass": lambda: one_pass.between(bra, ket),
        "term-by-term": term_by_term,
        "step": lambda: ket.copy().apply(one_pass.parts),  # of first order; the flows' of second order takes two
    }
    benchmark.pedantic(ways[way], rounds=3, warmup_rounds=1)
