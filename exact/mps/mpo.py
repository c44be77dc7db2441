"""A sum of local matrices as a matrix product operator: one tensor a site, as `dmrg` contracts it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.matrixfree.local import Local
from vanbench.exact.mps.operators import LocalOperatorSum

RANK = 1e-13  # of the largest singular value: what is below it in a pair of sites is rounding


def product_operator(
    operator: LocalOperatorSum, excluded: Sequence[np.ndarray] = (), penalty: float = 0.0
) -> list[np.ndarray]:
    """``A - penalty sum_x |x><x|`` over the ``excluded`` configurations; tensors ``(left, right, d to, d from)``.

    Channel 0 of a bond is "nothing yet", channel 1 "all done", and between them stand the left factors of pairs that
    are still to close: those of a site are a basis of what all its pairs have there.
    """
    n, d = operator.n_sites, operator.d
    identity, last = np.eye(d), n - 1
    alone, starts, ends = _channels(operator)
    opened: list[tuple[int, int]] = []  # (first site, which of its factors)
    out = []
    for k in range(n):
        going = [c for c in opened if any(site > k for site in ends[c[0]])]
        after = going + [(k, a) for a in range(len(starts.get(k, ())))]
        m = len(excluded)
        tensor = np.zeros((2 + len(opened) + m, 2 + len(after) + m, d, d))
        tensor[0, 0] = tensor[1, 1] = identity
        tensor[0, 1] = alone[k]
        for row, channel in enumerate(opened):
            if k in ends[channel[0]]:
                tensor[2 + row, 1] = ends[channel[0]][k][channel[1]]
            if channel in after:
                tensor[2 + row, 2 + after.index(channel)] = identity
        for a, factor in enumerate(starts.get(k, ())):
            tensor[0, 2 + after.index((k, a))] = factor
        for j, x in enumerate(excluded):
            held = np.diag(identity[x[k]])
            row, column = 2 + len(opened) + j, 2 + len(after) + j
            tensor[0 if k == 0 else row, 1 if k == last else column] += held * (-penalty if k == 0 else 1.0)
        if k == 0:
            tensor = tensor[:1]
        if k == last:
            tensor = tensor[:, 1:2]
        out.append(tensor)
        opened = after
    return out


def squared(mpo: Sequence[np.ndarray], tensors: Sequence[np.ndarray]) -> float:
    """``|A phi|^2`` of the operator ``mpo`` and the state with ``tensors`` ``(left, d, right)``."""
    held = np.ones((1, 1))  # between two copies of A phi, whose bonds are pairs
    for w, a in zip(mpo, tensors, strict=True):
        image = np.einsum("lrts,asb->latrb", w, a)
        image = image.reshape(len(held), w.shape[2], -1)
        held = np.einsum("xty,xtz->yz", np.einsum("xw,xty->wty", held, image), image, optimize=True)
    return float(held[0, 0])


def _channels(
    operator: LocalOperatorSum,
) -> tuple[np.ndarray, dict[int, np.ndarray], dict[int, dict[int, np.ndarray]]]:
    """Matrices on one site ``(n, d, d)``; left factors by first site; right factors by first and second site."""
    d = operator.d
    alone = np.zeros((operator.n_sites, d, d))
    pairs: dict[int, list[Local]] = {}
    for part in operator.parts:
        if len(part.sites) == 1:
            alone[part.sites[0]] = part.matrix
        else:
            pairs.setdefault(part.sites[0], []).append(part)
    starts, ends = {}, {}
    for first, parts in pairs.items():
        blocks = [p.matrix.reshape(d, d, d, d).transpose(0, 2, 1, 3).reshape(d * d, d * d) for p in parts]
        u, sizes, vh = np.linalg.svd(np.concatenate(blocks, 1), full_matrices=False)
        rank = int((sizes > RANK * sizes[0]).sum())
        root = np.sqrt(sizes[:rank])
        starts[first] = (u[:, :rank] * root).T.reshape(rank, d, d)
        factors = (root[:, None] * vh[:rank]).reshape(rank, len(parts), d, d)
        ends[first] = {p.sites[1]: factors[:, j] for j, p in enumerate(parts)}
    return alone, starts, ends
