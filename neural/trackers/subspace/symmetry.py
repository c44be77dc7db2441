"""The reflections and exchanges of axes that leave a system as it is.

Where the start has them too, so does ``exp(t W_s) P_0``, but not a network: its sites have an order. The average of an
amplitude over the images of a configuration has them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np

from vanbench.exact import Excluding, System
from vanbench.exact.matrixfree.local import Local, merged, tilted

Table = dict[tuple[int, ...], np.ndarray]  # the matrix on each set of sites
TOLERANCE = 1e-12  # of local rates, given to a few units of rounding


def symmetries(system: System, fields: Sequence[float], observable: str) -> np.ndarray:
    """The group of site permutations under which each ``W_s`` and the start stay what they are, the identity first.

    ``(order, n_sites)``; the image of a configuration is ``x[permutation]``. Translations are left out, which open
    boundaries break, and whatever leaves the sum of the terms as it is but not each term.
    """
    tables = [_table(tilted(system, s, observable), system.local_dim) for s in fields]
    return np.stack([image for image in _images(system.shape) if _kept(system, tables, image)])


def _images(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Those of the box, the identity first."""
    sites = np.arange(int(np.prod(shape))).reshape(shape)
    images: dict[tuple[int, ...], None] = {}
    for exchange in permutations(range(len(shape))):
        turned = sites.transpose(exchange)
        if turned.shape == shape:
            for flips in product((False, True), repeat=len(shape)):
                image = np.flip(turned, tuple(axis for axis, flip in enumerate(flips) if flip))
                images[tuple(image.ravel().tolist())] = None
    return [np.array(image) for image in images]


def _kept(system: System, tables: list[Table], image: np.ndarray) -> bool:
    pins = np.full(system.n_sites, -1)
    for site, value in system.pinned.items():
        pins[site] = value
    if (pins[image] != pins).any() or not np.allclose(system.initial[image], system.initial, atol=TOLERANCE):
        return False
    if isinstance(system.support, Excluding):
        rows = np.asarray(system.support.configurations)
        if {*map(bytes, rows.astype(np.int8))} != {*map(bytes, rows[:, image].astype(np.int8))}:
            return False
    for table in tables:
        moved = _table([Local(tuple(image[list(sites)]), m) for sites, m in table.items()], system.local_dim)
        if moved.keys() != table.keys() or not all(np.allclose(moved[k], table[k], atol=TOLERANCE) for k in table):
            return False
    return True


def _table(parts: list[Local], d: int) -> Table:
    return {part.sites: part.matrix for part in merged(parts, d)}
