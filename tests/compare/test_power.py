"""The gate's statistics: few false alarms, a doubled error seen with the seeds that were promised."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from vanbench.compare.judge.collect import MIN_SEEDS
from vanbench.compare.judge.gate import ATOL, DISTRIBUTION, RTOL, TOO_FEW, judge, outlook, pooled
from vanbench.compare.judge.power import FALSE_ALARMS, POWER, margin, power, seeds_needed

CASES = 20  # as in the ci suite
COMPARISONS = 500
Law = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
# Errors of one seed in units of their mean. Absolute values of noise are half-normal; training that at times goes wrong
# has a long tail; errors that the time steps dominate hardly scatter.
LAWS: dict[str, Law] = {
    "half-normal": lambda rng, size: abs(rng.normal(size=size)) / (2 / np.pi) ** 0.5,
    "long tail": lambda rng, size: np.exp(0.7 * rng.normal(size=size) - 0.245),
    "narrow": lambda rng, size: 1 + 0.1 * rng.normal(size=size),
}


def worse(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The gate's verdicts, shape ``(...)``, on errors of shape ``(..., seeds)``."""
    verdicts = [judge(a, b, CASES)["verdict"] == "worse" for a, b in zip(_cases(old), _cases(new))]
    return np.array(verdicts).reshape(old.shape[:-1])


def _cases(errors: np.ndarray) -> list[dict]:
    seeds = errors.shape[-1]
    sigma = errors.std(-1, ddof=1) / seeds**0.5
    return [{"error": e, "sigma": s, "seeds": seeds} for e, s in zip(errors.mean(-1).flat, sigma.flat)]


@pytest.mark.parametrize("seeds", [3, 5, 20])
@pytest.mark.parametrize("law", LAWS)
def test_false_alarms(law: str, seeds: int) -> None:
    """500 comparisons of 20 unchanged cases each: at most 2 % have any case called worse."""
    rng = np.random.default_rng(7)
    old, new = (LAWS[law](rng, (COMPARISONS, CASES, seeds)) for _ in range(2))
    assert worse(old, new).any(1).mean() <= FALSE_ALARMS


RUNS, FIELDS = 5, 2  # two quantities of each: 20 cases, and two pools


def _with_fields(law: str, rng: np.random.Generator, alike: float, seeds: int) -> list[dict]:
    """Two quantities of five runs at two fields whose errors are the same with probability ``alike``."""
    errors = LAWS[law](rng, (2, RUNS, FIELDS, seeds))
    errors[:, :, 1] = np.where(rng.random(errors[:, :, 1].shape) < alike, errors[:, :, 0], errors[:, :, 1])
    names = [
        {"task": str(run), "shape": "6", "architecture": "made", "quantity": quantity, "measure": "network"}
        for quantity in ("ln_Z", "density")
        for run in range(RUNS)
        for _ in range(FIELDS)
    ]
    return [{**name, **case} for name, case in zip(names, _cases(errors))]


@pytest.mark.parametrize("alike", [0.0, 1.0])
@pytest.mark.parametrize("law", LAWS)
def test_false_alarms_with_pools(law: str, alike: float) -> None:
    """As above, the pools counted too, also where the fields of a run err alike."""
    rng = np.random.default_rng(11)
    compared, alarms = CASES + 2, 0
    for _ in range(COMPARISONS):
        pairs = list(zip(_with_fields(law, rng, alike, 5), _with_fields(law, rng, alike, 5)))
        alarms += any(judge(*pair, compared)["verdict"] == "worse" for pair in [*pairs, *pooled(pairs)])
    assert alarms / COMPARISONS <= FALSE_ALARMS


def test_a_pool_sees_what_its_cases_do_not() -> None:
    """Ten errors with the spread of noise, doubled, twenty seeds: each alone is seen rarely, together nearly always."""
    rng = np.random.default_rng(12)
    alone, together, tries = 0, 0, 200
    for _ in range(tries):
        old, new = (_with_fields("half-normal", rng, 0.0, 20) for _ in range(2))
        pairs = [(a, {**b, "error": 2 * b["error"], "sigma": 2 * b["sigma"]}) for a, b in zip(old, new)]
        alone += sum(judge(*pair, CASES + 2)["verdict"] == "worse" for pair in pairs)
        together += all(judge(*pair, CASES + 2)["verdict"] == "worse" for pair in pooled(pairs))
    assert alone / (tries * CASES) < 0.5
    assert together / tries > POWER


