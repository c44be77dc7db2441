"""What a guide costs walkers: those of South-East 4x4 without one and with one over clusters of 2 and 3 sites, over the
same span. ``make benchmark``."""

from __future__ import annotations

import numpy as np
import pytest

from vanbench.exact import build
from vanbench.exact.trajectories.guide import connected, flat
from vanbench.exact.trajectories.jumptables import UNSTEERED, advance, compile_moves, draw_starts

pytestmark = pytest.mark.benchmark
SYSTEM, WALKERS = build("south-east", (4, 4), c=0.5), 4000


@pytest.mark.parametrize("span", [0.25, 2.0])
@pytest.mark.parametrize("size", [0, 2, 3])
def test_walkers(benchmark, size, span):
    clusters = connected(SYSTEM, size) if size else None
    tables = compile_moves(SYSTEM, 0.1, clusters=clusters)
    steer = tables.steering.tables(flat(clusters)) if clusters else UNSTEERED
    x = draw_starts(SYSTEM, WALKERS, np.random.default_rng(0))
    benchmark.group = f"walkers for t = {span}"
    benchmark(advance, tables, x, np.zeros(WALKERS), np.zeros(WALKERS), span, 1, steer)
