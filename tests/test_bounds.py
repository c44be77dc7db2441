"""Bounds of ``ln Z`` where rounding is large: leading states that weigh little in the start, starts near one state."""

from __future__ import annotations

import numpy as np
import pytest

from exact import build, solve
from exact.matrixfree.quadrature import Tridiagonal, floor
from exact.matrixfree.symmetric import Symmetric


@pytest.mark.parametrize(("length", "s", "t"), [(12, 3.0, 100.0), (14, 3.0, 100.0), (15, 4.0, 50.0)])
def test_the_bound_holds_where_the_leading_state_weighs_little(length, s, t):
    """Weights of 1e-11 to 1e-14, squares of what an eigenvector routine gives to 1e-16, carry all of ``Z``.

    The sparse route adds positive terms alone: ``t |W|``, some 1500, roundings of 1e-16 at most.
    """
    system = build("east", (length,), c=0.9)
    frames = [solve(system, s, t, ["ln_Z"], method=method) for method in ("lanczos", "sparse")]
    bound = float(frames[0].bound[0])
    assert abs(frames[0].value[0] - frames[1].value[0]) <= bound + 1e-12
    assert bound < 1e-11


def test_susceptibility_where_the_leading_state_weighs_little():
    """Second differences, step 2.5e-3, of values good to 1e-12: some 1e-7 of rounding at most, as their bound tells."""
    system = build("east", (13,), c=0.9)
    frames = [solve(system, 4.0, 50.0, ["susceptibility"], method=method) for method in ("lanczos", "sparse")]
    apart = abs(frames[0].value[0] - frames[1].value[0])
    assert apart <= frames[0].bound[0]
    assert apart < 1e-7


def test_site_averages_where_the_leading_value_comes_twice():
    """163 steps, 100 more than converge: the second copy of the leading value must not get the first one's weight."""
    system = build("east", (12,), c=0.9)
    frames = [solve(system, 1.0, 100.0, ["density"], method=method) for method in ("lanczos", "sparse")]
    assert abs(frames[0].value[0] - frames[1].value[0]) <= 1e-11  # rounding of 1 over a first entry of 4e-5
    assert frames[0].bound[0] < 1e-5


@pytest.mark.parametrize("ratio", [5.0, 40.0])
def test_first_entries_of_eigenvectors_keep_their_digits(ratio):
    """``-D^T D`` whose null vector, its top one, grows by ``ratio`` an entry: the first, down to 1e-31, is known.

    Its eigenvalues are good to rounding, and so is then every factor of the recurrence: 20 of them.
    """
    n = 20
    d = np.diag(np.append(np.full(n - 1, ratio), 0.0)) - np.diag(np.ones(n - 1), 1)  # D u = 0: u_k+1 = ratio u_k
    t = -d.T @ d
    tri = Tridiagonal(np.diag(t).copy(), np.append(np.diag(t, 1), 0.0))
    _, logs, errors, vectors = tri.gauss
    want = -(n - 1) * np.log(ratio) - 0.5 * np.log(np.sum(ratio ** (-2.0 * np.arange(n))))
    assert abs(logs[-1] / 2 - want) <= errors[-1] <= 1e-12
    assert abs(vectors[0, -1]) == pytest.approx(np.exp(want), rel=1e-12)


def test_the_bound_at_zero_field_is_that_of_the_operator():
    """``Z = 1``: one step ends the process with a matrix of rounding alone; what is off grows like ``t |W| 1e-16``."""
    frame = solve(build("fa", (10,), c=0.3), 0.0, [1e3, 1e6], ["ln_Z"], method="lanczos")
    assert (frame.value.abs() <= frame.bound).all()
    assert (frame.bound < 1e-7).all()


def test_the_floor_of_bounds_is_small_where_all_is_well():
    """The weights may add no more than the process itself does: 1e-13 at t = 1."""
    run = Symmetric(build("south-east", (3, 3)), 0.1).run(np.array([1.0]))
    assert floor(run.tri, np.array([1.0]))[0] < 1e-12
