"""The L1 norm of a residual that is linear in ``p``, minimised by Adam: of a step in time, or of the steady state.

With ``E = (L p)/p`` a residual ``r = a p + b L p + c`` has the norm ``sum_x |r(x)| = <|r(x)| / p(x)>`` over samples of
the network, and the gradient ``sum_x sgn r(x) (a + b L) grad p (x)``, that is

    <sgn(r(x)) (a grad ln p(x) + b sum_x' L[x, x'] p(x')/p(x) grad ln p(x'))>

(Luo et al., Phys. Rev. Lett. 128, 090501 (2022)). The sum over the neighbours ``x'`` is by far the costliest; a few of
them drawn in proportion to their weight give the same gradient on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.backend.adam import Adam, Moments
from vanbench.neural.backend.distributed import mine, total
from vanbench.neural.ensemble import Parameters
from vanbench.neural.tables import MAX_TABLE, TableGenerator, configurations
from vanbench.neural.trackers.base import Diverged, Problem

BETAS = (0.9, 0.98)  # of Adam, as published
ROUNDING = 50  # of a residual beside its terms, in units of the precision: its sign says nothing
GRADIENT_CHUNK = 1 << 13  # configurations whose activations are kept for one backward pass


@dataclass(frozen=True)
class Residual:
    """``r(x) = own p(x) + flow (L p)(x) + old p_0(x) + old_flow (L p_0)(x)`` and the ``weight`` of its norm in the
    objective; with ``signs``, that times ``sum_x p(x) sgn r(x)`` as well, whose signs the gradient holds constant."""

    weight: float
    own: float
    flow: float
    old: float = 0.0
    old_flow: float = 0.0
    signs: float = 0.0


@dataclass
class _Terms:
    """What residuals are made of, at samples ``x``, relative to ``p(x)``: ``(1, n)``; ``flows`` ``(1, n, moves)``."""

    diagonal: Tensor
    flows: Tensor
    old: Tensor
    old_flow: Tensor

    def sizes(self, residuals: Sequence[Residual]) -> tuple[Tensor, Tensor, Tensor]:
        """The objective's summand ``|r| / p`` and the sums of ``weight sgn(r) own`` and ``weight sgn(r) flow``."""
        rate = self.diagonal + self.flows.sum(-1)
        turnover = self.diagonal.abs() + self.flows.abs().sum(-1)
        size, own, flow = (torch.zeros_like(rate) for _ in range(3))
        for part in residuals:
            r = part.own + part.flow * rate + part.old * self.old + part.old_flow * self.old_flow
            terms = abs(part.own) + abs(part.flow) * turnover + (part.old * self.old).abs()
            terms = terms + (part.old_flow * self.old_flow).abs()
            sign = torch.where(r.abs() > ROUNDING * torch.finfo(r.dtype).eps * terms, r.sign(), 0.0)
            size += part.weight * r.abs() + part.signs * sign
            own += (part.weight * part.own + part.signs) * sign
            flow += part.weight * part.flow * sign
        return size, own, flow


