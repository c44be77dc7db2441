"""What a guide costs walkers: those of South-East 4x4 with and without one, over the same span. ``make benchmark``."""

from __future__ import annotations

import numpy as np
import pytest

from exact import build
from exact.trajectories.guide import NO_GUIDE, flat, interacting
from exact.trajectories.jumptables import advance, compile_moves, draw_starts

pytestmark = pytest.mark.benchmark
SYSTEM, WALKERS = build("south-east", (4, 4), c=0.5), 4000


@pytest.mark.parametrize("span", [0.25, 2.0])
@pytest.mark.parametrize("kind", ["plain", "guided"])
def test_walkers(benchmark, kind, span):
    edges = interacting(SYSTEM) if kind == "guided" else None
    guide = NO_GUIDE if edges is None else flat(SYSTEM, edges)
    tables = compile_moves(SYSTEM, 0.1, edges=edges)
    x = draw_starts(SYSTEM, WALKERS, np.random.default_rng(0))
    benchmark.group = f"walkers for t = {span}"
    benchmark(advance, tables, x, np.zeros(WALKERS), np.zeros(WALKERS), span, 1, guide)
