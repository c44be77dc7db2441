"""Local terms and systems: what a term means, its tilt and derivatives, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vanbench.exact import Excluding, FixedSum, InputError, StateSpace, System, Term, build, generator, jumps, solve
from vanbench.exact.scan import scan

FLIP = np.array([[0.0, 0.7], [0.3, 0.0]])


def one_site(**options) -> System:
    return System("mine", (1,), 2, (jumps((0,), FLIP, **options),), np.array([[0.4, 0.6]]))


def test_jumps_put_the_escape_rates_on_the_diagonal():
    term = jumps((0,), FLIP)
    np.testing.assert_array_equal(term.matrix, [[-0.3, 0.7], [0.3, -0.7]])
    ((increment, counted),) = term.counters["activity"]
    assert increment == 1
    np.testing.assert_array_equal(counted, FLIP)


def test_tilt_by_hand():
    s = 0.6
    current = ((1.0, np.array([[0, 0], [0.3, 0]])), (-1.0, np.array([[0, 0.7], [0, 0]])))
    term = jumps((0,), FLIP, {"current": current, "pairs": ((2.0, FLIP),)}, {"up": np.array([0.0, 1.5])})
    g = np.exp(-s)
    np.testing.assert_allclose(term.tilted("activity", s), [[-0.3, 0.7 * g], [0.3 * g, -0.7]])
    np.testing.assert_allclose(term.tilted("current", s), [[-0.3, 0.7 / g], [0.3 * g, -0.7]])
    np.testing.assert_allclose(term.tilted("pairs", s), [[-0.3, 0.7 * g**2], [0.3 * g**2, -0.7]])
    np.testing.assert_allclose(term.tilted("up", s), [[-0.3, 0.7], [0.3, -0.7 - 1.5 * s]])
    np.testing.assert_allclose(term.tilted("activity", 0.0), term.matrix)
    np.testing.assert_allclose(term.tilted("nothing here", s), term.matrix)


@pytest.mark.parametrize("name", ["activity", "current", "up", "both"])
def test_tilt_derivatives(name):
    current = ((1.0, np.array([[0, 0], [0.3, 0]])), (-1.0, np.array([[0, 0.7], [0, 0]])))
    both = ((0.5, FLIP),)
    ups = np.array([0.2, 1.5])
    term = jumps((0,), FLIP, {"current": current, "both": both}, {"up": ups, "both": ups})
    s, h = 0.3, 1e-4
    first = (term.tilted(name, s + h) - term.tilted(name, s - h)) / (2 * h)
    second = (term.tilted(name, s + h, 1) - term.tilted(name, s - h, 1)) / (2 * h)
    np.testing.assert_allclose(term.tilted(name, s, 1), first, atol=1e-8)  # central difference: h^2
    np.testing.assert_allclose(term.tilted(name, s, 2), second, atol=1e-8)


def test_the_counted_part_may_be_diagonal():
    """A quantum jump in a POVM basis counts diagonal entries too."""
    part = np.array([[0.1, 0.2], [0.0, 0.4]])
    term = Term((0,), np.array([[-1.0, 1.0], [1.0, -1.0]]), {"photons": ((1.0, part),)})
    np.testing.assert_allclose(term.tilted("photons", 0.5), term.matrix + np.expm1(-0.5) * part)


def test_first_site_is_most_significant():
    """Site 4 hops to site 1, listed as (4, 1)."""
    hop = np.zeros((4, 4))
    hop[0b01, 0b10] = 2.0
    system = System("hop", (5,), 2, (jumps((4, 1), hop),), np.full((5, 2), 0.5))
    w = generator(system).toarray()
    start, end = 0b00001, 0b01000
    assert w[end, start] == 2.0
    assert w[start, start] == -2.0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Term((0,), np.zeros((2, 3))), "square"),
        (lambda: Term((0, 0), np.zeros((4, 4))), "distinct"),
        (lambda: Term((), np.zeros((1, 1))), "at least one"),
        (lambda: Term((0,), np.array([[np.nan, 0], [0, 0]])), "finite"),
        (lambda: Term((0,), np.zeros((2, 2)), {"k": ((1.0, np.zeros((4, 4))),)}), "counter 'k'"),
        (lambda: Term((0,), np.zeros((2, 2)), {}, {"b": np.zeros(4)}), "potential 'b'"),
        (lambda: jumps((0,), -FLIP), "non-negative"),
        (lambda: jumps((0,), np.eye(2)), "zero diagonal"),
        (lambda: System("x", (0,), 2, (), np.zeros((0, 2))), "positive"),
        (lambda: System("x", (), 2, (), np.zeros((0, 2))), "positive"),
        (lambda: System("x", (2, -1), 2, (), np.zeros((0, 2))), "positive"),
        (lambda: System("x", (2,), 1, (), np.ones((2, 1))), "at least 2"),
        (lambda: System("x", (1,), 2, (jumps((1,), FLIP),), np.array([[1.0, 0]])), "only 1 sites"),
        (lambda: System("x", (1,), 3, (jumps((0,), FLIP),), np.eye(3)[:1]), r"3\*\*1"),
        (lambda: replace(one_site(), initial=np.array([[0.5, 0.6]])), "add up to 1"),
        (lambda: replace(one_site(), initial=np.array([[1.5, -0.5]])), "add up to 1"),
        (lambda: replace(one_site(), initial=np.full((2, 2), 0.5)), "shape"),
        (lambda: replace(one_site(), pinned={3: 1}), "no such site"),
        (lambda: replace(one_site(), pinned={0: 2}), "no such site"),
        (lambda: replace(one_site(), pinned={0: 1}), "another value"),
        (lambda: solve(replace(one_site(), pinned={0: 1}, initial=np.array([[0.0, 1.0]]))), "pinned site 0"),
        (lambda: solve(replace(one_site(), initial=np.ones(3))), "length 3"),
        (lambda: solve(replace(one_site(), support=FixedSum(7))), "no configuration"),
        (lambda: solve(one_site(), 0.1, observable="activty"), "did you mean 'activity'"),
    ],
)
def test_refused(make, says):
    with pytest.raises(InputError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_open_support_is_refused():
    with pytest.raises(InputError, match="not closed"):
        generator(replace(one_site(), support=FixedSum(0)))


def test_closed_support_that_others_lead_into():
    """Down -> up only: the all-up state alone is closed under the moves, though others lead to it."""
    up = jumps((0,), np.array([[0.0, 0.0], [0.4, 0.0]]))
    system = System("rise", (1,), 2, (up,), np.array([[0.5, 0.5]]), support=Excluding(np.array([[0]])))
    np.testing.assert_array_equal(generator(system).toarray(), [[0.0]])
    frame = solve(system, 0.2, 3.0, ("ln_Z", "density", "activity"))
    assert dict(zip(frame["quantity"], frame["value"])) == {"ln_Z": 0.0, "density": 1.0, "activity": 0.0}


def test_a_state_vector_as_start():
    system = replace(one_site(), initial=np.array([3.0, 1.0]))  # any positive weights
    np.testing.assert_allclose(StateSpace(system).initial(), [0.75, 0.25])


@pytest.mark.parametrize("bad", [np.zeros(2), np.array([1.5, -0.5]), np.array([np.nan, 1.0])])
def test_a_state_vector_that_is_no_distribution(bad):
    with pytest.raises(InputError):
        solve(replace(one_site(), initial=bad))


def test_own_system_with_three_states():
    """A three-state clock that only moves forward counts its turns: a Poisson process of rate 2 in disguise."""
    forward = np.zeros((3, 3))
    for a in range(3):
        forward[(a + 1) % 3, a] = 2.0
    clock = System("clock", (1,), 3, (jumps((0,), forward),), np.eye(3)[:1])
    s, t = 0.3, 1.7
    got = solve(clock, s, t, ("ln_Z", "activity", "susceptibility", "scgf"))
    want = {"ln_Z": 2 * t * np.expm1(-s), "activity": 2 * np.exp(-s), "susceptibility": -2 * np.exp(-s)}
    want["scgf"] = want["ln_Z"] / t
    for name, value in zip(got["quantity"], got["value"]):
        assert value == pytest.approx(want[name], rel=1e-10)


def test_a_term_is_not_changed_by_use():
    term = jumps((0,), FLIP)
    before = term.matrix.copy()
    term.tilted("activity", 1.0)
    np.testing.assert_array_equal(term.matrix, before)


@pytest.mark.parametrize("name", ["twice", "first", "up"])
def test_the_instantaneous_activity_beside_another_counter(name):
    """``exp(-s) <r>``, whatever is counted: from ``<-|W_s|p>`` it follows for a counter of every move alone."""
    flip = np.array([[0.0, 0.5], [0.5, 0.0]])
    pair = np.kron(flip, np.diag([0.0, 1.0]))
    counters, up = {"twice": ((2.0, flip),)}, {"up": np.array([0.0, 1.0])}
    terms = [jumps((i,), flip, counters, up) for i in range(3)]
    terms += [jumps((i, i + 1), pair, {"first": ((1.0, pair),)}) for i in range(2)]
    system = System("mine", (3,), 2, tuple(terms), np.full((3, 2), 0.5))
    got, want = (
        solve(system, 0.4, 1.3, ("instantaneous_activity",), observable=name, method=method).value[0]
        for method in ("auto", "dense")
    )
    assert got == pytest.approx(want, rel=1e-12)  # rounding of two routes
    with pytest.raises(InputError, match="does not give instantaneous_activity beside"):
        solve(system, 0.4, 1.3, ("instantaneous_activity",), observable=name, method="lanczos")
    assert solve(system, 0.4, 1.3, ("instantaneous_activity",)).attrs["method"] == "lanczos"


def test_counters_and_potentials_are_read_as_the_matrix_is():
    lists = Term((0,), [[-1, 0], [1, 0]], {"moves": ((1.0, [[0, 0], [1, 0]]),)}, {"up": [0, 1]})
    np.testing.assert_allclose(lists.tilted("moves", 0.5), [[-1, 0], [np.exp(-0.5), 0]])
    np.testing.assert_allclose(lists.tilted("up", 0.5), [[-1, 0], [1, -0.5]])
    with pytest.raises(InputError, match="real numbers"):
        Term((0,), np.array([[-1j, 0], [1j, 0]]))
    for options in ({"counters": {"a": ((1.0, [[0, 0], [np.nan, 0]]),)}}, {"potentials": {"b": [0, np.inf]}}):
        with pytest.raises(InputError, match="not finite"):
            Term((0,), [[-1, 0], [1, 0]], **options)


def test_what_is_easily_given_otherwise():
    system = build("fa", (3,))
    assert list(solve(system, 0.1, 1.0, "ln_Z").quantity) == ["ln_Z"]
    assert list(scan(system, [0.1], 1.0, quantities="activity").quantity) == ["activity"]
    with pytest.raises(InputError, match="at least one field"):
        scan(system, [], 1.0)
    with pytest.raises(InputError, match="unknown start"):
        build("fa", (4,), initial=0.5)
    with pytest.raises(InputError, match="no outside"):
        build("voter", (3,), edges=[[0, 1], [1, 2]], boundary="up")
    negative = replace(one_site(), initial=np.array([1.5, -0.5]))
    for method in ("krylov", "sparse"):
        with pytest.raises(InputError, match="none negative"):
            solve(negative, 0.1, 1.0, "ln_Z", method=method)
