"""Power laws over parameters, samples and cost: known exponents come back, and families are compared by them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vanbench.compare.judge.growth import scalings, sentences
from vanbench.compare.show.tables import render, select


def summary(rates: dict[str, float], noise: float = 0.0, points: int = 5) -> pd.DataFrame:
    """A summary in which the error of each family falls as ``parameters^rate``, and costs a millisecond each."""
    rng = np.random.default_rng(4)
    rows = []
    for family, rate in rates.items():
        for width in 4 * 2 ** np.arange(points):
            parameters = 10.0 * width
            error = 3.0 * parameters**rate * np.exp(noise * rng.standard_normal())
            row = {"architecture": f"{family}(width={width})", "family": family, "parameters": parameters}
            rows.append({**row, "error": error, "error_se": 0.1 * error, "cpu_s": parameters / 1000, "samples": np.nan})
    same = {"task": "east-1d", "task_hash": "a" * 16, "system": "east", "question": "system = east, c = 0.5"}
    same |= {"tracker": "tdvp", "shape": "8", "n_sites": 8, "quantity": "ln_Z", "s": 0.1, "t": 1.0, "seeds": 3}
    same |= {"value": -0.4, "value_se": 0.001, "exact": -0.41, "scale": 0.41, "site": np.nan, "distance": np.nan}
    parts = dict.fromkeys(("discretisation", "projection", "sampling", "network", "error_per_site", "ess"), np.nan)
    return pd.DataFrame(rows).assign(**same, **parts, negative=0, note="", source="vectors", uncertainty=np.nan)


def test_exponents_come_back_over_parameters_and_cost():
    cases = summary({"gru": -0.5, "made": -1.25})
    for axis, symbol in (("parameters", "P"), ("cost", "C")):
        fitted = scalings(cases, axis).set_index("family")
        assert fitted.rate.to_dict() == pytest.approx({"gru": -0.5, "made": -1.25}, abs=1e-9)
        assert f"{symbol}^-1.25" in str(fitted.growth["made"])


def test_the_steeper_family_is_named():
    told = sentences(scalings(summary({"gru": -0.5, "made": -1.25}, noise=0.05), "parameters"))
    assert len(told) == 3
    assert told[-1].startswith("east 8, s = 0.1: made falls faster than gru, by 0.")


def test_families_that_scatter_too_much_are_not_told_apart():
    told = sentences(scalings(summary({"gru": -0.5, "made": -0.55}, noise=0.5), "parameters"))
    assert told[-1].endswith("the exponents of gru and made do not differ by more than they scatter.")


@pytest.mark.slow
def test_a_difference_is_claimed_by_chance_no_more_often_than_it_says():
    rng = np.random.default_rng(8)
    claimed, trials = 0, 300
    for _ in range(trials):
        cases = summary({"gru": -0.5, "made": -0.5})
        cases["error"] *= np.exp(0.3 * rng.standard_normal(len(cases)))
        claimed += "falls faster" in sentences(scalings(cases, "parameters"))[-1]
    assert claimed / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)


def test_what_has_no_three_points_has_no_law():
    assert scalings(summary({"made": -1.0}, points=2), "parameters").empty
    assert scalings(summary({"made": -1.0}), "samples").empty


def test_a_table_orders_by_the_axis_and_ends_with_the_laws():
    cases = select(summary({"made": -1.0, "gru": -0.5}), "parameters", "ln_Z")
    assert list(cases.parameters) == sorted(cases.parameters[:5]) * 2
    text = render(cases, "md", scalings(cases, "parameters"))
    assert "east 8, made, s = 0.1, t = 1: error ∝ P^-1.00, 95 %" in text
