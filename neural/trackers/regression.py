"""The linear algebra of the time-dependent variational principle: regress a local quantity on the scores.

With the scores ``O_k(x) = d ln p(x) / d theta_k`` (mean zero under ``p``) and a local quantity ``E(x)``, the velocity
``v`` minimises ``<(E - a - O v)^2>``: ``F v = <O (E - <E>)>`` with the Fisher matrix ``F = <O O^T>``. The intercept
``a = <E> - <O> v`` estimates ``<E>`` with the scores as control variates: its noise is that of the residual alone.
Stokes et al., Quantum 4, 269 (2020); Reh, Schmitt, Gaerttner, Phys. Rev. Lett. 127, 230501 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from ..ensemble import Ensemble
from ..estimators import Increment, covariance_of_means
from .proposal import Batch


@dataclass
class Velocity:
    """``direction`` ``(R, n_parameters)``; ``mean``, the rate ``<E>`` as an `Increment`; ``residual``, relative.

    ``residual`` ``(R,)`` is ``std(E - a - O v) / std(E)``: 0 where the network can follow exactly, 1 where not at all.
    """

    direction: Tensor
    mean: Increment
    residual: Tensor


def scores(ensemble: Ensemble, x: Tensor, chunk: int = 512) -> Tensor:
    """``d ln p_r(x) / d theta`` for each configuration, ``(R, batch, n_parameters)``.

    A network's own ``scores(x) -> (batch, n_parameters)`` (in the order of its parameters) is used where it has one.
    """
    net = ensemble.net

    def one(parameters: dict[str, Tensor], y: Tensor) -> Tensor:
        return functional_call(net, parameters, (y[None],))[0]

    def per_sample(parameters: dict[str, Tensor], batch: Tensor) -> Tensor:
        if hasattr(net, "scores"):
            return functional_call(net, parameters, (batch,), {"call": "scores"})
        gradients = vmap(grad(one), in_dims=(None, 0))(parameters, batch)
        return torch.cat([gradients[name].flatten(1) for name in parameters], 1)

    parameters = {name: value.detach() for name, value in ensemble.parameters.items()}
    rows = []
    for r in range(ensemble.replicas):
        mine = {name: value[r] for name, value in parameters.items()}
        rows.append(torch.cat([per_sample(mine, part) for part in x[r].split(chunk)]))
    return torch.stack(rows)


def regress(o: Tensor, e: Tensor, batch: Batch, damping: float) -> Velocity:
    """The velocity for scores ``o`` ``(R, n, P)`` and local quantity ``e`` ``(R, n)`` of a batch.

    ``damping`` is added to the diagonal of the Fisher matrix, in units of its mean diagonal. The whole matrix is kept
    even for a network of independent parts, whose blocks are uncorrelated on average: on a finite sample the cross
    terms carry the noise that a joint fit removes (South-East L=4 to t=10: error 8e-5 against 7e-4 with blocks).
    """
    w = batch.fit
    mean_o, mean_e = torch.einsum("rn,rnp->rp", w, o), (w * e).sum(1)
    root = w.sqrt()
    oc, ec = (o - mean_o[:, None]) * root[..., None], (e - mean_e[:, None]) * root
    floor = damping * oc.square().sum((1, 2)) / o.shape[2]
    direction = _solve(oc, ec, floor)
    rest = e - torch.einsum("rnp,rp->rn", o, direction)
    mean = (batch.mean * rest).sum(1)
    left = rest - mean[:, None]
    if batch.exact:
        rate = Increment.certain((batch.mean * e).sum(1))
    else:
        rate = Increment(mean, covariance_of_means(batch.mean * left * left.shape[1]))
    spread = (batch.mean * (e - (batch.mean * e).sum(1, keepdim=True)).square()).sum(1).clamp_min(1e-300)
    return Velocity(direction, rate, ((batch.mean * left.square()).sum(1) / spread).sqrt())


def _solve(o: Tensor, e: Tensor, floor: Tensor) -> Tensor:
    """``(O^T O + floor)^-1 O^T e`` by Cholesky, in parameter or sample space, whichever is smaller."""
    n, p = o.shape[1:]
    eye = torch.eye(min(n, p), dtype=o.dtype, device=o.device)
    ridge = floor[:, None, None].clamp_min(1e-300) * eye
    if p <= n:
        factor = torch.linalg.cholesky(o.mT @ o + ridge)
        return torch.cholesky_solve((o.mT @ e[..., None]), factor)[..., 0]
    factor = torch.linalg.cholesky(o @ o.mT + ridge)
    return (o.mT @ torch.cholesky_solve(e[..., None], factor))[..., 0]
