"""Long times without detailed balance: against dense spectra, closed forms, and the other route."""

from __future__ import annotations

import numpy as np
import pytest

from vanbench.exact import InputError, StateSpace, build, generator, solve
from vanbench.exact.matrixfree import krylov
from vanbench.exact.sparse import longtime as longtime_module
from vanbench.exact.sparse import propagate

TIMES = np.array([1e4, 1e6, 1e8])


def by_spectrum(system, s: float, times: np.ndarray, observable: str = "activity") -> np.ndarray:
    """``ln Z`` from all eigenvalues of the dense matrix."""
    w = generator(system, s, observable).toarray()
    values, vectors = np.linalg.eig(w)
    weights = vectors.sum(0) * np.linalg.solve(vectors, StateSpace(system).initial().astype(complex))
    top = values.real.max()
    return np.array([top * t + np.log((weights * np.exp((values - top) * t)).sum().real) for t in times])


@pytest.mark.parametrize(
    ("name", "n", "s", "observable", "params"),
    [
        ("voter", 6, -0.1, "activity", {}),
        ("voter", 6, 0.1, "activity", {}),
        ("asep", 6, 0.3, "current", {}),
        ("asep", 6, 5.0, "current_0", {}),
        ("asep", 6, -0.3, "activity", {"alpha": 1e-5, "p": 1e-2}),
    ],
)
@pytest.mark.parametrize("how", ["sparse", "krylov"])
def test_ln_z_and_derivatives(monkeypatch, how, name, n, s, observable, params):
    """Growing Krylov steps against the dense spectrum and squared dense powers; errors grow like t |W| 1e-16."""
    system = build(name, (n,), **params)
    want = by_spectrum(system, s, TIMES, observable)
    squared = [now.cumulants for now in propagate.evolve(system, s, TIMES, observable, 2)]
    monkeypatch.setattr(propagate, "FEW", 0)
    evolve = propagate.evolve if how == "sparse" else krylov.evolve
    got = [now.cumulants for now in evolve(system, s, TIMES, observable, 2)]
    for t, ours, other, ln_z in zip(TIMES, got, squared, want):
        allowed = 1e-14 * t + 1e-10
        assert ours[0] == pytest.approx(ln_z, rel=1e-11, abs=20 * allowed)
        assert ours == pytest.approx(other, rel=1e-7, abs=20 * allowed)


@pytest.mark.parametrize("few", [0, 1024])
def test_many_euler_steps(monkeypatch, few):
    """1e8 steps: ``Z`` is the power of the leading factor times its weight."""
    system, dt, t = build("asep", (5,)), 0.1, 1e7
    w = generator(system, 0.2).toarray()
    values, vectors = np.linalg.eig(w)
    best = int(np.argmax(values.real))
    weight = vectors[:, best].sum() * np.linalg.solve(vectors, StateSpace(system).initial().astype(complex))[best]
    want = t / dt * np.log1p(dt * values[best].real) + np.log(weight.real)
    monkeypatch.setattr(propagate, "FEW", few)
    (now,) = propagate.evolve(system, 0.2, np.array([t]), dt=dt)
    assert now.ln_z == pytest.approx(want, rel=1e-11)


def test_voters_past_the_size_of_dense_powers():
    """At s = 0 nothing is lost, the mean opinion stays, and consensus ends all moves: <K> is the same ever after."""
    frame = solve(build("voter", (11,)), 0.0, [1e5, 1e6], ("ln_Z", "activity", "density"))
    got = frame.pivot(index="t", columns="quantity", values="value")
    assert got.ln_Z.to_numpy() == pytest.approx([0, 0], abs=1e-8)
    assert got.density.to_numpy() == pytest.approx([0.5, 0.5], abs=1e-8)
    assert (got.activity * got.index)[1e6] == pytest.approx((got.activity * got.index)[1e5], rel=1e-7)


def test_what_would_take_hours_is_refused(monkeypatch):
    told = []
    monkeypatch.setattr(propagate, "FEW", 0)
    monkeypatch.setattr(longtime_module, "PROBE", 2)
    monkeypatch.setattr(longtime_module, "WORK", 1.0)
    with pytest.raises(InputError, match="hours"):
        solve(build("voter", (4,)), -0.1, 1e8, ("ln_Z",), method="sparse", progress=told.append)
    assert any("Krylov steps" in line for line in told)
