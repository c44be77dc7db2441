"""Matrix elements of a sum of local matrices between two tensor trains, exactly and in one pass over the sites."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vanbench.neural.tensor_train import Gate, TensorTrain, turned


@dataclass
class _Site:
    """What happens to the channels, the pairs begun on an earlier site, on the way past a site.

    A channel is a site and a unit matrix ``e_i e_j^T`` on it, which the later sites of its pairs share.
    """

    alone: np.ndarray  # (d, d)
    ends: list[int]  # channels that a pair closes here, among those that are open
    closing: np.ndarray  # (len(ends), d, d)
    keep: list[int]  # channels that go on
    starts: list[tuple[int, int]]  # unit matrices that begin here, behind those kept


class LocalSum:
    """``H = sum_a h_a`` of matrices ``(d^k, d^k)``, column = from, on one site or two."""

    def __init__(self, gates: Iterable[Gate], n_sites: int, d: int):
        alone = np.zeros((n_sites, d, d))
        pairs: dict[tuple[int, int], np.ndarray] = {}
        for sites, matrix in gates:
            if len(sites) == 1:
                alone[sites[0]] += matrix
                continue
            pair = (sites[0], sites[1])
            if pair[0] > pair[1]:
                pair, matrix = (pair[1], pair[0]), turned(matrix, d)
            pairs[pair] = pairs.get(pair, 0.0) + matrix.reshape((d,) * 4)
        self.sites = _scheduled(alone, pairs, d)

    def between(self, bra: TensorTrain, ket: TensorTrain) -> tuple[float, float]:
        """``<bra|ket>`` and ``<bra|H|ket>``."""
        overlap, energy = np.ones((1, 1)), np.zeros((1, 1))
        channels = np.zeros((0, 1, 1))
        for a, b, site in zip(bra.cores, ket.cores, self.sites):
            onto, flat = a.reshape(-1, a.shape[2]).T, (a.shape[0] * a.shape[1], b.shape[2])
            plain, passed = _times(overlap, b), _times(channels, b)
            closed = _times(energy, b) + np.einsum("ij,ljr->lir", site.alone, plain)
            if site.ends:
                closed += np.einsum("cij,cljr->lir", site.closing, passed[site.ends])
            kept = onto @ passed[site.keep].reshape(-1, *flat)
            started = [a[:, i].T @ plain[:, j] for i, j in site.starts]
            energy, overlap = (onto @ part.reshape(flat) for part in (closed, plain))
            channels = np.concatenate([kept, np.array(started)]) if started else kept
        return float(overlap[0, 0]), float(energy[0, 0])


def _scheduled(alone: np.ndarray, pairs: dict[tuple[int, int], np.ndarray], d: int) -> list[_Site]:
    last: dict[tuple[int, int, int], int] = {}  # channel (site, i, j) -> where its last pair closes
    closing: list[dict[tuple[int, int, int], np.ndarray]] = [{} for _ in alone]
    for (first, second), matrix in pairs.items():
        for i, j in np.ndindex(d, d):
            if matrix[i, :, j].any():
                channel = (first, i, j)
                closing[second][channel] = matrix[i, :, j]
                last[channel] = max(last.get(channel, 0), second)
    out: list[_Site] = []
    opened: list[tuple[int, int, int]] = []
    for k, matrix in enumerate(alone):
        ends = [c for c in opened if c in closing[k]]
        keep = [c for c in opened if last[c] > k]
        starts = [c for c in last if c[0] == k]
        matrices = np.array([closing[k][c] for c in ends]).reshape(-1, d, d)
        places = [[opened.index(c) for c in some] for some in (ends, keep)]
        out.append(_Site(matrix, places[0], matrices, places[1], [(i, j) for _, i, j in starts]))
        opened = keep + starts
    return out


def _times(left: np.ndarray, core: np.ndarray) -> np.ndarray:
    """``(..., rows, d, right)`` of ``(..., rows, left)`` and a core ``(left, d, right)``."""
    return (left @ core.reshape(core.shape[0], -1)).reshape(*left.shape[:-1], *core.shape[1:])
