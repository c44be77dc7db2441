"""The method ``quspin``: generators and Lindblad equations as that package builds and evolves them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vanbench.exact import InputError, System, build, jumps, solve
from vanbench.exact.sparse.generator import generator

pytest.importorskip("quspin")
from vanbench.exact.sparse import quspin_route

QUANTITIES = ("ln_Z", "activity", "susceptibility", "density", "density_profile", "instantaneous_activity")
SYSTEMS = {
    "fa": build("fa", (6,), c=0.3),
    "east, pinned": build("east", (2, 3), c=0.2, pinned="0:1"),
    "voter": build("voter", (5,)),
    "asep ring": build("asep", (6,), boundary="periodic"),
    "asep": build("asep", (5,), p=1.3, q=0.2),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_agrees_with_our_own_routes(name: str) -> None:
    system = SYSTEMS[name]
    own, theirs = (
        solve(system, [0.0, 0.4, -0.7], [0.0, 0.3, 7.0], QUANTITIES, method=method) for method in ("sparse", "quspin")
    )
    assert list(own.quantity) == list(theirs.quantity)
    scale = np.maximum(np.abs(own.value), 1.0)
    np.testing.assert_array_less(np.abs(theirs.value - own.value) / scale, 1e-10)
    assert theirs.attrs["method"] == "quspin"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_terms_are_the_same_matrix(seed: int) -> None:
    """Of one to three sites in any order, with counters, on all states or at a fixed sum."""
    rng = np.random.default_rng(seed)
    terms = []
    for _ in range(4):
        sites = tuple(rng.permutation(4)[: rng.integers(1, 4)].tolist())
        rates = rng.random((2 ** len(sites),) * 2) * (1 - np.eye(2 ** len(sites)))
        terms.append(jumps(sites, rates))
    system = System("random", (4,), 2, tuple(terms), np.full((4, 2), 0.5))
    s, order = float(rng.normal()), int(rng.integers(3))
    parts = ((term.sites, term.tilted("activity", s, order)) for term in system.terms)
    theirs = quspin_route.operator(parts, 4, np.float64)
    np.testing.assert_allclose(theirs.toarray(), generator(system, s, order=order).toarray(), atol=1e-12)


@pytest.mark.parametrize("name", ["tfim", "heisenberg"])
def test_lindblad_equations_agree(name: str) -> None:
    system = build(name, (3,), initial="-y")
    names = ("sigma_x", "sigma_y", "sigma_z", "purity", "correlation_zz", "distribution")
    own, theirs = (solve(system, 0.0, [0.1, 1.5], names, method=method) for method in ("auto", "quspin"))
    np.testing.assert_allclose(theirs.value, own.value, atol=1e-10)


@pytest.mark.parametrize(
    ("system", "options", "words"),
    [
        (build("fa", (3,)), {"quantities": "scgf"}, "no scgf"),
        (build("fa", (3,)), {"scheme": "euler", "dt": 0.1}, "continuous time"),
        (build("tfim", (2,)), {"quantities": "ln_Z"}, "gives states"),
        (build("tfim", (2,)), {"quantities": "steady_sigma_z"}, "does not find steady states"),
        (build("tfim", (2,)), {"s": 0.1, "quantities": "sigma_z"}, "s = 0"),
        (build("east", (40,)), {}, "mps"),
    ],
)
def test_what_it_does_not_give_is_refused(system: System, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        solve(system, method="quspin", **options)


def test_more_than_two_values_are_refused() -> None:
    moves = np.zeros((3, 3))
    moves[1, 0] = moves[2, 1] = moves[0, 2] = 1.0
    system = System("three", (2,), 3, (jumps((0,), moves), jumps((1,), moves)), np.full((2, 3), 1 / 3))
    with pytest.raises(InputError, match="two values per site"):
        solve(system, quantities="ln_Z", method="quspin")


def test_without_the_package_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "quspin.basis")
    monkeypatch.setitem(sys.modules, "quspin", None)
    with pytest.raises(InputError, match=r"pip install 'vanbench\[quantum\]'"):
        solve(build("fa", (3,)), method="quspin")
