"""Message passing along the edges of a graph, node after node. Gilmer et al., ICML (2017); sequentially along the
order as in Li et al., Learning deep generative models of graphs, arXiv:1803.03324 (2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vanbench.exact import InputError
from vanbench.neural.architectures.incremental import Incremental
from vanbench.neural.architectures.lattice import coordinates


class Graph(Incremental):
    """A node's state combines the messages of its earlier neighbours and the mean message of all earlier nodes.

    The mean makes every earlier node visible, also those that no path of edges along the order connects. Nodes are
    met in the order of their numbers.

    edges
        neighbour pairs ``(m, 2)``; by default the nearest neighbours of the open lattice of ``shape``.
    width
        numbers in a state.

    Raises ``InputError`` for edges that are no pairs of different nodes of the graph.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        local_dim: int = 2,
        width: int = 24,
        edges: Sequence[Sequence[int]] | None = None,
    ):
        super().__init__(shape, local_dim)
        if width < 1:
            raise InputError(f"width = {width}: it must be positive.")
        self.width = width
        self._before = self._earlier(_bonds(self.shape) if edges is None else edges)
        self.site = nn.Parameter(0.1 * torch.randn(self.n_sites, 2 * width))
        self.message = nn.Linear(self.channels + width, width)
        self.cell = nn.Parameter(torch.randn(2 * width, 2 * width) / (2 * width) ** 0.5)
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, local_dim, bias=False)

    def _earlier(self, edges: Sequence[Sequence[int]]) -> list[list[int]]:
        neighbours: list[set[int]] = [set() for _ in range(self.n_sites)]
        for edge in edges:
            pair = sorted(int(node) for node in edge)
            if len(pair) != 2 or pair[0] == pair[1] or pair[0] < 0 or pair[1] >= self.n_sites:
                raise InputError(f"edge {list(edge)}: give two different nodes between 0 and {self.n_sites - 1}.")
            neighbours[pair[1]].add(pair[0])
        return [sorted(nodes) for nodes in neighbours]

    def advance(self, z: Tensor, first: int, last: int, cache: tuple | None) -> tuple[Tensor, tuple]:
        states, messages, sums = ([], [], []) if cache is None else (list(part) for part in cache)
        del states[first:], messages[max(first - 1, 0) :], sums[max(first - 1, 0) :]
        for k in range(first, last):
            if k:
                value = self.encode(z[:, k - 1 : k])[:, 0]
                messages.append(torch.tanh(self.message(torch.cat([value, states[k - 1]], 1))))
                sums.append(messages[-1] + sums[-1] if sums else messages[-1])
            states.append(self._update(k, len(z), messages, sums))
        return self.output(torch.tanh(self.hidden(torch.stack(states[first:], 1)))), (states, messages, sums)

    def _update(self, k: int, n: int, messages: list[Tensor], sums: list[Tensor]) -> Tensor:
        nothing = self.site.new_zeros(n, self.width)
        near = sum((messages[j] for j in self._before[k]), nothing)
        far = sums[-1] / k if k else nothing
        mixed = F.linear(torch.cat([near, far], 1), self.cell, self.site[k])
        return near + torch.sigmoid(mixed[:, : self.width]) * (torch.tanh(mixed[:, self.width :]) - near)


def _bonds(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    at = coordinates(shape)
    number = {tuple(place): site for site, place in enumerate(at)}
    bonds = []
    for site, place in enumerate(at):
        for axis in range(len(shape)):
            after = list(place)
            after[axis] += 1
            if tuple(after) in number:
                bonds.append((site, number[tuple(after)]))
    return bonds
