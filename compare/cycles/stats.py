"""Statistics over independently trained models, and the published claims as tests with a verdict."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from exact.cycles.chain import CycleParams, log_visible, logsumexp

GENERATED = 10_000  # the class histogram is smoothed as if this many images had been generated


def unit_classes(params: CycleParams, pi: np.ndarray, x: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Which class each hidden state stands for: (S,) indices.

    The rule: share every image among the hidden states by the posterior A(x|s) pi_s / p(x); a state belongs to the
    class that contributes most to it, every class weighted equally whatever its number of images.
    """
    log_joint = log_visible(params, x) + np.log(np.maximum(pi, 1e-300))
    posterior = np.exp(log_joint - logsumexp(log_joint, axis=-1)[:, None])
    share = np.stack([posterior[labels == k].mean(axis=0) for k in range(n_classes)])
    return np.argmax(share, axis=0)


def generated_frequency(pi: np.ndarray, classes: np.ndarray, n_classes: int) -> np.ndarray:
    """Stationary probability of the hidden states of each class, (K,), before smoothing."""
    return np.bincount(classes, weights=pi, minlength=n_classes)


def class_divergence(frequency: np.ndarray, generated: np.ndarray) -> float:
    """KL(data || generated) of the class histograms, in nats.

    A class that is never generated would make it infinite; the generated histogram is smoothed by half an image per
    class in 10 000, which bounds the divergence by about ln(20 000).
    """
    smooth = (GENERATED * generated + 0.5) / (GENERATED + 0.5 * len(generated))
    present = frequency > 0
    return float(np.sum(frequency[present] * np.log(frequency[present] / smooth[present])))


def rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's rho (average ranks) along the last axis, (...,); 0 where one of the two is constant."""
    ra, rb = (rankdata(v, axis=-1) for v in (a, b))
    ra, rb = ra - ra.mean(axis=-1, keepdims=True), rb - rb.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.sum(ra**2, axis=-1) * np.sum(rb**2, axis=-1))
    return np.sum(ra * rb, axis=-1) / np.where(spread > 0, spread, 1.0)


def bootstrap(
    statistic: Callable[..., np.ndarray], *columns: np.ndarray, seed: int, resamples: int = 4000
) -> tuple[float, float, float]:
    """``statistic(*columns)``, a function along the last axis, with its 95 % percentile interval.

    Models are resampled with replacement, the columns together.
    """
    n = len(columns[0])
    picks = np.random.default_rng(seed).integers(n, size=(resamples, n))
    low, high = np.quantile(statistic(*(c[picks] for c in columns)), [0.025, 0.975])
    return float(statistic(*columns)), float(low), float(high)


def _mean(values: np.ndarray) -> np.ndarray:
    return np.mean(values, axis=-1)


def _association(claim: str, runs: pd.DataFrame, column: str, sign: int, seed: int) -> dict:
    """One claim: the quarter of models lowest in ``column`` lies on one side of the median entropy production."""
    value, ep = runs[column].to_numpy(), runs["entropy_production"].to_numpy()
    rho, low, high = bootstrap(rank_correlation, value, ep, seed=seed)
    quarter = np.argsort(value)[: max(1, len(value) // 4)]
    side = ep[quarter] < np.median(ep) if sign > 0 else ep[quarter] > np.median(ep)
    significant = low > 0 if sign > 0 else high < 0
    verdict = "does not hold" if not significant else "holds" if side.all() else "as a trend only"
    where = "below" if sign > 0 else "above"
    return {
        "claim": claim,
        "statistic": f"rank correlation of {column} and entropy production",
        "value": rho,
        "low": low,
        "high": high,
        "detail": f"{int(side.sum())} of the {len(quarter)} lowest lie {where} the median entropy production",
        "verdict": verdict,
    }


def claims(runs: pd.DataFrame, rbm: pd.DataFrame | None, n_states: int, seed: int) -> pd.DataFrame:
    """The published claims on these models: value, 95 % interval, verdict.

    The first two hold where the interval of the rank correlation excludes zero on the published side and the whole
    lowest quarter lies on the claimed side of the median ("as a trend only" if just the first). The third holds where
    no model exceeds 1/S by more than two standard errors. ``rbm`` holds the baseline's ``log_likelihood`` column.
    """
    rows = [_association("low likelihood only near reversibility", runs, "log_likelihood", +1, seed)]
    if "class_kl" in runs:
        rows.append(_association("low class-histogram KL only at large entropy production", runs, "class_kl", -1, seed))
    excess = runs["self_transition"] - 1 / n_states
    above = int((excess > 2 * runs["self_transition_stderr"] + 1e-12).sum())
    mean, low, high = bootstrap(_mean, runs["self_transition"].to_numpy(), seed=seed)
    single = int((runs["max_self_transition"] > 1 / n_states).sum())
    rows.append(
        {
            "claim": "no mean self-transition above 1/S",
            "statistic": f"Tr(M)/S, to compare with 1/S = {1 / n_states:.4f}",
            "value": mean,
            "low": low,
            "high": high,
            "detail": f"{above} of {len(runs)} models above 1/S by two standard errors; "
            f"{single} have some single state with M_ss above it",
            "verdict": "holds" if above == 0 else "does not hold",
        }
    )
    if rbm is not None:
        difference, low, high = bootstrap(
            lambda a, b: _mean(a) - _mean(b),
            runs["log_likelihood"].to_numpy(),
            rbm["log_likelihood"].to_numpy(),
            seed=seed,
        )
        rows.append(
            {
                "claim": "likelihood above the equilibrium machine's",
                "statistic": "mean ln p, chain minus restricted Boltzmann machine",
                "value": difference,
                "low": low,
                "high": high,
                "detail": f"machine: mean {rbm['log_likelihood'].mean():.3f}, best {rbm['log_likelihood'].max():.3f}",
                "verdict": "holds" if low > 0 else "does not hold",
            }
        )
    return pd.DataFrame(rows)
