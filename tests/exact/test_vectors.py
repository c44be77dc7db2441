"""Compiled loops over long vectors do what NumPy does to short ones."""

import numpy as np
import pytest

from vanbench.exact.matrixfree import vectors, vectors_compiled

SIZES = [1, vectors_compiled.BLOCK, 3 * vectors_compiled.BLOCK + 5]  # less than a block, one, and a part of another


@pytest.fixture(params=SIZES)
def case(request, rng):
    u, v = rng.random((2, request.param))
    u[:: 1 + request.param // 7] = 0.0  # what is not reached
    return u, v, -1.0 - rng.random(request.param)


def both_ways(monkeypatch, name, *arguments):
    """The result and the changed vectors, by NumPy and compiled."""
    out = []
    for long in (1 << 62, 0):
        monkeypatch.setattr(vectors, "LONG", long)
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        out.append((getattr(vectors, name)(*copies), *copies))
    return out


def agree(ways):
    for plain, loop in zip(*ways):
        assert plain is loop is None or plain == pytest.approx(loop, rel=1e-13)


def test_every_operation(case, monkeypatch):
    u, v, diagonal = case
    agree(both_ways(monkeypatch, "square", v))
    agree(both_ways(monkeypatch, "subtract", v, 0.3, u))
    agree(both_ways(monkeypatch, "lift", u, 0.1))
    agree(both_ways(monkeypatch, "relax", u, v, diagonal, 0.5))
    agree(both_ways(monkeypatch, "largest_ratio", np.where(u > 0, v, 0.0), u))
    assert vectors.largest_ratio(np.ones_like(u), u) == np.inf  # something flows to what is not reached
