"""TDVP on the symmetrised amplitude, where detailed balance holds and the start is the equilibrium measure.

With ``H = pi^(-1/2) W_s pi^(1/2)`` symmetric and ``v = sqrt(pi)``, ``Z_t = <v|exp(t H)|v> = |exp(t H / 2) v|^2``: the
amplitude ``psi`` needs to be followed for half the time only. The network holds ``phi = psi^2``, normalised, which puts
weight ``p^2/pi`` on the rare inactive states that decide the long times. ``d ln Z_t/dt = <(H psi)(x) / psi(x)>`` over
``phi``, and ``d ln phi / dt = (H psi) / psi - <...>``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.trackers.base import Problem
from vanbench.neural.trackers.tdvp import TDVP

NEEDY = "tdvp-symmetric, ritz and guided-clones"


class SymmetricTDVP(TDVP):
    """As `TDVP`, for the activity of detailed-balance systems from their equilibrium measure.

    The tracked distribution is ``phi``, not ``P``: observables other than ``ln Z`` and its derivatives are those of
    the middle of the trajectory in the s-ensemble. Raises ``InputError`` where detailed balance does not hold.
    """

    pace = 0.5  # the amplitude moves by exp(t H / 2)
    middle = True

    def __init__(self, problem: Problem, **options: Any):
        start = torch.as_tensor(np.log(np.maximum(problem.system.initial, 1e-300)))
        self.log_pi = start.to(problem.ensemble.device)
        super().__init__(problem, **options)
        self._check_balance()

    def local(self, x: Tensor, log_prob: Tensor) -> Tensor:
        """``(H psi)(x) / psi(x)``, from ``W_s`` and ``p = sqrt(pi phi)``: the same ratio, ``(W_s p)(x) / p(x)``."""

        def amplitude(y: Tensor) -> Tensor:
            return self._amplitude(y, self.problem.log_prob(y))

        return self.problem.local_ratio_of(x, amplitude, self._amplitude(x, log_prob))

    def twice(self, x: Tensor, log_prob: Tensor, local: Tensor) -> Tensor:
        """``(H^2 psi)(x) / psi(x)``, ``(R, batch)``, from ``(H psi) / psi`` there, ``local``, and at the neighbours."""
        c, parts = self.problem.connections, []
        size = self.problem.with_neighbours()
        for part, here, energy in zip(x.split(size, 1), log_prob.split(size, 1), local.split(size, 1)):
            rates = c.incoming_rates(part)
            used = (rates != 0).any(0)
            there = c.sources(part)[:, used]
            log_there = self.problem.log_prob(there)
            ratio = self._amplitude(there, log_there) - self._amplitude(part, here)[..., None].expand_as(rates)[:, used]
            flow = torch.zeros_like(rates)
            found = rates[:, used] * ratio.exp() * self.local(there, log_there)
            flow[:, used] = torch.where(rates[:, used] != 0, found, 0.0)
            parts.append(c.diagonal(part) * energy + flow.sum(-1))
        return torch.cat(parts, 1)

    def _amplitude(self, x: Tensor, log_prob: Tensor) -> Tensor:
        """``ln p`` of ``p = sqrt(pi phi)``."""
        return (log_prob + self.log_equilibrium(x)) / 2

    def log_equilibrium(self, x: Tensor) -> Tensor:
        sites = torch.arange(x.shape[-1], device=x.device)
        return self.log_pi[sites, x.long()].sum(-1)

    def _check_balance(self) -> None:
        """``W_s[x', x] = W_s[x, x'] pi(x') / pi(x)`` for every move out of a few hundred random configurations."""
        x = self.problem.sample(200)
        connections = self.problem.connections
        out, targets = connections.outgoing_rates(x), connections.targets(x)
        flat = targets.flatten(1, 2)
        returning = connections.outgoing_rates(flat).view(*out.shape, -1)
        undo = self._inverse_moves()
        m = torch.arange(connections.n_moves, device=x.device)
        back = returning[..., m, undo]
        ratio = torch.exp(self.log_equilibrium(targets) - self.log_equilibrium(x)[..., None])
        if not torch.allclose(out, torch.where(back > 0, back * ratio, 0.0), rtol=1e-9, atol=1e-14):
            raise InputError(f"{NEEDY} need detailed balance with the start as equilibrium: take 'tdvp'.")

    def _inverse_moves(self) -> Tensor:
        deltas, d = self.problem.connections.deltas, self.problem.system.local_dim
        index = {tuple(row): m for m, row in enumerate(deltas.tolist())}
        try:
            inverse = [index[tuple((-delta) % d for delta in row)] for row in deltas.tolist()]
        except KeyError as error:
            raise InputError(f"{NEEDY} need every move to have its reverse: take 'tdvp'.") from error
        return torch.tensor(inverse, device=self.problem.ensemble.device)
