"""Definitions of errors and distances, each against hand-computed numbers or an identity."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vanbench.compare.judge.distances import distances
from vanbench.compare.judge.errors import PARTS, errors
from vanbench.exact import InputError
from vanbench.exact.definitions.quantities import row_of

finite = st.floats(-100, 100)


def rows(**values: float) -> pd.DataFrame:
    return pd.DataFrame(
        [{"quantity": q, "s": 0.1, "t": 1.0, "value": v, "sampling_stderr": 0.5} for q, v in values.items()],
    )


def test_published_figures_of_south_east() -> None:
    """2D South-East, L = 4, c = 0.5, s = 0.1, t = 1: the network's error is not the total error."""
    network, exact, scheme = rows(ln_Z=-0.619497), rows(ln_Z=-0.609932), rows(ln_Z=-0.619507)
    found = errors(network, exact, scheme, n_sites=16).iloc[0]
    assert found.error == pytest.approx(0.009565 / 0.609932)
    assert found.discretisation == pytest.approx(-0.009575)
    assert found.network == pytest.approx(0.00001)
    assert found.error_per_site == pytest.approx(0.009565 / 16)
    assert np.isnan(found.projection)  # no sum over all configurations was given


@settings(deadline=None)  # the first builds DataFrames cold
@given(finite, finite, finite, finite)
def test_parts_add_up_to_the_total(value: float, exact: float, scheme: float, summed: float) -> None:
    found = errors(rows(ln_Z=value, ln_Z_summed=summed), rows(ln_Z=exact), rows(ln_Z=scheme), 4).iloc[0]
    parts = found.discretisation + found.projection + found.sampling
    assert parts == pytest.approx(value - exact, abs=1e-12)  # numbers up to 100: rounding is below 1e-13
    assert found.projection + found.sampling == pytest.approx(found.network, abs=1e-12)


def test_reference_that_passes_zero_has_no_relative_error_but_one_per_site() -> None:
    found = errors(rows(ln_Z=0.02), rows(ln_Z=1e-13), None, 4).iloc[0]
    assert np.isnan(found.error)
    assert found.error_per_site == pytest.approx(0.005)
    assert "passes zero" in found.note


def test_densities_are_absolute_and_activity_has_a_floor() -> None:
    network, exact = rows(density=0.31, activity=2e-4), rows(density=0.30, activity=1e-4)
    found = errors(network, exact, None, 4).set_index("quantity")
    assert found.error["density"] == pytest.approx(0.01)
    assert found.error["activity"] == pytest.approx(1e-4 / row_of("activity").floor)
    assert np.isnan(found.error_per_site["density"])


def test_unstable_scheme_says_so_and_leaves_no_number() -> None:
    note = "the Euler scheme is unstable: lambda_min -30"
    found = errors(rows(ln_Z=-1.0), rows(ln_Z=-1.1), None, 4, {0.1: note}).iloc[0]
    assert np.isnan(found.discretisation)
    assert found.note == note


def test_other_estimators_are_not_scored_and_sites_are_matched() -> None:
    profile = [{"quantity": "density_profile", "s": 0.1, "t": 1.0, "site": i, "value": i / 10} for i in range(3)]
    exact = pd.DataFrame([{**row, "value": row["value"] + 0.01 * row["site"]} for row in profile])
    network = pd.concat([pd.DataFrame(profile), rows(**{"ln_Z:loss": -1.0})], ignore_index=True)
    found = errors(network, exact, None, 3)
    assert list(found.quantity) == ["density_profile"] * 3
    np.testing.assert_allclose(found.error, [0, 0.01, 0.02], atol=1e-15)


def test_distances_of_two_coins() -> None:
    """Closed forms for Bernoulli(1/2) against Bernoulli(1/4)."""
    found = distances(np.array([0.5, 0.5]), np.array([0.75, 0.25]))
    assert found["kl_exact_network"] == pytest.approx(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    assert found["kl_network_exact"] == pytest.approx(0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5))
    assert found["total_variation"] == pytest.approx(0.25)
    overlap = np.sqrt(0.5 * 0.75) + np.sqrt(0.5 * 0.25)
    assert found["hellinger"] == pytest.approx(np.sqrt(1 - overlap))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 200))
def test_distances_obey_pinsker_and_le_cam(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(size), 2)
    found = distances(p, q)
    tv, hellinger = found["total_variation"], found["hellinger"]
    slack = 1e-12  # rounding of sums of at most 200 numbers below one
    assert tv <= np.sqrt(found["kl_exact_network"] / 2) + slack
    assert hellinger**2 <= tv + slack
    assert tv <= np.sqrt(2) * hellinger + slack
    assert distances(p, p)["kl_exact_network"] == 0


def test_disjoint_distributions_and_unnormalised_networks() -> None:
    found = distances(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert found["kl_exact_network"] == np.inf
    assert found["total_variation"] == found["hellinger"] == 1
    with pytest.raises(InputError, match="not normalised"):
        distances(np.array([0.5, 0.5]), np.array([0.5, 0.6]))
    with pytest.raises(InputError, match="cannot be compared"):
        distances(np.array([1.0]), np.array([0.5, 0.5]))


def test_parts_are_what_tables_and_plots_call_them() -> None:
    assert set(PARTS) <= set(errors(rows(ln_Z=1.0), None, None, 1).columns)