class L1Fit:
    """Adam on ``sum_k weight_k |r_k|_1``, from ``samples`` of the network an iteration or with ``full_summation``.

    ``neighbours``: how many of each of them, drawn in proportion to their share of the gradient, are differentiated; 0:
    all of them, as published.
    """

    def __init__(
        self,
        problem: Problem,
        moments: Moments,
        samples: int,
        neighbours: int,
        learning_rate: float,
        full_summation: bool,
    ):
        self.problem, self.samples, self.neighbours = problem, samples, neighbours
        self.learning_rate = learning_rate
        self.states = problem.derived(table) if full_summation else None
        self._before: tuple[Parameters, Tensor, Tensor] | None = None
        self.optimiser = Adam(problem.ensemble.parameters.values(), learning_rate, BETAS, moments)

    def iterate(self, residuals: Sequence[Residual], before: Parameters, rate: float = 1.0) -> Tensor:
        """One iteration at ``rate`` times the learning rate; the objective before it, ``(1,)``.

        ``before``: the parameters of ``p_0``. Raises ``Diverged``, with the networks as they were, where it is not
        finite.
        """
        self.optimiser.rate = rate * self.learning_rate
        self.optimiser.zero_grad()
        loss = self._summed(residuals, before) if self.states is not None else self._sampled(residuals, before)
        if not torch.isfinite(loss).all():
            raise Diverged("the objective is not finite; the networks were kept as they were.")
        for p in self.problem.ensemble.parameters.values():
            p.grad = None if p.grad is None else total(p.grad)
        self.optimiser.step()
        return loss

    # -- summed over all configurations ----------------------------------------------------------------------------

    def _summed(self, residuals: Sequence[Residual], before: Parameters) -> Tensor:
        assert self.states is not None
        p = self.problem.ensemble.log_prob_all(self.states)[0].exp()
        flow = self.problem.derived(_generator)(p)
        old, old_flow = self._earlier(residuals, before)
        loss = torch.zeros((), dtype=p.dtype, device=p.device)
        for part in residuals:
            r = part.own * p + part.flow * flow + part.old * old + part.old_flow * old_flow
            loss = loss + part.weight * r.abs().sum() + part.signs * (p * r.detach().sign()).sum()
        loss.backward()
        return loss.detach()[None]

    @torch.no_grad()
    def _earlier(self, residuals: Sequence[Residual], before: Parameters) -> tuple[Tensor | float, Tensor | float]:
        """``p_0`` and ``L p_0``, computed once for all iterations with the same ``before``."""
        if not any(part.old or part.old_flow for part in residuals):
            return 0.0, 0.0
        if self._before is None or self._before[0] is not before:
            assert self.states is not None
            old = self.problem.ensemble.log_prob_all(self.states, before)[0].exp()
            self._before = before, old, self.problem.derived(_generator)(old)
        return self._before[1:]

    # -- from samples ----------------------------------------------------------------------------------------------

    def _sampled(self, residuals: Sequence[Residual], before: Parameters) -> Tensor:
        x = mine(self.problem.sample(self.samples))
        with torch.no_grad():
            size, own, y, weights = self._coefficients(x, residuals, before)
        self._backward(x, own / self.samples)
        self._backward(y, weights / self.samples)
        return total(size.sum(1)) / self.samples

    def _coefficients(
        self, x: Tensor, residuals: Sequence[Residual], before: Parameters
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Objective of each sample; factors of ``grad ln p`` at the samples, and at neighbours with these."""
        sizes, owns, rates, ys, weights = [], [], [], [], []
        for part in x.split(max(1, GRADIENT_CHUNK // max(1, self.problem.connections.n_moves)), 1):
            terms = self._terms(part, residuals, before)
            size, own, flow = terms.sizes(residuals)
            y, weight = self._picked(part, flow[..., None] * terms.flows)
            sizes.append(size)
            owns.append(own + flow * terms.diagonal)
            rates.append(own + flow * (terms.diagonal + terms.flows.sum(-1)))
            ys.append(y)
            weights.append(weight)
        # <grad ln p> = 0: a constant may be taken from the factors of the samples; their whole mean is a good one
        baseline = total(torch.cat(rates, 1).sum(1, keepdim=True)) / self.samples
        return torch.cat(sizes, 1), torch.cat(owns, 1) - baseline, torch.cat(ys, 1), torch.cat(weights, 1)

    def _terms(self, x: Tensor, residuals: Sequence[Residual], before: Parameters) -> _Terms:
        problem, c = self.problem, self.problem.connections
        here = problem.ensemble.log_prob(x)
        rates = c.incoming_rates(x)
        used = rates != 0
        there = problem.ensemble.log_prob_moves(x, c.deltas, None, used)
        flows = torch.where(used, rates * (there - here[..., None]).exp(), 0.0)
        old = old_flow = torch.zeros_like(here)
        if any(part.old or part.old_flow for part in residuals):
            then = problem.ensemble.log_prob(x, before)
            old = (then - here).exp()
            old_flow = old * problem.local_ratio(x, before, then)
        return _Terms(c.diagonal(x), flows, old, old_flow)

    def _picked(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Neighbours ``(1, m, n_sites)`` to differentiate and their factors ``(1, m)``, from those of all moves."""
        deltas = torch.as_tensor(self.problem.connections.deltas, device=x.device)
        if self.neighbours == 0:
            row, move = weights[0].nonzero(as_tuple=True)
            factor = weights[0, row, move]
        else:
            share = weights[0].abs()
            share[:, 0] += 1e-300  # a row without any flow still needs something to draw from
            move = torch.multinomial(share, self.neighbours, replacement=True, generator=self.problem.generator)
            sign = weights[0].gather(1, move).sign()
            factor = (share.sum(1, keepdim=True) / self.neighbours * sign).flatten()
            row, move = torch.arange(x.shape[1], device=x.device).repeat_interleave(self.neighbours), move.flatten()
        return torch.remainder(x[0, row] - deltas[move], self.problem.system.local_dim)[None], factor[None]

    def _backward(self, x: Tensor, factors: Tensor) -> None:
        """Add the gradient of ``sum factors ln p(x)``."""
        for part, factor in zip(x.split(GRADIENT_CHUNK, 1), factors.split(GRADIENT_CHUNK, 1)):
            (factor * self.problem.ensemble.log_prob(part)).sum().backward()


def table(problem: Problem) -> Tensor:
    """Every configuration, whatever the support, ``(1, d^n_sites, n_sites)``. Raises ``InputError`` for too many."""
    system = problem.system
    if system.local_dim**system.n_sites > MAX_TABLE:
        raise InputError(f"full summation here is for at most {MAX_TABLE} states; this system has more.")
    return configurations(system.n_sites, system.local_dim, problem.ensemble.device)[None]


def _generator(problem: Problem) -> TableGenerator:
    return TableGenerator(problem.system, problem.ensemble.net.site_bias)


def cooled(progress: float, decay: float) -> float:
    """The learning rate over its start at ``progress`` in [0, 1]: 1 for the first half, then down to ``decay``."""
    return float(decay ** max(0.0, 2 * min(progress, 1.0) - 1))
