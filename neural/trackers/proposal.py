"""Samples that also reach the rare configurations: a mixture of the network and of its tilts towards value 0.

At long times the inactive configurations decide ``Z_t`` long before the network draws a single one of them. A tilt
``h`` adds ``h`` to every logit of value 0: still an autoregressive network, sampled and evaluated exactly. With the
mixture density ``m(x)``, fits over ``m`` see these configurations, and ``p/m`` makes averages over ``m`` those over
``p``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vanbench.neural.ensemble import Parameters
from vanbench.neural.trackers.base import Problem


@dataclass
class Batch:
    """``x`` ``(R, n, n_sites)``, ``log_prob`` ``ln p``, and weights: ``fit`` of a regression, ``mean`` of an average.

    Both sum to one; ``plain`` counts the leading configurations that were drawn from the network itself.
    """

    x: Tensor
    log_prob: Tensor
    fit: Tensor
    mean: Tensor
    plain: int
    exact: bool = False

    @staticmethod
    def of_all(problem: Problem, states: Tensor) -> Batch:
        """Every configuration with its probability: no sampling noise."""
        log_prob = problem.log_prob(states)
        p = log_prob.exp() / log_prob.exp().sum(1, keepdim=True)
        return Batch(states, log_prob, p, p, states.shape[1], exact=True)


def draw(problem: Problem, samples: int, tilts: tuple[float, ...], share: float) -> Batch:
    """``samples`` configurations, a ``share`` of them from the tilted networks in equal parts."""
    each = int(samples * share / len(tilts)) if tilts else 0
    plain = samples - each * len(tilts)
    own = problem.ensemble.frozen()
    parameters = [own, *(tilted(own, h) for h in tilts)]
    counts = [plain, *[each] * len(tilts)]
    x = torch.cat([problem.ensemble.sample(n, problem.generator, p) for n, p in zip(counts, parameters)], 1)
    log_prob = problem.log_prob(x)
    uniform = torch.full_like(log_prob, 1.0 / samples)
    if not tilts:
        return Batch(x, log_prob, uniform, uniform, plain)
    parts = [log_prob, *(problem.log_prob(x, p) for p in parameters[1:])]
    log_m = torch.stack([part + float(torch.tensor(n / samples).log()) for n, part in zip(counts, parts)]).logsumexp(0)
    ratio = (log_prob - log_m).exp()
    return Batch(x, log_prob, uniform, ratio / ratio.sum(1, keepdim=True), plain)


def tilted(parameters: Parameters, h: float) -> dict[str, Tensor]:
    """``h`` added to every logit of value 0."""
    out = {name: value.clone() for name, value in parameters.items()}
    out["site_bias"][..., 0] += h
    return out
