"""Bounds of ``ln Z`` where rounding is large: leading states that weigh little in the start, starts near one state."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from vanbench.exact import InputError, build, solve
from vanbench.exact.matrixfree import solve_lanczos
from vanbench.exact.matrixfree.quadrature import Tridiagonal, floor
from vanbench.exact.matrixfree.spectral import ACCURACY
from vanbench.exact.matrixfree.symmetric import Run, Symmetric


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
    _, logs, errors, vectors, _ = tri.gauss
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


def test_a_signed_vector_that_has_lost_its_total_is_refused():
    """Six spins that decay, V = g = 0: Z = (1 - (1 - e^-s) (1 - e^-t))^6 by hand, beside dark states of weight one."""
    system = build("tfim", (6,), V=0, g=0)
    for method in ("povm", "sparse"):
        with pytest.raises(InputError, match="rounding, since the vector has both signs: take --method liouvillian"):
            solve(system, 5.0, 10.0, ["ln_Z"], method=method)
    got = solve(system, 5.0, 10.0, ["ln_Z"]).value[0]
    want = 6 * np.log(np.exp(-10.0) + np.exp(-5.0) * (1 - np.exp(-10.0)))
    assert got == pytest.approx(want, rel=1e-9)  # some 1e-16 of rounding over Z = 1e-13 would show in the third digit
    frames = [solve(build("tfim", (3,)), 1.0, 300.0, ["ln_Z"], method=m).value[0] for m in ("povm", "liouvillian")]
    assert frames[0] == pytest.approx(frames[1], rel=1e-9)  # Z = 1e-21 where every state decays: no digit is lost


def test_euler_steps_that_make_negative_probabilities():
    """Stable, dt |lambda_min| < 2, and yet beyond 1 over the fastest escape rate: one step leaves negative entries."""
    system = build("fa", (5,), initial="up")
    asked = ["ln_Z", "activity", "density", "density_profile", "trajectory_density"]
    frame = solve(system, 2.0, [0.0, 0.25], asked, "euler", 0.25, method="sparse")
    late = frame[frame.t == 0.25]
    assert set(late.quantity) == set(asked)
    assert late.value.isna().all()
    assert late.note.str.contains("negative, so dt must stay below 0.2").all()
    assert frame[frame.t == 0].value.notna().all()
    with pytest.raises(InputError, match=r"below 0\.2"):
        solve(system, 2.0, [0.25, 0.5], asked, "euler", 0.25)


def test_one_euler_step_from_equilibrium_to_a_negative_total():
    """``Z = 1 - dt <r> (1 - e^-s)`` after one step, with ``<r> = 1`` negative; two steps make it a norm again."""
    system = build("free", (2,), c=0.5)
    frame = solve(system, 5.0, [1.5, 3.0], ["ln_Z", "density"], "euler", 1.5, method="lanczos")
    assert 1 - 1.5 * (1 - np.exp(-5.0)) < 0
    assert frame[frame.t == 1.5].value.isna().all()
    assert frame[frame.t == 1.5].note.str.contains("negative").all()
    assert frame[frame.t == 3.0].value.notna().all()


def test_a_lower_end_that_is_a_ritz_value():
    """The crude lower end of the spectrum is exact for free spins: to rounding, the smallest Ritz value itself."""
    frames = [
        solve(build("free", (4,), c=0.9), 1.0, [0.1, 0.15], ["ln_Z"], "euler", 0.05, method=method)
        for method in ("lanczos", "dense")
    ]
    assert frames[0].value.to_numpy() == pytest.approx(frames[1].value.to_numpy(), abs=1e-13)  # rounding of both


def test_a_leading_vector_far_below_rounding_still_certifies():
    """Entries down to 1e-18 and less: the bound on theta is proved from those that the large entries feed."""
    engine = Symmetric(build("east", (14,), c=0.9), 3.0)
    tri = engine.run(np.array([100.0])).tri
    assert 0 <= engine.certify(tri, 0.05) - tri.theta()[0] + 1e-12 <= 0.05 + 2e-12  # the target, and rounding


def test_the_bound_of_the_largest_eigenvalue_is_its_residual():
    """``|H u - theta u|`` of the vector that it comes with, from a dense matrix, and rounding: 1e-4 of it here."""
    engine = Symmetric(build("east", (9,), c=0.3), 0.2)
    run = engine.run(np.array([0.1]), theta=True)
    matrix = np.stack([engine.op @ e for e in np.eye(engine.op.size)], 1)
    vector, (theta, residual) = engine.leading(run.tri), run.tri.theta()
    assert residual == pytest.approx(np.linalg.norm(matrix @ vector - theta * vector), rel=1e-3)
    row = solve(engine.system, 0.2, 0.1, ["scgf"], method="lanczos").iloc[0]
    assert row.bound == pytest.approx(residual, rel=0.01)
    assert theta - np.linalg.eigvalsh(matrix)[-1] == pytest.approx(0, abs=residual)


def test_the_bound_of_a_gap_adds_those_of_both_eigenvalues(monkeypatch):
    system = build("east", (9,), c=0.3)
    monkeypatch.setattr(solve_lanczos, "gap_below", lambda *_: (0.25, 3e-6))
    frame = solve(system, 0.2, 0.1, ["scgf", "gap"], method="lanczos").set_index("quantity")
    assert frame.value["gap"] == 0.25
    assert frame.bound["gap"] == pytest.approx(3e-6 + 2 * ACCURACY + frame.bound["scgf"], rel=1e-12)


def test_the_bound_of_site_averages_of_one_lanczos_step_is_that_by_hand():
    """``v`` alone, of mean ``a`` and off it by ``b``: ``exp(t H) v`` is off by ``b t exp(t (u - a))`` of itself."""
    a, b, low, up, t = -0.7, 0.3, -2.0, 0.1, np.array([0.5])
    tri = Tridiagonal(np.array([a]), np.array([b]))
    values, bound = Run(tri, low, up, np.array([[0.2, 0.4]])).profile(t)
    assert values[0] == pytest.approx([0.2, 0.4])
    assert bound[0] == pytest.approx(2 * b * 0.5 * np.exp(0.5 * (up - a)), rel=1e-12)


def test_the_bound_of_euler_steps_that_keep_a_mode_of_little_weight():
    """``1 + dt x`` is -0.98 for a mode of weight 5e-11, 0.46 for that of weight one: Z = 3e-10 after 28 steps.

    The reference takes the steps in 40 digits.
    """
    c, s, steps = 0.47488953772935105, 0.5653680744972138, 28
    system, dt = build("free", (3,), c=c), 0.840950663657145
    with mpmath.workdps(40):
        up, down, hop = mpmath.mpf(c), 1 - mpmath.mpf(c), mpmath.exp(-mpmath.mpf(s))
        one = mpmath.matrix([[-up, hop * down], [hop * up, -down]])
        unit, zero = mpmath.eye(2), mpmath.zeros(8)

        def kron(a, b):
            return mpmath.matrix(
                [[x * y for x in a[i, :] for y in b[j, :]] for i in range(a.rows) for j in range(b.rows)]
            )

        whole = kron(kron(one, unit), unit) + kron(kron(unit, one), unit) + kron(kron(unit, unit), one) + zero
        p = mpmath.matrix([[down], [up]])
        p = kron(kron(p, p), p)
        for _ in range(steps):
            p += mpmath.mpf(dt) * (whole * p)
        want = mpmath.log(mpmath.fsum(p))
    row = solve(system, s, steps * dt, ["ln_Z"], "euler", dt, method="lanczos").iloc[0]
    assert row.bound_kind == "certified"
    assert abs(mpmath.mpf(float(row.value)) - want) <= row.bound < 1e-8
