"""A recurrent network whose state is multiplied by a matrix of the value just seen: a matrix product, normalised."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from vanbench.exact import InputError
from vanbench.exact.mps.state import MatrixProductState
from vanbench.neural.architectures.incremental import Incremental
from vanbench.neural.autoregressive import FLOOR

SOFT = 2e-2  # below about this a conditional weight, 1 for a product distribution, bends away from zero
FEATURE = 1e-2  # of states made from a matrix product state: short enough not to be shortened
LARGEST = 20.0  # length that no state exceeds: after a value of next to no weight it would be anything


class MatrixProduct(Incremental):
    """``p(x_k = v | x_<k)`` in proportion to ``exp(b_kv) f_v``, where ``f_v`` is the first entry of ``A_kv h_k``.

    The state goes on as ``h_{k+1} = A_kx h_k / f_x``, its first entry always 1; a long one is shortened. What a product
    of matrices of size ``bond`` represents, correlations of that rank across each cut, this does too: the outcomes of
    an open quantum system are weakly correlated, and all orders of correlation come with the product.

    bond
        largest size of the state; at the ends no more than the ``d^k`` prefixes or suffixes ask for.
    """

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, bond: int = 16):
        super().__init__(shape, local_dim)
        if not (isinstance(bond, int) and bond >= 1):
            raise InputError(f"bond = {bond}: it must be a whole number, at least 1.")
        self.bond = bond
        n, d = self.n_sites, local_dim
        sizes = [min(bond, d ** min(k, n - k, 20)) for k in range(n + 1)]
        self.cores = nn.ParameterList(_start(d, sizes[k], sizes[k + 1]) for k in range(n))

    def zero_output(self) -> None:
        for core in self.cores:
            core[:, 0] = 0.0
            core[:, 0, 0] = 1.0

    def advance(self, z: Tensor, first: int, last: int, cache: list | None) -> tuple[Tensor, list]:
        states = [self.site_bias.new_ones(len(z), 1)] if cache is None else cache[:first]
        if cache is not None:  # the last site before ``first`` is new to the cache
            states.append(self._next(first - 1, states[-1], z[:, first - 1]))
        logits = []
        for k in range(first, last):
            logits.append(_positive(states[k] @ self.cores[k][:, 0].T).log())
            if k + 1 < last:
                states.append(self._next(k, states[k], z[:, k]))
        return torch.stack(logits, 1), states[:last]

    def _next(self, k: int, h: Tensor, value: Tensor) -> Tensor:
        """The state after site ``k`` took ``value``."""
        core = self.cores[k]
        every = (h @ core.flatten(0, 1).T).unflatten(1, core.shape[:2])
        taken = every.gather(1, value.long()[:, None, None].expand(-1, 1, core.shape[1]))[:, 0]
        weight = _positive(taken[:, :1])
        ahead = taken[:, 1:] / weight
        return torch.cat([torch.ones_like(weight), ahead * _shrinking(ahead)], 1)

    def log_prob_moves(self, x: Tensor, deltas: np.ndarray, used: Tensor | None = None) -> Tensor:
        """As in the base; all moves that first change one site go on from its states together, in one batch."""
        if used is None or x.device.type != "cpu":
            return super().log_prob_moves(x, deltas, used)
        logits, states = self.advance(x, 0, self.n_sites, None)
        logits = self._finish(x, logits, 0)
        taken = self._masked(self._taken(logits, x), 0)
        before = taken.cumsum(-1) - taken
        firsts = (deltas != 0).argmax(1)
        changes = torch.as_tensor(np.asarray(deltas) % self.local_dim, dtype=x.dtype, device=x.device)
        out = taken.new_full(used.shape, -torch.inf)
        for first in np.unique(firsts):
            moves = torch.as_tensor(np.flatnonzero(firsts == first), device=x.device)
            rows, which = used[:, moves].nonzero(as_tuple=True)
            y = x[rows] - changes[moves[which]]
            y = torch.where(y < 0, y + self.local_dim, y)
            total = (
                before[rows, first] + self._masked(self._taken(logits[rows, first], y[:, first])[:, None], first)[:, 0]
            )
            if first + 1 < self.n_sites:
                cache = [*[None] * first, states[first][rows]]  # of the states before, only the last is used
                after = self._finish(y, self.advance(y, first + 1, self.n_sites, cache)[0], first + 1)
                total = total + self._masked(self._taken(after, y[:, first + 1 :]), first + 1).sum(-1)
            out[rows, moves[which]] = self._on_support(y, total)
        return out

    def scores(self, x: Tensor) -> Tensor:
        """``d ln p(x) / d theta``, ``(batch, n_parameters)``, parameters flattened in the order of ``parameters()``."""
        d, rows = self.local_dim, torch.arange(len(x), device=x.device)
        taken = (x[..., None] == torch.arange(d, device=x.device)).to(self.site_bias.dtype)
        logits, states = self.advance(x, 0, self.n_sites, None)
        residual = taken - torch.softmax(logits + self.site_bias, -1)
        back = residual.new_zeros(len(x), 0)  # d ln p / d (state after this site), without its first entry
        parts: list[Tensor] = []
        for k in reversed(range(self.n_sites)):
            core, h = self.cores[k], states[k]
            weights = h @ core[:, 0].T
            slope = (weights.square() + 4 * SOFT**2).rsqrt()  # d ln positive(f) / d f
            upward = residual[:, k] * slope
            score = h.new_zeros(len(x), *core.shape)
            through = torch.zeros_like(h)
            if back.shape[1]:
                value = x[:, k].long()
                weight = _positive(weights.gather(1, value[:, None]))
                after = torch.einsum("bij,bj->bi", core[value, 1:], h) / weight
                shrinking = _shrinking(after)
                along = (back * after).sum(1, keepdim=True) / LARGEST**2
                lower = (shrinking * back - shrinking**3 * along * after) / weight
                upward = upward.scatter_add(
                    1, value[:, None], -weight * (lower * after).sum(1, keepdim=True) * slope.gather(1, value[:, None])
                )
                score[rows, value, 1:] = lower[:, :, None] * h[:, None]
                through = torch.einsum("bi,bij->bj", lower, core[value, 1:])
            score[:, :, 0] = upward[..., None] * h[:, None]
            parts.append(score.flatten(1))
            back = (through + upward @ core[:, 0])[:, 1:]
        return torch.cat([residual.flatten(1), *reversed(parts)], 1)

    @staticmethod
    def parameters_of(state: MatrixProductState) -> dict[str, Tensor]:
        """Parameters that make the network the normalised ``state``, where its conditionals are not negative.

        With ``R_k``, the sum over all values of the sites from ``k`` on, the network's state is ``G_k l / (R_k l)`` for
        the product ``l`` of the matrices so far, and ``A_kv = G_{k+1} C_kv^T G_k^-1 / m_kv`` with the marginals ``m``.
        Arrays may be smaller than the network's: the rest is zero. Moves the centre of ``state`` to its last site.
        """
        state.move_centre(len(state.tensors) - 1)
        marginals, rights = np.maximum(state.marginals(), FLOOR), state.right_sums()
        parameters = {"site_bias": torch.from_numpy(np.log(marginals))}
        before = np.ones((1, 1))
        for k, tensor in enumerate(state.tensors):
            after = _gauge(rights[k + 1])
            changed = np.einsum("ab,cvb,cd->vad", after, tensor, np.linalg.inv(before), optimize=True)
            parameters[f"cores.{k}"] = torch.from_numpy(changed / marginals[k][:, None, None])
            before = after
        return parameters


def _positive(f: Tensor) -> Tensor:
    """``(f + sqrt(f^2 + 4 SOFT^2)) / 2``: ``f`` where it is clearly positive, small and positive elsewhere."""
    root = (f.square() + 4 * SOFT**2).sqrt()
    return torch.where(f > 0, (f + root) / 2, 2 * SOFT**2 / (root - f))  # without cancellation on either side


def _gauge(right: np.ndarray) -> np.ndarray:
    """``G``: ``right`` and, ``FEATURE`` times as long, vectors orthogonal to it and to each other."""
    length = np.linalg.norm(right)
    across = np.linalg.svd(right[None])[2][1:]
    return np.concatenate([right[None], FEATURE * length * across])


def _shrinking(state: Tensor) -> Tensor:
    """The factor that keeps a state ``(batch, size)`` shorter than ``LARGEST``, ``(batch, 1)``."""
    return (1 + state.square().sum(1, keepdim=True) / LARGEST**2).rsqrt()


def _start(d: int, before: int, after: int) -> nn.Parameter:
    """Random features of the past that fade slowly, and of the value just seen; weights of a product."""
    core = torch.randn(d, after, before) / max(1.0, 2 * before) ** 0.5
    core = core + 0.6 * torch.eye(after, before)
    core[:, :, 0] = torch.randn(d, after)
    core[:, 0] = 0.1 * torch.randn(d, before)
    core[:, 0, 0] = 1.0
    return nn.Parameter(core)
