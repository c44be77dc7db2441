"""What leads at late times weighs next to nothing at first: digits of every entry count, not of the whole alone."""

from __future__ import annotations

import numpy as np
import pytest
from extended import ENOUGH, Reference

from vanbench.exact import System, build, jumps, solve
from vanbench.exact.matrixfree import solve_vectors

pytestmark = pytest.mark.skipif(not ENOUGH, reason="long doubles are plain doubles here")
NAMES = ["ln_Z", "activity", "susceptibility", "density", "trajectory_density"]


def climb(values: int, back: float) -> System:
    """One site that climbs its values, one at a time: the last one alone does not decay under a tilt."""
    rates = np.diag(np.ones(values - 1), -1) + back * np.diag(np.ones(values - 1), 1)
    return System("climb", (1,), values, (jumps((0,), rates),), np.eye(1, values))


def decay(n: int) -> System:
    """Spins that go down and never up again: no product measure balances their moves."""
    down = np.array([[0.0, 1.0], [0.0, 0.0]])
    return System("decay", (n,), 2, tuple(jumps((i,), down) for i in range(n)), np.tile([0.0, 1.0], (n, 1)))


CASES = {
    "a few up spins": (build("fa", (6,), initial="up"), 6.0, 30.0),
    "one way": (decay(6), 5.0, 30.0),
    "a long way": (climb(60, 0.0), 2.0, 130.0),
    "nearly one way": (climb(60, 0.01), 3.0, 230.0),
}


@pytest.mark.parametrize("few", [1024, 0])
@pytest.mark.parametrize("method", ["sparse", "krylov"])
@pytest.mark.parametrize("name", CASES)
def test_what_leads_later_is_not_lost(name, method, few, monkeypatch):
    """``few``: dense powers, and sums of jumps as of many states. Errors of ``ln Z`` were up to 4.6."""
    if name == "a long way" and not few:
        pytest.skip("a front that moves shows no rate of what is to lead")
    monkeypatch.setattr(solve_vectors, "FEW", few)
    system, s, t = CASES[name]
    want = Reference(system, s).values([t])[0]
    for names in (NAMES[:1], NAMES):
        frame = solve(system, s, t, names, method=method)
        for row in frame[frame.t.notna()].itertuples():
            known = getattr(want, row.quantity)
            assert row.value == pytest.approx(known, rel=1e-9, abs=1e-9), row.quantity


def test_moves_without_a_way_back_have_a_gauge():
    """Their fields went to infinity: a traceback of LAPACK."""
    frame = solve(climb(100, 0.0), 1.0, [10.0, 1e4], NAMES)
    assert frame.value.notna().all()
    assert frame.value[frame.quantity.eq("ln_Z") & frame.t.eq(1e4)].item() == pytest.approx(-99, abs=1e-8)
