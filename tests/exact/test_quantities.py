"""The table of quantities against the solvers: what a row promises is what comes out."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from vanbench.exact import InputError, build, cloning, ising, solve
from vanbench.exact.definitions.quantities import QUANTITIES, asked, given, in_order, order_of, row_of
from vanbench.exact.definitions.quantity import (
    AXES,
    CLASSICAL,
    CLONING,
    EQUILIBRIUM,
    LANCZOS,
    LINDBLAD,
    QUANTUM,
    QUTIP,
    VECTORS,
)
from vanbench.exact.ising.solve import METHODS

COLUMNS = {"site", "state", "distance"}


def has_the_axes_of_the_table(frame: pd.DataFrame, names: list[str]) -> None:
    """Every name is there, with the axes of its row; the long-time profile of ``trajectory_density`` beside it."""
    assert set(frame.quantity) == set(names)
    for name, rows in frame.groupby("quantity"):
        if name == "trajectory_density":
            rows = rows[rows.t.notna()]
        axes = set(QUANTITIES[str(name)].axes)
        assert {column for column in COLUMNS if column in rows and rows[column].notna().all()} == axes & COLUMNS
        if "T" not in axes:
            assert rows.t.notna().all() == ("t" in axes)


@pytest.mark.parametrize("method", ["dense", "sparse", "krylov", "lanczos"])
def test_vectors_give_what_the_table_says(method):
    names = given(LANCZOS if method == "lanczos" else VECTORS, CLASSICAL)
    has_the_axes_of_the_table(solve(build("east", (2, 2), c=0.3), 0.2, 0.5, names, method=method), names)


def test_lanczos_refuses_what_the_table_leaves_out():
    for name in set(given(VECTORS, CLASSICAL)) - set(given(LANCZOS, CLASSICAL)):
        with pytest.raises(InputError, match=f"does not give {name}"):
            solve(build("east", (2, 2), c=0.3), 0.2, 0.5, [name], method="lanczos")


def test_clones_give_what_the_table_says():
    frame = cloning(build("east", (2, 2)), 0.1, [0.5], clones=100, populations=2)
    has_the_axes_of_the_table(frame, given(CLONING, CLASSICAL))


@pytest.mark.parametrize(
    ("method", "by"), [("liouvillian", LINDBLAD), ("povm", LINDBLAD), ("qutip", QUTIP), ("sparse", VECTORS)]
)
def test_open_quantum_systems_give_what_the_table_says(method, by):
    names = given(by, QUANTUM)
    has_the_axes_of_the_table(solve(build("tfim", (2,)), 0.0, 0.3, names, method=method), names)
    for name in set(given(LINDBLAD, QUANTUM)) - set(names):
        with pytest.raises(InputError, match=rf"\bnot? {name}"):
            solve(build("tfim", (2,)), 0.0, 0.3, [name], method=method)


@pytest.mark.parametrize("method", METHODS)
def test_equilibrium_gives_what_the_table_says(method):
    names = given(method, EQUILIBRIUM)
    has_the_axes_of_the_table(ising.solve((4, 4), [2.0], quantities=names, samples=200, by=method), names)


def test_rows_are_told_apart_and_complete():
    for name, row in QUANTITIES.items():
        assert row.name == name
        assert set(row.axes) <= set(AXES)
        assert row.about.endswith(".")
        assert row.by, "nothing gives it"
    assert [order_of([name]) for name in ("density", "ln_Z", "activity", "susceptibility")] == [0, 0, 1, 2]
    assert row_of("ln_Z:loss") is row_of("ln_Z")
    assert in_order(["scgf", "density", "ln_Z", "density"]) == ["ln_Z", "density", "scgf"]


def test_errors_are_measured_and_written_as_the_row_says():
    assert row_of("ln_Z").scale(-2.0) == 2.0
    assert math.isnan(row_of("ln_Z").scale(1e-9))
    assert row_of("activity").scale(1e-5) == 1e-3
    assert row_of("purity").scale(1e-5) == 1.0
    assert row_of("ln_Z").error_text(0.0123) == "1.2 %"
    assert row_of("ln_Z").error_text(0.123) == "12 %"
    assert row_of("purity").error_text(0.0123) == "0.012"


def test_an_unknown_quantity_is_answered_with_those_that_are_given():
    with pytest.raises(InputError, match=r"did you mean 'density'\? Known: activity, density, .*scgf") as caught:
        asked(["densty"], (VECTORS,), CLASSICAL)
    assert "purity" not in str(caught.value)


def test_averages_of_the_table_are_those_of_the_solver():
    """``observe`` of a row, which networks average, against the faster way of the exact vectors."""
    system = build("east", (2, 2), c=0.3)
    names = ["density", "density_profile", "instantaneous_activity"]
    frame = solve(system, 0.2, 0.5, [*names, "distribution"], method="sparse")
    p = frame[frame.quantity == "distribution"].sort_values("state").value.to_numpy()
    for name in names:
        want = frame[frame.quantity == name].value.to_numpy()
        assert np.allclose(QUANTITIES[name].average(system, p, 0.2), want.reshape(-1), rtol=1e-13, atol=0)
