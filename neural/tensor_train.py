"""A vector over all configurations as a product of small tensors, on which local matrices act one after another.

``v(x) = C_1[x_1] C_2[x_2] ... C_n[x_n]`` with matrices ``C_k[x_k]`` of at most ``bond`` rows and columns. A matrix on
two neighbouring sites is applied exactly and the bond between them cut back by a singular value decomposition, the best
cut in the Euclidean norm while the other tensors are isometries (Vidal, Phys. Rev. Lett. 93, 040502 (2004); mixed
states: Zwolak and Vidal, Phys. Rev. Lett. 93, 207205 (2004)).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy

import numpy as np
from scipy.linalg.lapack import dgeqrf, dorgqr

Gate = tuple[tuple[int, ...], np.ndarray]  # sites, and the matrix on them

GRAM = 1e-13  # squares of singular values, of the largest, that the eigenvalues of ``a a^T`` tell from rounding


class TensorTrain:
    """``cores``: one ``(left, d, right)`` a site; all but that at ``centre`` are isometries towards it.

    bond
        largest size between two sites.
    cutoff
        a bond is made smaller while the squares of what is cut stay below this fraction.
    """

    def __init__(self, cores: Sequence[np.ndarray], bond: int, cutoff: float):
        self.cores, self.bond, self.cutoff = list(cores), bond, cutoff
        self.lost = 0.0  # squares of what was cut, each as a fraction, since `forget`
        self.centre = len(self.cores) - 1
        self.move(0)

    @staticmethod
    def product(distribution: np.ndarray, bond: int, cutoff: float) -> TensorTrain:
        """Of a product ``(n_sites, d)``."""
        return TensorTrain([row[None, :, None] for row in distribution], bond, cutoff)

    @staticmethod
    def combination(weights: Sequence[float], products: Sequence[np.ndarray], bond: int, cutoff: float) -> TensorTrain:
        """Of a weighted sum of products, each ``(n_sites, d)``; at least two sites."""
        rows = np.array(products)  # (terms, n_sites, d)
        terms = len(rows)
        cores = [np.einsum("ab,av->avb", np.eye(terms), rows[:, k]) for k in range(rows.shape[1])]
        cores[0] = np.einsum("a,avb->vb", np.array(weights), cores[0])[None]
        cores[-1] = cores[-1].sum(2, keepdims=True)
        return TensorTrain(cores, bond, cutoff)

    @property
    def bonds(self) -> list[int]:
        """Sizes between the sites, ``n_sites - 1`` of them."""
        return [core.shape[2] for core in self.cores[:-1]]

    def move(self, site: int) -> None:
        """Bring the centre to ``site``."""
        while self.centre < site:
            core = self.cores[self.centre]
            q, r = _qr(core.reshape(-1, core.shape[2]))
            self.cores[self.centre] = q.reshape(*core.shape[:2], -1)
            self.cores[self.centre + 1] = _product(r, self.cores[self.centre + 1])
            self.centre += 1
        while self.centre > site:
            core = self.cores[self.centre]
            q, r = _qr(core.reshape(core.shape[0], -1).T)
            self.cores[self.centre] = q.T.reshape(-1, *core.shape[1:])
            self.cores[self.centre - 1] = self.cores[self.centre - 1] @ r.T
            self.centre -= 1

    def apply(self, sites: tuple[int, ...], matrix: np.ndarray) -> None:
        """A matrix ``(d^k, d^k)``, column = from, on one site or two, the first most significant."""
        self.sweep([(sites, matrix)])

    def sweep(self, gates: Iterable[Gate]) -> None:
        """One such matrix after the other. Sites apart are brought side by side by exchanges, the later to the earlier;
        only after the last matrix do all go back."""
        order = list(range(len(self.cores)))  # of the sites as they stand
        for sites, matrix in gates:
            if len(sites) == 1:
                self._alone(order.index(sites[0]), matrix)
                continue
            first, last = sorted(order.index(site) for site in sites)
            for k in range(last - 1, first, -1):
                self._exchange(k, order, left=True)
            self._join(first, matrix if order[first] == sites[0] else turned(matrix, self.cores[0].shape[1]))
        for start in reversed(range(len(order) - 1)):
            for k in range(start, len(order) - 1):
                if order[k] < order[k + 1]:
                    break
                self._exchange(k, order)

    def _alone(self, k: int, matrix: np.ndarray) -> None:
        self.move(k)
        self.cores[k] = np.einsum("ij,ljr->lir", matrix, self.cores[k])

    def _exchange(self, k: int, order: list[int], left: bool = False) -> None:
        """The sites that stand at ``k`` and ``k + 1``."""
        self._split(k, self._pair(k).transpose(0, 2, 1, 3), left)
        order[k], order[k + 1] = order[k + 1], order[k]

    def _join(self, k: int, matrix: np.ndarray) -> None:
        pair = self._pair(k)
        left, d, _, right = pair.shape
        changed = matrix @ pair.transpose(1, 2, 0, 3).reshape(d * d, -1)
        self._split(k, changed.reshape(d, d, left, right).transpose(2, 0, 1, 3))

    def _pair(self, k: int) -> np.ndarray:
        """``(left, d, d, right)`` of sites ``k`` and ``k + 1``, the centre among them."""
        if self.centre < k:
            self.move(k)
        elif self.centre > k + 1:
            self.move(k + 1)
        left, d, _ = self.cores[k].shape
        return _product(self.cores[k].reshape(left * d, -1), self.cores[k + 1]).reshape(left, d, d, -1)

    def _split(self, k: int, pair: np.ndarray, on_left: bool = False) -> None:
        """Back into two tensors; the centre goes to the second, or to the first."""
        left, d, _, right = pair.shape
        a = pair.reshape(left * d, d * right)
        if self.cutoff >= GRAM:  # half the time
            isometry, squares = _gram(a.T if on_left else a)
        else:
            u, sizes, vh = np.linalg.svd(a, full_matrices=False)
            isometry, squares = vh.T if on_left else u, sizes**2
        beyond = np.append(np.cumsum(squares[::-1])[::-1], 0.0) / squares.sum()  # lost if that many are kept
        keep = max(1, min(self.bond, int(np.argmax(beyond <= self.cutoff))))
        self.lost += float(beyond[keep])
        isometry = isometry[:, :keep]
        u, v = (a @ isometry, isometry.T) if on_left else (isometry, isometry.T @ a)
        self.cores[k], self.cores[k + 1] = u.reshape(left, d, keep), v.reshape(keep, d, right)
        self.centre = k if on_left else k + 1

    def at(self, x: np.ndarray) -> float:
        """The entry at the configuration ``x``, ``(n_sites,)``."""
        row = np.ones(1)
        for core, value in zip(self.cores, x):
            row = row @ core[:, value]
        return float(row[0])

    def entries(self, x: np.ndarray) -> np.ndarray:
        """The entries at the configurations ``x``, ``(n, n_sites)``; ``(n,)``."""
        rows = np.ones((len(x), 1))
        for core, values in zip(self.cores, x.T):
            after = np.empty((len(x), core.shape[2]))
            for value in range(core.shape[1]):  # one product for all of a value: a third of the time
                after[values == value] = rows[values == value] @ core[:, value]
            rows = after
        return rows[:, 0]

    def copy(self) -> TensorTrain:
        """With a list of its own; no method changes a tensor in place."""
        return self.like(self.cores, self.centre)

    def like(self, cores: Sequence[np.ndarray], centre: int) -> TensorTrain:
        """Of other tensors, isometries already towards ``centre``, with the same bond and cutoff."""
        other = copy(self)
        other.cores, other.centre, other.lost = list(cores), centre, 0.0
        return other

    def shortened(self, bond: int) -> tuple[TensorTrain, float]:
        """Cut back to at most ``bond`` between two sites, and the squares of what was cut, each as a fraction."""
        if max(self.bonds, default=1) <= bond:
            return self, 0.0
        other = self.copy()
        other.bond = bond
        other._cut()
        return other, other.forget()

    def clear(self, x: np.ndarray) -> None:
        """Make the entry at ``x`` zero, as far as the bonds have room for it."""
        weights, last = [-self.at(x), *[1.0] * (len(x) - 1)], len(x) - 1
        for k, (core, value, weight) in enumerate(zip(self.cores, x, weights)):
            left, d, right = core.shape
            grown = np.zeros((left + (k > 0), d, right + (k < last)))
            grown[:left, :, :right] = core
            grown[-1, value, -1] += weight
            self.cores[k] = grown
        self.centre = last
        self._cut()

    def _cut(self) -> None:
        """Every bond back to what it may hold."""
        self.move(0)
        for k in range(len(self.cores) - 1):
            self._split(k, self._pair(k))

    def forget(self) -> float:
        """What was cut since the last call."""
        lost, self.lost = self.lost, 0.0
        return lost

    @property
    def norm(self) -> float:
        """The Euclidean norm."""
        return float(np.linalg.norm(self.cores[self.centre]))

    def times(self, weights: np.ndarray) -> TensorTrain:
        """Each entry times ``weights[k, x_k]`` of every site ``k``; ``(n_sites, d)``."""
        cores = [core * row[:, None] for core, row in zip(self.cores, weights)]
        return TensorTrain(cores, self.bond, self.cutoff)

    def rights(self) -> list[np.ndarray]:
        """``R_k``, ``(size of bond k,)``: the sum over all values of the sites from ``k`` on; ``k = 0..n_sites``."""
        out = [np.ones(1)]
        for core in reversed(self.cores):
            out.append(core.sum(1) @ out[-1])
        return out[::-1]

    def total(self, weights: np.ndarray) -> float:
        """The sum over all configurations of the entry times ``weights[k, x_k]`` of every site ``k``."""
        row = np.ones(1)
        for core, weight in zip(reversed(self.cores), weights[::-1]):
            row = (core @ row) @ weight
        return float(row[0])

    def divide(self, number: float) -> None:
        """Every entry by ``number``."""
        self.cores[self.centre] = self.cores[self.centre] / number

    def marginals(self) -> np.ndarray:
        """The distribution of each site, ``(n_sites, d)``, of a train that is normalised."""
        rights, left, out = self.rights(), np.ones(1), []
        for k, core in enumerate(self.cores):
            out.append(np.tensordot(left, core, 1) @ rights[k + 1])
            left = left @ core.sum(1)
        return np.array(out)


def _gram(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors and squares of the singular values, the largest first, good to `GRAM` of that."""
    squares, vectors = np.linalg.eigh(a @ a.T)
    return vectors[:, ::-1], np.maximum(squares[::-1], 0.0)


def turned(matrix: np.ndarray, d: int) -> np.ndarray:
    """A matrix on two sites with the sites exchanged."""
    return matrix.reshape(d, d, d, d).transpose(1, 0, 3, 2).reshape(d * d, d * d)


def _product(matrix: np.ndarray, core: np.ndarray) -> np.ndarray:
    """``matrix`` on the left of a core ``(left, d, right)``."""
    return (matrix @ core.reshape(core.shape[0], -1)).reshape(-1, *core.shape[1:])


def _qr(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `numpy.linalg.qr`, which takes three times as long for small matrices."""
    k = min(a.shape)
    packed, tau, _, _ = dgeqrf(a)
    return dorgqr(packed[:, :k], tau)[0], np.triu(packed[:k])
