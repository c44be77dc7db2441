"""The table of quantities against networks: what a row promises is what a run reports."""

from __future__ import annotations

import pytest

from vanbench.exact import build
from vanbench.exact.definitions.quantities import QUANTITIES, given
from vanbench.exact.definitions.quantity import CLASSICAL, NETWORKS, QUANTUM, UNASKED
from vanbench.neural import track


@pytest.mark.parametrize(("name", "kind"), [("east", CLASSICAL), ("tfim", QUANTUM)])
def test_networks_report_what_the_table_says(name, kind):
    names = given(NETWORKS, kind)
    found = track(
        build(name, (2,)), [0.1], [0.1], quantities=names, tracker="tdvp", architecture="table",
        tracker_options={"dt": 0.1, "full_summation": True},
    ).records  # fmt: skip
    plain = {row for row in found.quantity if ":" not in row}
    assert set(names) <= plain
    assert plain - set(names) <= set(given(UNASKED, kind))
    for quantity, rows in found[found.quantity.isin(names)].groupby("quantity"):
        for axis in ("site", "distance"):
            assert (axis in rows and rows[axis].notna().all()) == (axis in QUANTITIES[quantity].axes)


def test_what_is_of_the_middle_is_called_so():
    names = ["density", "density_profile", "instantaneous_activity"]
    found = track(
        build("east", (3,)), [0.1], [0.1], quantities=names, tracker="tdvp", tracker_options={"picture": "symmetrised"}
    ).records
    assert {f"middle_{name}" for name in names} <= set(found.quantity) & set(given(UNASKED, CLASSICAL))
