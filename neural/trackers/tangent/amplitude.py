"""The symmetrised amplitude, where detailed balance holds and the start is the equilibrium measure.

With ``H = pi^(-1/2) W_s pi^(1/2)`` symmetric and ``v = sqrt(pi)``, ``Z_t = <v|exp(t H)|v> = |exp(t H / 2) v|^2``: the
amplitude ``psi`` needs to be followed for half the time only. The network holds ``phi = psi^2``, normalised, which puts
weight ``p^2/pi`` on the rare inactive states that decide the long times. ``d ln Z_t/dt = <(H psi)(x) / psi(x)>`` over
``phi``, and ``d ln phi / dt = (H psi) / psi - <...>``.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vanbench.exact import InputError
from vanbench.neural.trackers.base import Problem

FORWARD = "take tdvp with picture=forward"


def _log_pi(problem: Problem) -> Tensor:
    start = torch.as_tensor(np.log(np.maximum(problem.system.initial, 1e-300)))
    return start.to(problem.ensemble.device)


def local(problem: Problem, x: Tensor, log_prob: Tensor) -> Tensor:
    """``(H psi)(x) / psi(x)``, from ``W_s`` and ``p = sqrt(pi phi)``: the same ratio, ``(W_s p)(x) / p(x)``."""

    def log_p(y: Tensor) -> Tensor:
        return _log_p(problem, y, problem.log_prob(y))

    return problem.local_ratio_of(x, log_p, _log_p(problem, x, log_prob))


def twice(problem: Problem, x: Tensor, log_prob: Tensor, energy: Tensor) -> Tensor:
    """``(H^2 psi)(x) / psi(x)``, ``(R, batch)``, from ``(H psi) / psi`` there, ``energy``, and at the neighbours."""
    c, parts = problem.connections, []
    size = problem.with_neighbours()
    for part, here, own in zip(x.split(size, 1), log_prob.split(size, 1), energy.split(size, 1)):
        rates = c.incoming_rates(part)
        used = (rates != 0).any(0)
        there = c.sources(part)[:, used]
        log_there = problem.log_prob(there)
        ratio = _log_p(problem, there, log_there) - _log_p(problem, part, here)[..., None].expand_as(rates)[:, used]
        flow = torch.zeros_like(rates)
        inflow = rates[:, used] * ratio.exp() * local(problem, there, log_there)
        flow[:, used] = torch.where(rates[:, used] != 0, inflow, 0.0)
        parts.append(c.diagonal(part) * own + flow.sum(-1))
    return torch.cat(parts, 1)


def _log_p(problem: Problem, x: Tensor, log_prob: Tensor) -> Tensor:
    """``ln p`` of ``p = sqrt(pi phi)``."""
    return (log_prob + log_equilibrium(problem, x)) / 2


def log_equilibrium(problem: Problem, x: Tensor) -> Tensor:
    sites = torch.arange(x.shape[-1], device=x.device)
    return problem.derived(_log_pi)[sites, x.long()].sum(-1)


def check_balance(problem: Problem) -> None:
    """``W_s[x', x] = W_s[x, x'] pi(x') / pi(x)`` for every move out of a few hundred random configurations."""
    connections = problem.connections
    if not connections.n_moves:
        raise InputError(f"amplitudes need moves, and {problem.system.name} has none: take free-energy or tdvp.")
    x = problem.sample(200)
    out, targets = connections.outgoing_rates(x), connections.targets(x)
    flat = targets.flatten(1, 2)
    returning = connections.outgoing_rates(flat).view(*out.shape, -1)
    undo = _inverse_moves(problem)
    m = torch.arange(connections.n_moves, device=x.device)
    back = returning[..., m, undo]
    ratio = torch.exp(log_equilibrium(problem, targets) - log_equilibrium(problem, x)[..., None])
    if not torch.allclose(out, torch.where(back > 0, back * ratio, 0.0), rtol=1e-9, atol=1e-14):
        raise InputError(f"amplitudes need detailed balance with the start as equilibrium: {FORWARD}.")


def _inverse_moves(problem: Problem) -> Tensor:
    deltas, d = problem.connections.deltas, problem.system.local_dim
    index = {tuple(row): m for m, row in enumerate(deltas.tolist())}
    try:
        inverse = [index[tuple((-delta) % d for delta in row)] for row in deltas.tolist()]
    except KeyError as error:
        raise InputError(f"amplitudes need every move to have its reverse: {FORWARD}.") from error
    return torch.tensor(inverse, device=problem.ensemble.device)