# The seeds that it takes, in the baseline and in the run, among 20 cases: the answer to a spread of 10 %, of a total
# variation, and of the absolute value of noise.
@pytest.mark.parametrize(("spread", "seeds"), [(0.1, 5), (0.2, 8), (0.3, 12), (0.5, 28), (0.756, 58)])
def test_a_doubled_error_is_seen_with_the_seeds_that_it_needs(spread: float, seeds: int) -> None:
    assert seeds_needed(1.0, spread, CASES, RTOL) == seeds
    rng = np.random.default_rng(8)
    shape = (1 / spread) ** 2  # a gamma law of mean 1: positive and skewed, as errors are
    old, new = (rng.gamma(shape, spread**2, size=(800, seeds)) for _ in range(2))
    assert worse(old, 2 * new).mean() >= POWER
    half = seeds // 2 + 1
    assert worse(old[:, :half], 2 * new[:, :half]).mean() < POWER


@pytest.mark.parametrize("seeds", [(5, 5), (20, 8), (40, 40)])
@pytest.mark.parametrize("spread", [0.1, 0.3, 0.7])
def test_power_is_what_gaussian_errors_show(spread: float, seeds: tuple[int, int]) -> None:
    rng = np.random.default_rng(9)
    old = 1 + spread * rng.normal(size=(1500, seeds[0]))
    new = 2 + 2 * spread * rng.normal(size=(1500, seeds[1]))
    seen = worse(old, new).mean()
    expected = power(1.0, spread, *seeds, CASES, RTOL)
    # 3 standard errors of 1500 draws are 0.04; the formula neglects that the margin's estimated variances vary apart
    assert seen == pytest.approx(expected, abs=0.06)


def test_margin_is_welch() -> None:
    """p-value of SciPy's test at the margin: the chance that was asked for."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=6), rng.normal(size=9) * 3
    allowed = margin(stats.sem(a), 6, stats.sem(b), 9, cases=4, false_alarms=0.08)
    shifted = b - b.mean() + a.mean() + allowed
    p = stats.ttest_ind(shifted, a, equal_var=False, alternative="greater").pvalue
    assert p == pytest.approx(0.02, rel=1e-9)  # rounding of the incomplete beta function


def test_without_a_spread_the_tolerances_decide() -> None:
    assert margin(0.0, 5, 0.0, 5, 20, 0.02) == 0
    assert power(1.0, 0.0, 5, 5, 20, RTOL) == 1
    assert seeds_needed(1.0, 0.0, 20, RTOL) == 3
    assert seeds_needed(0.4 * ATOL, 0.0, 20, ATOL) is None
    assert margin(1.0, 5, 1.0, 5, 1, 1.0) == 0  # any alarm is allowed: only the tolerances are left


def _distance(errors: np.ndarray) -> dict:
    """A case of the gate's own making."""
    sigma = float(stats.sem(errors)) if len(errors) >= MIN_SEEDS else None
    return {"error": float(errors.mean()), "sigma": sigma, "seeds": len(errors), "quantity": DISTRIBUTION}


@pytest.mark.parametrize("seeds", [(1, 1), (2, 2), (10, 1), (1, 10)])
def test_no_alarm_where_the_scatter_is_unknown(seeds: tuple[int, int]) -> None:
    """Distances of distributions with a sigma from three seeds on; a spread of a fifth alarmed in 30 % of pairs."""
    rng = np.random.default_rng(10)
    for _ in range(50):
        old, new = (_distance(1 + 0.2 * rng.normal(size=n)) for n in seeds)
        assert judge(old, new, CASES)["verdict"] == TOO_FEW
    still = {"error": 1.0, "sigma": 0.0, "seeds": 3, "quantity": DISTRIBUTION}
    assert judge(still, {**still, "error": 2.0, "sigma": None, "seeds": 1})["verdict"] == "worse"  # nothing scatters
    exact = {"error": 1.0, "sigma": None, "seeds": 1, "quantity": "ln_Z"}
    assert judge(exact, {**exact, "error": 2.0})["verdict"] == "worse"


def test_below_three_seeds_the_sampling_error_counts_as_known() -> None:
    one = {"error": 1.0, "sigma": 0.5, "seeds": 1}
    normal = stats.norm.isf(FALSE_ALARMS) * 0.5 * 2**0.5
    assert judge(one, one)["allowed"] == pytest.approx(normal)
    assert outlook(one, 1)["needed"] > 3
