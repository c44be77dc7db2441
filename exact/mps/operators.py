"""Sums of local matrices, and their elements between two matrix product states, exactly and in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.local import Local, merged
from vanbench.exact.matrixfree.symmetrise import TOLERANCE
from vanbench.exact.mps.state import MatrixProductState


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


class LocalOperatorSum:
    """``A = sum_a A_a`` of matrices ``(d^k, d^k)``, column = from, on one site or two of ``n_sites``.

    parts
        one matrix for each set of sites, sites in rising order.

    Raises ``InputError`` where a matrix acts on more than two sites.
    """

    def __init__(self, parts: Iterable[Local], n_sites: int, d: int):
        self.parts, self.n_sites, self.d = merged(parts, d), n_sites, d
        if any(len(part.sites) > 2 for part in self.parts):
            raise InputError("matrix product states need terms on one site or two.")

    @staticmethod
    def tilted(system: System, s: float = 0.0, observable: str = "activity") -> LocalOperatorSum:
        """``W_s`` of a system on all its sites, the pinned ones included."""
        parts = (Local(term.sites, term.tilted(observable, s)) for term in system.terms)
        return LocalOperatorSum(parts, system.n_sites, system.local_dim)

    def __mul__(self, number: float) -> LocalOperatorSum:
        parts = (Local(part.sites, number * part.matrix) for part in self.parts)
        return LocalOperatorSum(parts, self.n_sites, self.d)

    def similar(self, scale: np.ndarray) -> LocalOperatorSum:
        """``D^-1 A D`` with the diagonal product ``D(x) = prod_k scale[k, x_k]``; ``scale`` ``(n_sites, d)``."""
        parts = []
        for part in self.parts:
            weights = np.ones(1)
            for site in part.sites:
                weights = np.kron(weights, scale[site])
            parts.append(Local(part.sites, part.matrix * weights / weights[:, None]))
        return LocalOperatorSum(parts, self.n_sites, self.d)

    def is_symmetric(self) -> bool:
        """Whether each part is, to `TOLERANCE` of its largest element."""
        apart = ((np.abs(p.matrix - p.matrix.T).max(), np.abs(p.matrix).max()) for p in self.parts)
        return all(difference <= TOLERANCE * largest for difference, largest in apart)

    def between(self, bra: MatrixProductState, ket: MatrixProductState) -> tuple[float, float]:
        """``<bra|ket>`` and ``<bra|A|ket>``."""
        overlap, energy = np.ones((1, 1)), np.zeros((1, 1))
        channels = np.zeros((0, 1, 1))
        for a, b, site in zip(bra.tensors, ket.tensors, self._schedule):
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

    @cached_property
    def _schedule(self) -> list[_Site]:
        d, alone = self.d, np.zeros((self.n_sites, self.d, self.d))
        last: dict[tuple[int, int, int], int] = {}  # channel (site, i, j) -> where its last pair closes
        closing: list[dict[tuple[int, int, int], np.ndarray]] = [{} for _ in alone]
        for part in self.parts:
            if len(part.sites) == 1:
                alone[part.sites[0]] = part.matrix
                continue
            first, second = part.sites
            matrix = part.matrix.reshape((d,) * 4)
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


def _times(left: np.ndarray, tensor: np.ndarray) -> np.ndarray:
    """``(..., rows, d, right)`` of ``(..., rows, left)`` and a tensor ``(left, d, right)``."""
    return (left @ tensor.reshape(tensor.shape[0], -1)).reshape(*left.shape[:-1], *tensor.shape[1:])
