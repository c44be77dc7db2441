"""The linear algebra of the time-dependent variational principle: regress a local quantity on the scores.

With the scores ``O_k(x) = d ln p(x) / d theta_k`` (mean zero under ``p``) and a local quantity ``E(x)``, the velocity
``v`` minimises ``<(E - a - O v)^2>``: ``F v = <O (E - <E>)>`` with the Fisher matrix ``F = <O O^T>``. The intercept
``a = <E> - <O> v`` estimates ``<E>`` with the scores as control variates: its noise is that of the residual alone.
Stokes et al., Quantum 4, 269 (2020); Reh, Schmitt, Gaerttner, Phys. Rev. Lett. 127, 230501 (2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from scipy.linalg.blas import dsyrk
from torch import Tensor
from torch.func import functional_call, vmap

from vanbench.neural.backend.distributed import mine, size, total, whole
from vanbench.neural.ensemble import Ensemble
from vanbench.neural.run.estimators import Increment, covariance_of_means
from vanbench.neural.trackers.base import Diverged
from vanbench.neural.trackers.proposal import Batch


@dataclass
class Velocity:
    """``direction`` ``(R, n_parameters)``; ``mean``, the rate ``<E>`` as an `Increment`; ``residual``, relative.

    ``residual`` ``(R,)`` is ``std(E - a - O v) / std(E)``: 0 where the network can follow exactly, 1 where not at all.
    ``unseen`` is the same of a velocity fitted on other samples: where it is far above 1, that fit is of their noise.
    ``speed`` ``(R,)`` is ``std(E)``, the length of the exact velocity in the Fisher metric.
    """

    direction: Tensor
    mean: Increment
    residual: Tensor
    unseen: Tensor
    speed: Tensor


CHUNK = 512  # configurations whose scores are found in one call, on a CPU
RANK = 1e-10  # eigenvalues of a singular Fisher matrix, over the largest, that its samples do not tell from zero
KEPT = 1 << 27  # scores of a group of fields: 1 GB, and up to three times that while they are regressed on
PRODUCED = 1 << 25  # scores that come out of one call on a GPU, which needs several times their memory


def scores(ensemble: Ensemble, x: Tensor) -> Iterator[Tensor]:
    """``d ln p_r(x) / d theta`` for each configuration of this process's share, some of the counting fields at a time:
    tensors ``(fields, share, n_parameters)``.

    A network's own ``scores(x) -> (batch, n_parameters)`` (in the order of its parameters) is used where it has one,
    on restricted networks only if it says that these know of the restriction.
    """
    largest = -(-x.shape[1] // size())  # of all processes, which go through the same groups
    fields = max(1, KEPT // max(1, largest * ensemble.n_parameters))
    for first in range(0, ensemble.replicas, fields):
        yield _scores(ensemble, mine(x), slice(first, min(first + fields, ensemble.replicas)))


def _scores(ensemble: Ensemble, x: Tensor, group: slice) -> Tensor:
    """Those of the counting fields of ``group``."""
    net = ensemble.net
    own_scores = hasattr(net, "scores") and (net.scores_when_restricted or not net.restricted)

    def per_sample(parameters: dict[str, Tensor], batch: Tensor) -> Tensor:
        if own_scores:
            return functional_call(net, parameters, (batch,), {"call": "scores"})
        gradients = ensemble.gradients(parameters, batch)
        return torch.cat([gradients[name].reshape(len(batch), -1) for name in parameters], 1)

    parameters = {name: value.detach()[group] for name, value in ensemble.parameters.items()}
    x, together = x[group], ensemble.batched and x.device.type != "cpu" and (own_scores or ensemble.scores_together)
    rows = ensemble.at_once(CHUNK)
    if x.device.type != "cpu":
        rows = min(rows, max(1, PRODUCED // (ensemble.n_parameters * (len(x) if together else 1))))
    if together:  # a call costs its launches; on a CPU this is no faster
        return torch.cat([vmap(per_sample)(parameters, part) for part in x.split(rows, 1)], 1)
    out = x.new_empty(*x.shape[:2], ensemble.n_parameters, dtype=net.site_bias.dtype)
    for r, configurations in enumerate(x):
        own = {name: value[r] for name, value in parameters.items()}
        for part, into in zip(configurations.split(rows), out[r].split(rows)):
            into.copy_(per_sample(own, part))
    return out


def regress(scores: Iterable[Tensor], e: Tensor, batch: Batch, damping: float, other: Tensor | None = None) -> Velocity:
    """The velocity for the `scores` of this process and local quantity ``e`` ``(R, n)`` of a batch.

    ``other`` is a velocity from other samples, ``(R, P)``, to be tried on these.

    ``damping`` is added to the diagonal of the Fisher matrix, in units of its mean diagonal. The whole matrix is kept
    even for a network of independent parts, whose blocks are uncorrelated on average: on a finite sample the cross
    terms carry the noise that a joint fit removes (South-East L=4 to t=10: error 8e-5 against 7e-4 with blocks).
    """
    e, blocks, at = e.double(), [], 0
    for o in scores:
        group = slice(at, at := at + len(o))
        weights = batch.fit[group].double(), batch.mean[group]
        tried = None if other is None else other[group]
        blocks.append(_fitted(o.double(), e[group], weights, damping, tried))
        del o  # before the next group is made
    direction, mean, left, unseen = (torch.cat(parts) for parts in zip(*blocks))
    if batch.exact:
        rate = Increment.certain((batch.mean * e).sum(1))
    else:
        rate = Increment(mean, covariance_of_means(batch.mean * left * left.shape[1]))
    spread = _variance(batch, e - (batch.mean * e).sum(1, keepdim=True)).clamp_min(1e-300)
    residual, other_residual = ((_variance(batch, part) / spread).sqrt() for part in (left, unseen))
    return Velocity(direction, rate, residual, other_residual, spread.sqrt())


def _fitted(
    o: Tensor, e: Tensor, weights: tuple[Tensor, Tensor], damping: float, other: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The velocities of some fields, what `_left` says of them, and what of ``other`` or, where that is None, them.

    In double precision: normal equations square the condition number.
    """
    w, for_means = weights
    mean_o, mean_e = total(torch.einsum("rn,rnp->rp", mine(w), o)), (w * e).sum(1)
    n, p = e.shape[1], o.shape[2]
    weighted = o * mine(w).sqrt()[..., None]
    if p <= n:
        gram = total(_gram(weighted)) - mean_o[:, :, None] * mean_o[:, None, :]
        force = total(torch.einsum("rn,rnp->rp", mine(w * (e - mean_e[:, None])), o))
        direction = _solve(gram, force, damping, p)
    else:
        weighted -= mean_o[:, None] * mine(w).sqrt()[..., None]
        force = (e - mean_e[:, None]) * w.sqrt()
        columns = mine(
            whole(weighted, n), dim=2
        )  # every pair of rows meets: each process takes a share of the parameters
        dual = _solve(total(_gram(columns.mT)), force, damping, p)
        direction = whole((columns.mT @ dual[..., None])[..., 0], p)
    mean, left = _left(o, e, for_means, direction)
    return direction, mean, left, left if other is None else _left(o, e, for_means, other)[1]


