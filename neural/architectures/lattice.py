"""Paths over a lattice and windows on it, as site numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np
import torch
from torch import Tensor


def coordinates(shape: Sequence[int]) -> np.ndarray:
    """``(n_sites, n_axes)``, row-major."""
    return np.stack(np.unravel_index(np.arange(int(np.prod(shape))), tuple(shape)), axis=1)


def snake(shape: tuple[int, ...]) -> list[int]:
    """The boustrophedon path: each axis turns back whenever the axes before it take a step."""
    order = np.arange(int(np.prod(shape))).reshape(shape)

    def walk(block: np.ndarray) -> list[int]:
        if block.ndim == 1:
            return block.tolist()
        lines = [walk(part) for part in block]
        return [site for n, line in enumerate(lines) for site in (line if n % 2 == 0 else line[::-1])]

    return walk(order)


def strings(shape: tuple[int, ...]) -> list[list[int]]:
    """String 0, the raster path, then the images of the snake path under the symmetries of the box.

    The symmetries exchange axes and reflect them: 2 in one dimension, 8 in two, 48 in three. Each corner gives the
    paths along every order of the axes, and the opposite corner follows it: strings 1 and 2 in 2D start at site 0
    along rows and along columns, 3 and 4 at the last site. In one dimension string 1 is the raster path again.
    """
    sites = np.arange(int(np.prod(shape))).reshape(shape)
    axes = tuple(range(len(shape)))
    corners = [flips for flips in product((False, True), repeat=len(shape)) if not flips[0]]
    images: list[list[int]] = []
    for corner in corners:
        for flips in (corner, tuple(not flip for flip in corner)):
            turned = np.flip(sites, tuple(axis for axis in axes if flips[axis]))
            for permutation in permutations(axes):
                image = turned.transpose(permutation)
                flat = image.reshape(-1)
                images.append([int(flat[k]) for k in snake(image.shape)])
    return [sites.reshape(-1).tolist(), *images]


def window(shape: Sequence[int], ranges: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """All offsets with one entry from each range of ``ranges``."""
    return list(product(*ranges))


def taps(shape: Sequence[int], offsets: Sequence[Sequence[int]]) -> Tensor:
    """Site number plus one at each offset from each site, 0 outside the lattice: ``(n_sites, n_offsets)``."""
    at = coordinates(shape)[:, None] + np.asarray(offsets, dtype=int).reshape(len(offsets), len(shape))
    inside = ((at >= 0) & (at < np.asarray(shape))).all(-1)
    sites = np.ravel_multi_index(tuple(np.moveaxis(np.where(inside[..., None], at, 0), -1, 0)), tuple(shape))
    return torch.as_tensor(np.where(inside, sites + 1, 0))
