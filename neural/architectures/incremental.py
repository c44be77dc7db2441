"""Networks that go on from a cached prefix: one method gives logits, ancestral sampling and fast neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from vanbench.neural.autoregressive import Autoregressive

WORTHWHILE = 0.4  # share of moves in use below which prefixes are not worth sharing (gru, gru2d at 4 x 4 and 6 x 6)


class Incremental(Autoregressive):
    """A network implements ``advance``; everything else follows.

    Sites are met in the order of ``self.order``; ``z`` below holds configurations in that order. A cache is whatever
    ``advance`` returned: it may hold more than the prefix, and ``advance(z, first, ...)`` uses of it only what the
    sites before ``first`` determined. The tensors in its lists and tuples have the batch as their first axis; what
    belongs to no row, such as prepared weights, travels in an object that is neither.
    """

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, order: list[int] | None = None):
        super().__init__(shape, local_dim)
        if order is not None:
            self.order = order
        self._raster = self.order == list(range(self.n_sites))
        self._rank_to_site: Tensor
        self._site_to_rank: Tensor
        self.register_buffer("_rank_to_site", torch.tensor(self.order), persistent=False)
        self.register_buffer("_site_to_rank", torch.tensor(np.argsort(self.order)), persistent=False)

    def advance(self, z: Tensor, first: int, last: int, cache: Any) -> tuple[Tensor, Any]:
        """Logits of the sites of rank ``first..last - 1``, ``(batch, last - first, d)``, and the cache up to there.

        ``cache`` is None when ``first`` is 0; it was made from configurations equal to ``z`` before rank
        ``first - 1`` (the last site before ``first`` is new to it).
        """
        raise NotImplementedError(f"{type(self).__name__} must implement advance(z, first, last, cache).")

    def logits(self, x: Tensor) -> Tensor:
        return self._sited(self.advance(self._ranked(x), 0, self.n_sites, None)[0])

    def step(self, k: int, x: Tensor, cache: Any) -> tuple[Tensor, Any]:
        logits, cache = self.advance(self._ranked(x), k, k + 1, cache)
        return logits[:, 0], cache

    def log_prob_moves(self, x: Tensor, deltas: np.ndarray, used: Tensor | None = None) -> Tensor:
        """As in the base; only the sites after the first changed one are computed again.

        That is half the work, in smaller pieces: where few moves are used, each is evaluated on its own, and on a GPU,
        where a piece costs its launches, all are one batch.
        """
        if x.device.type != "cpu":
            return super().log_prob_moves(x, deltas, used)
        if used is not None and used.numel() and used.double().mean() < WORTHWHILE:
            return super().log_prob_moves(x, deltas, used)
        deltas = np.asarray(deltas)[:, self.order]
        z = self._ranked(x)
        logits, cache = self.advance(z, 0, self.n_sites, None)
        logits = self._finish(z, logits, 0)
        taken = self._masked(self._taken(logits, z), 0)
        before = taken.cumsum(-1) - taken
        totals = []
        for m, delta in enumerate(deltas):
            first = int(np.flatnonzero(delta)[0])
            rows = None if used is None else used[:, m].nonzero()[:, 0]
            y, heads, sums, known = z, logits[:, first], before[:, first], cache
            if rows is not None:
                y, heads, sums = y[rows], heads[rows], sums[rows]
                known = tree_map(lambda part, rows=rows: part[rows] if isinstance(part, Tensor) else part, cache)
            y = self._moved(y, delta)
            total = sums + self._masked(self._taken(heads, y[:, first])[:, None], first)[:, 0]
            if first + 1 < self.n_sites:
                after, _ = self.advance(y, first + 1, self.n_sites, known)
                after = self._finish(y, after, first + 1)
                total = total + self._masked(self._taken(after, y[:, first + 1 :]), first + 1).sum(-1)
            total = self._on_support(self._sited(y), total)
            if rows is not None:
                total = total.new_full((len(z),), -torch.inf).index_copy(0, rows, total)
            totals.append(total)
        return torch.stack(totals, 1)

    def log_prob_all(self, x: Tensor) -> Tensor:
        """As in the base; every prefix is met once, so that each site costs less than the last one alone."""
        if self._pinned or self._total is not None:
            return super().log_prob_all(x)
        z, total, cache = x.new_zeros(1, self.n_sites), self.site_bias.new_zeros(1), None
        for k in range(self.n_sites):
            logits, cache = self.advance(z, k, k + 1, cache)
            chosen = torch.log_softmax(logits[:, 0] + self.site_bias[self.order[k]], -1)
            total = (total[:, None] + chosen).flatten()
            z = z.repeat_interleave(self.local_dim, 0)
            z[:, k] = torch.arange(self.local_dim, device=x.device, dtype=x.dtype).repeat(len(chosen))
            if k + 1 < self.n_sites:
                cache = tree_map(self._branched, cache)
        by_rank = total.view((self.local_dim,) * self.n_sites)
        return self._on_support(x, by_rank.permute(self._site_to_rank.tolist()).flatten())

    def _branched(self, part: Any) -> Any:
        return part.repeat_interleave(self.local_dim, 0) if isinstance(part, Tensor) else part

    def _finish(self, z: Tensor, logits: Tensor, first: int) -> Tensor:
        """Add the site biases and the way to a fixed sum to logits of the ranks from ``first`` on."""
        logits = logits + self._ranked(self.site_bias, 0)[first:]
        return logits if self._total is None else logits + self._completion(z, self._ways, first)

    def _masked(self, taken: Tensor, first: int) -> Tensor:
        if not self._pinned:
            return taken
        free = self._ranked(self._free, 0)[first : first + taken.shape[-1]]
        return torch.where(free > 0, taken, 0.0)

    def _side_by_side(self, z: Tensor) -> Tensor:
        """Values of sites as inputs, ``(batch, sites (d - 1))``: -1 or 1, or indicators of all values but the first."""
        encoded = self.encode(z)
        return encoded.flatten(1) if self.local_dim == 2 else encoded[..., 1:].flatten(1)

    def _ranked(self, values: Tensor, axis: int = 1) -> Tensor:
        """Site order to the network's order, along one axis."""
        return values if self._raster else values.index_select(axis, self._rank_to_site)

    def _sited(self, values: Tensor, axis: int = 1) -> Tensor:
        return values if self._raster else values.index_select(axis, self._site_to_rank)
