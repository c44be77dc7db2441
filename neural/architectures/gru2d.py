"""A recurrent unit with a hidden state from every axis, on a zigzag path.

Hibat-Allah, Ganahl, Hayward, Melko, Carrasquilla, Phys. Rev. Research 2, 023358 (2020); the gate that mixes the
incoming states follows Hibat-Allah, Melko, Carrasquilla, arXiv:2207.14314.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.exact import InputError
from vanbench.neural.architectures.incremental import Incremental
from vanbench.neural.architectures.lattice import coordinates, snake


class GRU2D(Incremental):
    """``h_i = u new + (1 - u) W [h_a]``, with ``u`` and ``new`` from the states and values of the visited neighbours.

    The neighbours are the one of each axis that the path has met before: above and beside the site in 2D, one more in
    3D; along a chain this is a gated unit of its own kind. ``width`` units; the biases are a site's own; the head is
    shared.
    """

    def __init__(self, shape: tuple[int, ...], local_dim: int = 2, width: int = 24):
        super().__init__(shape, local_dim, order=snake(tuple(shape)))
        if width < 1:
            raise InputError(f"width = {width}: it must be positive.")
        self.width = width
        self._before = _visited_neighbours(self.shape, self.order)
        axes = len(self.shape)
        inputs = axes * (self.channels + width)
        self.site = nn.Parameter(0.1 * torch.randn(self.n_sites, 2 * width))
        self.cell = nn.Parameter(torch.randn(2 * width, inputs) / inputs**0.5)
        self.merge = nn.Parameter(torch.eye(width).repeat(1, axes) / axes)  # starts as the mean of the states
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, local_dim, bias=False)

    def advance(self, z: Tensor, first: int, last: int, cache: list | None) -> tuple[Tensor, list]:
        states = [] if cache is None else cache[:first]
        nothing = self.site.new_zeros(len(z), self.width), self.site.new_zeros(len(z), self.channels)
        for k in range(first, last):
            known = [nothing if j is None else (states[j], self.encode(z[:, j : j + 1])[:, 0]) for j in self._before[k]]
            old = torch.cat([h for h, _ in known], 1)
            mixed = F.linear(torch.cat([old, *(value for _, value in known)], 1), self.cell, self.site[k])
            update, new = torch.sigmoid(mixed[:, : self.width]), torch.tanh(mixed[:, self.width :])
            kept = F.linear(old, self.merge)
            states.append(kept + update * (new - kept))
        return self.output(torch.tanh(self.hidden(torch.stack(states[first:], 1)))), states


def _visited_neighbours(shape: tuple[int, ...], order: list[int]) -> list[list[int | None]]:
    """For each rank and axis the rank of the neighbour along that axis that the path has met, or None."""
    at = coordinates(shape)
    rank = {tuple(at[site]): k for k, site in enumerate(order)}
    neighbours: list[list[int | None]] = []
    for k, site in enumerate(order):
        row: list[int | None] = []
        for axis in range(len(shape)):
            sides = []
            for step in (-1, 1):
                place = list(at[site])
                place[axis] += step
                sides.append(rank.get(tuple(place), k))
            row.append(min(sides) if min(sides) < k else None)
        neighbours.append(row)
    return neighbours
