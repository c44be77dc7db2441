"""Statistics over independently trained models, and the published claims as tests with a verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd

from vanbench.exact.cycles.chain import CycleParams, log_visible, logsumexp, sigmoid, visible_logits
from vanbench.exact.statistics import bootstrap, rank_correlation

GENERATED = 10_000  # the class histogram is smoothed as if this many images had been generated


def class_posterior(
    params: CycleParams, pi: np.ndarray, x: np.ndarray, labels: np.ndarray, n_classes: int
) -> np.ndarray:
    """Which classes each hidden state stands for: P(class | s), (K, S), columns summing to one.

    The rule: every image is shared among the hidden states by the posterior A(x|s) pi_s / p(x); the classes of what a
    state receives are its classes. A state that receives nothing stands for all classes alike. A generated class is
    then sum_s P(class | s) pi_s, which equals the data's histogram where pi is the mean posterior.
    """
    log_joint = log_visible(params, x) + np.log(np.maximum(pi, 1e-300))
    posterior = np.exp(log_joint - logsumexp(log_joint, axis=-1)[:, None])
    received = np.stack([posterior[labels == k].sum(axis=0) for k in range(n_classes)])
    total = received.sum(axis=0)
    return np.where(total > 0, received / np.where(total > 0, total, 1.0), 1.0 / n_classes)


def class_divergence(frequency: np.ndarray, generated: np.ndarray) -> float:
    """KL(data || generated) of the class histograms, in nats.

    Not the published one (:func:`unit_divergence`): at a stationary point of the likelihood the histogram of posterior
    shares is that of the data, whatever the model. A class never generated would make it infinite; the generated
    histogram is smoothed by half an image per class in 10 000, which bounds the divergence by about ln(20 000).
    """
    smooth = (GENERATED * generated + 0.5) / (GENERATED + 0.5 * len(generated))
    present = frequency > 0
    return float(np.sum(frequency[present] * np.log(frequency[present] / smooth[present])))


def unit_classes(params: CycleParams, x: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """The class of each hidden state (S,): that of the nearest class mean to its image ``P(pixel on | state)``.

    The publication gives each hidden unit one digit and does not say how; this is our reading.
    """
    means = np.stack([x[labels == k].mean(axis=0) for k in range(n_classes)])
    images = sigmoid(visible_logits(params))
    return np.argmin(((images[:, None] - means) ** 2).sum(axis=-1), axis=1)


def unit_divergence(frequency: np.ndarray, classes: np.ndarray, pi: np.ndarray) -> float:
    """KL(data || P) in nats, ``P(k)`` the stationary weight of the states of class ``k`` (Eq. 22 of Baiesi and Rosso
    2025); infinite where a class has no state."""
    weight = np.bincount(classes, weights=pi, minlength=len(frequency))
    present = frequency > 0
    with np.errstate(divide="ignore"):
        return float(np.sum(frequency[present] * np.log(frequency[present] / weight[present])))


def _association(claim: str, runs: pd.DataFrame, column: str, sign: int, seed: int) -> dict:
    """One claim: the quarter of models lowest in ``column`` lies on one side of the median entropy production."""
    value, ep = runs[column].to_numpy(), runs["entropy_production"].to_numpy()
    rho, low, high = bootstrap(rank_correlation, value, ep, seed=seed)
    quarter = np.argsort(value)[: max(1, len(value) // 4)]
    side = ep[quarter] < np.median(ep) if sign > 0 else ep[quarter] > np.median(ep)
    right, wrong = (low > 0, high < 0) if sign > 0 else (high < 0, low > 0)
    verdict = ("holds" if side.all() else "as a trend only") if right else "does not hold" if wrong else "undecided"
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


def _growth(runs: pd.DataFrame, seed: int) -> dict:
    """One claim: decorrelation times grow with the entropy production."""
    rho, low, high = bootstrap(
        rank_correlation, runs["decorrelation_time"].to_numpy(), runs["entropy_production"].to_numpy(), seed=seed
    )
    longest = runs.loc[runs["decorrelation_time"].idxmax()]
    return {
        "claim": "decorrelation times grow with entropy production",
        "statistic": "rank correlation of decorrelation_time and entropy production",
        "value": rho,
        "low": low,
        "high": high,
        "detail": f"the longest, {longest.decorrelation_time:.3g} double steps, at {longest.entropy_production:.3g}",
        "verdict": "holds" if low > 0 else "does not hold" if high < 0 else "undecided",
    }


def _bound(claim: str, statistic: str, runs: pd.DataFrame, column: str, n_states: int, seed: int) -> dict:
    """One claim: in no model is ``column`` above 1/S. Two standard errors of each model decide."""
    excess, error = runs[column] - 1 / n_states, 2 * runs[f"{column}_stderr"] + 1e-12
    mean, low, high = bootstrap(np.mean, runs[column].to_numpy(), seed=seed)
    above, below = int((excess > error).sum()), int((excess < -error).sum())
    settled = below == len(runs) or (excess <= 1e-12).all()
    return {
        "claim": claim,
        "statistic": f"{statistic}, mean over models, to compare with 1/S = {1 / n_states:.4f}",
        "value": mean,
        "low": low,
        "high": high,
        "detail": f"{above} of {len(runs)} models above 1/S by two standard errors",
        "verdict": "does not hold" if above else "holds" if settled else "undecided",
    }


def claims(runs: pd.DataFrame, n_states: int, seed: int) -> pd.DataFrame:
    """The published claims on these models: value, 95 % interval, verdict.

    The first two hold where the interval of the rank correlation excludes zero on the published side and the whole
    lowest quarter lies on the claimed side of the median ("as a trend only" if just the first); they do not hold where
    it excludes zero on the other side, and are undecided where it covers zero; so is the third, by its interval alone.
    Those of self-transitions do not hold where any model exceeds 1/S by two standard errors, and are undecided where
    one exceeds it by less.
    """
    rows = [_association("low likelihood only near reversibility", runs, "log_likelihood", +1, seed)]
    if "class_kl" in runs:
        rows.append(_association("low class-histogram KL only at large entropy production", runs, "class_kl", -1, seed))
    rows.append(_growth(runs, seed))
    rows.append(_bound("no mean self-transition above 1/S", "Tr(M)/S", runs, "self_transition", n_states, seed))
    rows.append(
        _bound("no single self-transition above 1/S", "largest M_ss", runs, "max_self_transition", n_states, seed)
    )
    return pd.DataFrame(rows)


def against_machine(runs: pd.DataFrame, rbm: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Likelihood of the chains beside that of the equilibrium machines: a comparison of ours, not a published claim."""
    chain, machine = (models["log_likelihood"].to_numpy() for models in (runs, rbm))
    difference, low, high = bootstrap(
        lambda a, b, axis: np.mean(a, axis=axis) - np.mean(b, axis=axis), chain, machine, seed=seed
    )
    return pd.DataFrame(
        [
            {
                "statistic": "mean ln p, chain minus restricted Boltzmann machine",
                "value": difference,
                "low": low,
                "high": high,
                "detail": f"machine: mean {rbm['log_likelihood'].mean():.3f}, best {rbm['log_likelihood'].max():.3f}",
                "verdict": "chain higher" if low > 0 else "machine higher" if high < 0 else "undecided",
            }
        ]
    )
