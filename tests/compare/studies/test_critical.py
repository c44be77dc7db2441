"""Critical fields of long times, against dense spectra."""

from __future__ import annotations

from functools import lru_cache

import independent as ind
import numpy as np
import pytest
from dense import Dense
from scipy.optimize import minimize_scalar

from vanbench.compare.studies.exact_tables import critical as module
from vanbench.compare.studies.exact_tables.critical import WINDOW, critical, known, minus_chi
from vanbench.compare.studies.exact_tables.library import CASES
from vanbench.exact import InputError

MATRICES = {
    "south-east-front-2x2x2": ind.constrained(ind.neighbours((2, 2, 2), "down", True), 0.5, 0.0, False, (0,)),
    "south-east-3x3": ind.constrained(ind.neighbours((3, 3), "down", True), 0.5, 0.0, False, (0,)),
    "fa-3x3": ind.constrained(ind.neighbours((3, 3), "down"), 0.5, 0.0, False),
}


@lru_cache
def parts(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Escape rates and jumps of the symmetrised generator, dense."""
    dense = Dense(CASES[name].build(), MATRICES[name])
    root = np.sqrt(dense.p0)
    return dense.diagonal, dense.jumps * root[None, :] / root[:, None]


def bend(name: str, s: float) -> float:
    """``theta''(s) / N`` by second-order perturbation theory, from every eigenvector."""
    diagonal, jumps = parts(name)
    slope = np.exp(-s) * jumps  # -dH/ds, and d^2 H/ds^2
    values, vectors = np.linalg.eigh(diagonal + slope)
    along = vectors.T @ slope @ vectors[:, -1]
    return float(along[-1] + 2 * np.sum(along[:-1] ** 2 / (values[-1] - values[:-1]))) / CASES[name].build().n_sites


@pytest.mark.parametrize("name", MATRICES)
def test_against_every_eigenvector(name, tmp_path):
    best = minimize_scalar(lambda s: -bend(name, s), bounds=WINDOW[name], method="bounded", options={"xatol": 1e-7})
    found = critical(name, tmp_path)
    assert found.s_c == pytest.approx(best.x, rel=5e-4)  # eight nodes over the widest window
    assert found.height == pytest.approx(-best.fun, rel=2e-3)
    assert known(name, tmp_path)


def test_what_is_kept_is_not_computed_again(tmp_path, monkeypatch):
    name = "south-east-front-2x2x2"
    before = critical(name, tmp_path)
    monkeypatch.setattr(module, "Symmetric", None)
    assert critical(name, tmp_path) == before
    (path,) = tmp_path.iterdir()
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    assert not known(name, tmp_path)
    with pytest.raises(TypeError):
        critical(name, tmp_path)


@pytest.mark.parametrize("window", [(0.26, 0.3), (0.15, 0.19)])  # the maximum is at 0.217
def test_a_window_beside_the_maximum_is_told(window, tmp_path, monkeypatch):
    monkeypatch.setitem(WINDOW, "south-east-3x3", window)
    with pytest.raises(InputError, match="window"):
        critical("south-east-3x3", tmp_path)


def test_the_series_meets_the_second_derivative_everywhere(tmp_path):
    s = np.linspace(*WINDOW["fa-3x3"], 7)
    assert minus_chi("fa-3x3", s, tmp_path) == pytest.approx([bend("fa-3x3", one) for one in s], rel=2e-3)
