"""What likelihood a one-hot latent chain can reach at all: the Bernoulli mixture.

With one-hot hidden units p(x) = sum_l pi_l A(x|l): whatever the kernel B, the visible distribution is a mixture of L
product distributions, and B enters through the stationary weights pi alone. The maximum likelihood is that of the
mixture (equally: of an equilibrium machine with one-hot hidden units), and chains with the same pi and any entropy
production reach it. Expectation maximisation: Dempster, Laird and Rubin 1977.
"""

from __future__ import annotations

import numpy as np

from vanbench.exact.cycles.chain import logsumexp, sigmoid


def bernoulli_mixture(
    data: np.ndarray,
    w_init: np.ndarray,
    pi_init: np.ndarray | None = None,
    floor: float = 1e-9,
    tolerance: float = 1e-9,
    max_steps: int = 5000,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit a mixture of L Bernoulli products to ``data`` (N, D) from logits ``w_init`` (D, L) and weights (uniform).

    Returns ``(pi (L,), probability (L, D), mean ln p)``. Probabilities are kept in [floor, 1 - floor], which bounds
    the price of a pixel constant within a component; stops when the likelihood gains less than ``tolerance``.
    """
    q = np.clip(sigmoid(w_init.T), floor, 1 - floor)
    pi = np.full(len(q), 1 / len(q)) if pi_init is None else np.maximum(pi_init, 1e-12)
    previous = -np.inf
    for _ in range(max_steps):
        log_joint = data @ np.log(q).T + (1 - data) @ np.log1p(-q).T + np.log(pi)
        log_p = logsumexp(log_joint, axis=-1)
        value = float(log_p.mean())
        if value - previous < tolerance:
            break
        previous = value
        r = np.exp(log_joint - log_p[:, None])
        weight = np.maximum(r.sum(axis=0), 1e-12)  # a component that lost all data keeps its old shape, weight zero
        pi = weight / weight.sum()
        q = np.clip((r.T @ data) / weight[:, None], floor, 1 - floor)
    return pi, q, value
