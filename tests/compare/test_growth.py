"""Growth laws: known laws come back, against SciPy's regression, and the interval covers as often as it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_records import folder_of, spread
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vanbench.compare.judge.collect import collect, summarise
from vanbench.compare.judge.growth import fit, growth, laws

SIZES = np.array([4, 6, 8, 10, 12])


@pytest.mark.parametrize("rate", [-1.0, 0.0, 0.7, 2.0])
def test_power_law_comes_back(rate: float) -> None:
    law = growth(SIZES, 0.003 * SIZES**rate)
    assert law is not None
    assert law.law == "power"
    assert law.rate == pytest.approx(rate, abs=1e-12)  # rounding of logarithms
    assert law.prefactor == pytest.approx(0.003, rel=1e-12)
    np.testing.assert_allclose(law.at(20), 0.003 * 20.0**rate, rtol=1e-11)


def test_exponential_is_told_from_a_power() -> None:
    noise = 1 + 0.01 * np.array([1, -1, 1, 1, -1])
    law = growth(SIZES, 0.003 * np.exp(0.4 * SIZES) * noise)
    assert law is not None
    assert law.law == "exponential"
    assert law.low < 0.4 < law.high
    assert law.grows is True


@pytest.mark.parametrize("seed", range(40))
def test_the_exponential_is_told_where_akaikes_criterion_is_lower_by_two(seed: int) -> None:
    """``AIC = n ln RSS + 2 k``, of straight lines through ``ln error``, fitted here by numpy."""
    n = np.arange(2.0, 8.0)
    error = np.exp(0.25 * n + 0.08 * np.random.default_rng(seed).standard_normal(len(n)))
    rss = [np.polyfit(x, np.log(error), 1, full=True)[1][0] for x in (np.log(n), n)]
    lower = len(n) * np.log(rss[0] / rss[1])
    law = growth(n, error)
    assert law is not None
    assert law.law == ("exponential" if lower > 2 else "power")


def test_an_interval_that_holds_zero_is_no_law() -> None:
    law = growth(SIZES, 0.01 * np.exp([0.3, -0.4, 0.5, -0.5, 0.2]))
    assert law is not None
    assert law.grows is None
    assert str(law).startswith("no law can be inferred")
    assert str(growth(SIZES, 0.003 * SIZES**0.7)).startswith("error ∝ N^0.70")


def test_three_sizes_do_not_decide_between_laws() -> None:
    law = growth(SIZES[:3], np.exp(0.4 * SIZES[:3]))
    assert law is not None
    assert law.law == "power"


def test_against_scipy(rng: np.random.Generator) -> None:
    error = 0.01 * SIZES**1.3 * np.exp(0.1 * rng.standard_normal(len(SIZES)))
    law = fit(SIZES, error)
    line = stats.linregress(np.log(SIZES), np.log(error))
    assert law is not None
    assert law.rate == pytest.approx(line.slope, rel=1e-10)
    assert law.high - law.rate == pytest.approx(stats.t.ppf(0.975, 3) * line.stderr, rel=1e-9)


@pytest.mark.parametrize("sizes", [3, 5])
def test_interval_covers_as_often_as_it_says(rng: np.random.Generator, sizes: int) -> None:
    n, trials = SIZES[:sizes], 1000
    held = 0
    for _ in range(trials):
        law = fit(n, 0.01 * n**1.5 * np.exp(0.2 * rng.standard_normal(sizes)))
        assert law is not None
        held += law.low < 1.5 < law.high
    # Binomial: 0.95 +- 0.0069; four standard errors, and the generator is fixed.
    assert held / trials == pytest.approx(0.95, abs=0.028)


def test_what_cannot_be_fitted() -> None:
    assert growth([4, 6], [0.1, 0.2]) is None
    assert growth(SIZES, [0.1, 0.2, 0.0, np.nan, 1e-16]) is None
    law = growth(SIZES, [0.1, 0.0, 0.2, 0.25, 0.3])
    assert law is not None
    assert law.sizes == 4


@given(st.floats(1e-6, 1e6), st.lists(st.floats(1e-4, 1.0), min_size=5, max_size=5))
def test_units_of_the_error_do_not_matter(unit: float, error: list[float]) -> None:
    one, other = fit(SIZES, error), fit(SIZES, unit * np.array(error))
    assert one is not None
    assert other is not None
    # Logarithms of up to 14 in float64 carry 1e-15 each; the spread of ln N, 1.1, divides their differences.
    np.testing.assert_allclose([one.rate, one.low, one.high], [other.rate, other.low, other.high], atol=1e-11)


def test_laws_of_a_folder(tmp_path: Path) -> None:
    folder_of(tmp_path, spread(1e-3), lengths=(4, 6, 8))
    folder_of(tmp_path, spread(3e-3), lengths=(4, 6), architecture="gru")  # too few sizes
    found = laws(summarise(collect(tmp_path)), "discretisation")
    assert list(found.architecture) == ["made"]
    assert found.t.item() == 1.0
    assert found.rate.item() == pytest.approx(-1.0, abs=1e-9)  # 0.01 of a ln Z of 0.1 N
    assert laws(summarise(collect(tmp_path)).query("architecture == 'gru'")).empty