def _left(o: Tensor, e: Tensor, weights: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The intercept ``a = <E - O v>``, ``(R,)``, and what is left, ``E - O v - a``, ``(R, n)``."""
    rest = e - whole((o @ direction[..., None])[..., 0], e.shape[1])
    mean = (weights * rest).sum(1)
    return mean, rest - mean[:, None]


def _variance(batch: Batch, centred: Tensor) -> Tensor:
    return (batch.mean * centred.square()).sum(1)


def _gram(a: Tensor) -> Tensor:
    """``a^T a`` for ``(R, n, p)``; on the CPU half of it is computed and mirrored (the costliest line of a step)."""
    if a.device.type != "cpu":
        return a.mT @ a
    rows = a if a.is_contiguous() else a.mT  # BLAS reads columns first: ``.T`` of contiguous rows costs no copy
    flip = not a.is_contiguous()
    half = [torch.from_numpy(dsyrk(1.0, part.numpy().T, trans=int(flip), lower=0)).T for part in rows]
    lower = torch.stack(half)
    return lower + lower.tril(-1).mT


def _solve(gram: Tensor, force: Tensor, damping: float, parameters: int) -> Tensor:
    """``(gram + floor)^-1 force`` by Cholesky; the floor is ``damping`` times the trace for each parameter.

    What is singular all the same is inverted where it is not.
    """
    trace = gram.diagonal(dim1=1, dim2=2).sum(1)
    floor = (damping * trace / parameters).clamp_min(1e-300)
    eye = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    factor, failed = torch.linalg.cholesky_ex(gram + floor[:, None, None] * eye)
    if not failed.any():
        return torch.cholesky_solve(force[..., None], factor)[..., 0]
    if not (torch.isfinite(gram).all() and torch.isfinite(force).all()):
        message = "a regression is not finite; the last good networks were kept: take more damping or"
        raise Diverged(f"{message} samples, or smaller steps.")
    return (torch.linalg.pinv(gram + floor[:, None, None] * eye, rtol=RANK, hermitian=True) @ force[..., None])[..., 0]
