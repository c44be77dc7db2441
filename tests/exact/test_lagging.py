"""What leads at late times weighs next to nothing at first: digits of every entry count, not of the whole alone."""

from __future__ import annotations

import numpy as np
import pytest
from extended import ENOUGH, Reference
from scipy.linalg import expm
from scipy.special import gammaln, logsumexp
from scipy.stats import poisson

from vanbench.exact import System, build, jumps, solve
from vanbench.exact.matrixfree import solve_vectors

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


@pytest.mark.skipif(not ENOUGH, reason="long doubles are plain doubles here")
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


@pytest.mark.parametrize("few", [1024, 0])
@pytest.mark.parametrize("method", ["dense", "sparse", "krylov"])
@pytest.mark.parametrize("t", [1e-3, 0.1, 3.0])
def test_a_far_field_on_many_jumps(t, method, few, monkeypatch):
    """26 jumps in a row, each counted with ``exp(20)``: after few of them nearly all of ``Z`` is that of the last.

    ``p_k = exp(-s k) exp(-t) t^k / k!``, and the last state has all that remains. ``ln Z`` was up to 4 % off.
    """
    monkeypatch.setattr(solve_vectors, "FEW", few)
    steps, s = 26, -20.0
    k = np.arange(steps)
    reached = -s * k + k * np.log(t) - t - gammaln(k + 1)
    last = -s * steps + np.log(poisson.sf(steps - 1, t))
    want = logsumexp([*reached, last])
    value = solve(climb(steps + 1, 0.0), s, [t], ["ln_Z"], method=method).value.item()
    assert value == pytest.approx(want, rel=1e-12)


def exclusion(n: int, particles: int, p: float, q: float) -> System:
    """A closed chain whose first ``particles`` sites are occupied at first, hops to the right counted."""
    hop = np.zeros((4, 4))
    hop[0b01, 0b10], hop[0b10, 0b01] = p, q
    start = np.tile([1.0, 0.0], (n, 1))
    start[:particles] = [0.0, 1.0]
    return System("exclusion", (n,), 2, tuple(jumps((i, i + 1), hop) for i in range(n - 1)), start)


@pytest.mark.parametrize("method", ["dense", "sparse", "krylov"])
@pytest.mark.parametrize("t", [1.0, 1e3, 1e6])
def test_what_grows_where_the_start_does_not_lead(t, method):
    """One particle among six sites, which three would leave far more often; without any nothing moves.

    Powers of the whole matrix forgot them, and all values were blank."""
    s, n = -1.0, 6
    assert solve(exclusion(n, 0, 1.0, 0.5), s, [t], ["ln_Z"], method=method).value.item() == pytest.approx(0, abs=1e-12)
    walk = np.exp(-s) * (np.diag(np.full(n - 1, 1.0), -1) + np.diag(np.full(n - 1, 0.5), 1))
    walk -= np.diag(np.exp(s) * walk.sum(0))
    top = np.linalg.eigvals(walk).real.max()
    want = np.log(expm(t * (walk - top * np.eye(n)))[:, 0].sum()) + top * t
    value = solve(exclusion(n, 1, 1.0, 0.5), s, [t], ["ln_Z"], method=method).value.item()
    assert value == pytest.approx(want, rel=1e-9)


def apart(rates: list[float], occupied: list[float]) -> System:
    """Spins that decay at ``rates`` and never come back, each by itself."""
    down = np.array([[0.0, 1.0], [0.0, 0.0]])
    terms = tuple(jumps((i,), rate * down) for i, rate in enumerate(rates))
    return System("apart", (len(rates),), 2, terms, np.array([[1 - p, p] for p in occupied]))


@pytest.mark.parametrize("method", ["sparse", "krylov"])
@pytest.mark.parametrize(("slow", "s"), [(1e-6, 0.0), (1e-6, 2.0), (1e-4, 2.0), (1e-2, -2.0), (1e-2, 12.0)])
def test_a_slow_move_without_a_way_back(slow, s, method):
    """2048 states. In units that balance the moves, the slow one was taken for rounding: ``ln Z`` fell for ever, to
    -10 at s = 0, where it is 0."""
    rates, start = [slow] + [1.0] * 10, [1.0] + [1e-3] * 10
    times = np.array([1e3, 1e5, 1e7])
    left = np.exp(-np.outer(times, rates))
    want = np.log(1 - np.array(start) + np.array(start) * (left + np.exp(-s) * (1 - left))).sum(1)
    values = solve(apart(rates, start), s, times, ["ln_Z"], method=method).value
    assert values.to_numpy() == pytest.approx(want, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("method", ["auto", "krylov"])
def test_a_chain_that_fills_and_never_empties(method):
    """Particles enter next to never and hop on: probability is conserved, and the chain ends full."""
    rates = {"alpha": 1e-2, "beta": 0.0, "gamma": 0.0, "delta": 0.0, "q": 0.0}
    system = build("asep", (11,), boundary="open", initial="down", **rates)
    frame = solve(system, 0.0, [1e3, 1e5, 1e7], ["ln_Z", "density"], method=method).set_index("quantity").value
    assert np.abs(frame["ln_Z"]).max() < 1e-7
    assert frame["density"].tolist()[1:] == pytest.approx([1, 1], abs=1e-7)


def test_an_early_time_beside_a_late_one_is_itself():
    """Seven sites of three values apart: what led late was looked for from a later time than the one asked for."""
    rng = np.random.default_rng(0)
    local = [10.0 ** rng.uniform(-1, 1, (3, 3)) * (1 - np.eye(3)) for _ in range(7)]
    start = rng.dirichlet(np.ones(3), 7)
    system = System("apart", (7,), 3, tuple(jumps((i,), rates) for i, rates in enumerate(local)), start)
    s, times = 4.582, np.array([7.285, 1e4])
    tilted = [np.exp(-s) * rates - np.diag(rates.sum(0)) for rates in local]
    tops = [np.linalg.eigvals(w).real.max() for w in tilted]
    parts = [[np.log((expm(t * (w - top * np.eye(3))) @ p).sum()) + t * top for t in times] for w, top, p in
             zip(tilted, tops, start)]  # fmt: skip
    want = np.sum(parts, 0)
    for method in ("sparse", "krylov"):
        values = solve(system, s, times, ["ln_Z"], method=method).value
        assert values.to_numpy() == pytest.approx(want, rel=1e-9)
