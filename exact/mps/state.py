"""A vector over all configurations as a product of small tensors, on which local matrices act one after another.

``v(x) = C_1[x_1] C_2[x_2] ... C_n[x_n]`` with matrices ``C_k[x_k]`` of at most ``max_bond`` rows and columns. A matrix
on two neighbouring sites is applied exactly and the bond between them cut back by a singular value decomposition, the
best cut in the Euclidean norm while the other tensors are isometries (Vidal, Phys. Rev. Lett. 93, 040502 (2004); mixed
states: Zwolak and Vidal, Phys. Rev. Lett. 93, 207205 (2004)).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy

import numpy as np
from scipy.linalg.lapack import dgeqrf, dorgqr

from vanbench.exact.matrixfree.local import Local

GRAM = 1e-13  # squares of singular values, of the largest, that the eigenvalues of ``a a^T`` tell from rounding


class MatrixProductState:
    """``tensors``: one ``(left, d, right)`` a site; all but that at ``centre`` are isometries towards it.

    max_bond
        largest size between two sites.
    cutoff
        a bond is made smaller while the squares of the singular values that are cut stay below this fraction.

    ``discarded`` adds up the squares that were cut, each as a fraction of the vector's.
    """

    def __init__(self, tensors: Sequence[np.ndarray], max_bond: int, cutoff: float):
        self.tensors, self.max_bond, self.cutoff = list(tensors), max_bond, cutoff
        self.discarded = 0.0
        self.centre = len(self.tensors) - 1
        self.move_centre(0)

    @staticmethod
    def product(rows: np.ndarray, max_bond: int, cutoff: float) -> MatrixProductState:
        """Of a product ``(n_sites, d)``."""
        return MatrixProductState([row[None, :, None] for row in rows], max_bond, cutoff)

    @staticmethod
    def sum_of_products(
        weights: Sequence[float], products: Sequence[np.ndarray], max_bond: int, cutoff: float
    ) -> MatrixProductState:
        """Of a weighted sum of products, each ``(n_sites, d)``; at least two sites."""
        rows = np.array(products)  # (terms, n_sites, d)
        terms = len(rows)
        tensors = [np.einsum("ab,av->avb", np.eye(terms), rows[:, k]) for k in range(rows.shape[1])]
        tensors[0] = np.einsum("a,avb->vb", np.array(weights), tensors[0])[None]
        tensors[-1] = tensors[-1].sum(2, keepdims=True)
        return MatrixProductState(tensors, max_bond, cutoff)

    @property
    def bonds(self) -> list[int]:
        """Sizes between the sites, ``n_sites - 1`` of them."""
        return [tensor.shape[2] for tensor in self.tensors[:-1]]

    def move_centre(self, site: int) -> None:
        """Bring the centre to ``site``."""
        while self.centre < site:
            tensor = self.tensors[self.centre]
            q, r = _qr(tensor.reshape(-1, tensor.shape[2]))
            self.tensors[self.centre] = q.reshape(*tensor.shape[:2], -1)
            self.tensors[self.centre + 1] = _product(r, self.tensors[self.centre + 1])
            self.centre += 1
        while self.centre > site:
            tensor = self.tensors[self.centre]
            q, r = _qr(tensor.reshape(tensor.shape[0], -1).T)
            self.tensors[self.centre] = q.T.reshape(-1, *tensor.shape[1:])
            self.tensors[self.centre - 1] = self.tensors[self.centre - 1] @ r.T
            self.centre -= 1

    def apply(self, gates: Iterable[Local]) -> None:
        """Matrices ``(d^k, d^k)``, column = from, on one site or two, one after the other.

        Sites that are not neighbours are brought side by side by exchanges, the later to the earlier; only after the
        last matrix do all go back.
        """
        order = list(range(len(self.tensors)))  # of the sites as they stand
        for gate in gates:
            if len(gate.sites) == 1:
                self._apply_one(order.index(gate.sites[0]), gate.matrix)
                continue
            first, last = sorted(order.index(site) for site in gate.sites)
            for k in range(last - 1, first, -1):
                self._exchange(k, order, left=True)
            straight = order[first] == gate.sites[0]
            self._apply_two(first, gate.matrix if straight else _turned(gate.matrix, self.tensors[0].shape[1]))
        for start in reversed(range(len(order) - 1)):
            for k in range(start, len(order) - 1):
                if order[k] < order[k + 1]:
                    break
                self._exchange(k, order)

    def _apply_one(self, k: int, matrix: np.ndarray) -> None:
        self.move_centre(k)
        self.tensors[k] = np.einsum("ij,ljr->lir", matrix, self.tensors[k])

    def _exchange(self, k: int, order: list[int], left: bool = False) -> None:
        """The sites that stand at ``k`` and ``k + 1``."""
        self._split(k, self._pair(k).transpose(0, 2, 1, 3), left)
        order[k], order[k + 1] = order[k + 1], order[k]

    def _apply_two(self, k: int, matrix: np.ndarray) -> None:
        pair = self._pair(k)
        left, d, _, right = pair.shape
        changed = matrix @ pair.transpose(1, 2, 0, 3).reshape(d * d, -1)
        self._split(k, changed.reshape(d, d, left, right).transpose(2, 0, 1, 3))

    def _pair(self, k: int) -> np.ndarray:
        """``(left, d, d, right)`` of sites ``k`` and ``k + 1``, the centre among them."""
        if self.centre < k:
            self.move_centre(k)
        elif self.centre > k + 1:
            self.move_centre(k + 1)
        left, d, _ = self.tensors[k].shape
        return _product(self.tensors[k].reshape(left * d, -1), self.tensors[k + 1]).reshape(left, d, d, -1)

    def _split(self, k: int, pair: np.ndarray, on_left: bool = False) -> None:
        """Back into two tensors; the centre goes to the second, or to the first."""
        left, d, _, right = pair.shape
        a = pair.reshape(left * d, d * right)
        if self.cutoff >= GRAM:  # half the time
            isometry, squares = _gram(a.T if on_left else a)
        else:
            u, sizes, vh = np.linalg.svd(a, full_matrices=False)
            isometry, squares = vh.T if on_left else u, sizes**2
        beyond = np.append(np.cumsum(squares[::-1])[::-1], 0.0) / squares.sum()  # discarded if that many are kept
        keep = max(1, min(self.max_bond, int(np.argmax(beyond <= self.cutoff))))
        self.discarded += float(beyond[keep])
        isometry = isometry[:, :keep]
        u, v = (a @ isometry, isometry.T) if on_left else (isometry, isometry.T @ a)
        self.tensors[k], self.tensors[k + 1] = u.reshape(left, d, keep), v.reshape(keep, d, right)
        self.centre = k if on_left else k + 1

    def amplitudes(self, x: np.ndarray) -> np.ndarray:
        """The vector's entries at the configurations ``x``, ``(n, n_sites)``; ``(n,)``."""
        rows = np.ones((len(x), 1))
        for tensor, values in zip(self.tensors, x.T):
            after = np.empty((len(x), tensor.shape[2]))
            for value in range(tensor.shape[1]):  # one product for all of a value: a third of the time
                after[values == value] = rows[values == value] @ tensor[:, value]
            rows = after
        return rows[:, 0]

    def copy(self) -> MatrixProductState:
        """With a list of its own; no method changes a tensor in place."""
        return self.like(self.tensors, self.centre)

    def like(self, tensors: Sequence[np.ndarray], centre: int) -> MatrixProductState:
        """Of other tensors, isometries already towards ``centre``, with the same largest bond and cutoff."""
        other = copy(self)
        other.tensors, other.centre, other.discarded = list(tensors), centre, 0.0
        return other

    def compressed(self, max_bond: int) -> MatrixProductState:
        """Cut back to at most ``max_bond`` between two sites: itself where no bond is larger."""
        if max(self.bonds, default=1) <= max_bond:
            return self
        other = self.copy()
        other.max_bond = max_bond
        other._compress()
        return other

    def remove(self, x: np.ndarray) -> None:
        """Make the entry at the configuration ``x``, ``(n_sites,)``, zero, as far as the bonds have room for it."""
        weights, last = [-float(self.amplitudes(x[None])[0]), *[1.0] * (len(x) - 1)], len(x) - 1
        for k, (tensor, value, weight) in enumerate(zip(self.tensors, x, weights)):
            left, d, right = tensor.shape
            grown = np.zeros((left + (k > 0), d, right + (k < last)))
            grown[:left, :, :right] = tensor
            grown[-1, value, -1] += weight
            self.tensors[k] = grown
        self.centre = last
        self._compress()

    def _compress(self) -> None:
        """Every bond back to what it may hold."""
        self.move_centre(0)
        for k in range(len(self.tensors) - 1):
            self._split(k, self._pair(k))

    @property
    def norm(self) -> float:
        """The Euclidean norm."""
        return float(np.linalg.norm(self.tensors[self.centre]))

    def multiplied(self, weights: np.ndarray) -> MatrixProductState:
        """Each entry times ``weights[k, x_k]`` of every site ``k``; ``(n_sites, d)``."""
        tensors = [tensor * row[:, None] for tensor, row in zip(self.tensors, weights)]
        return MatrixProductState(tensors, self.max_bond, self.cutoff)

    def right_sums(self) -> list[np.ndarray]:
        """``R_k``, ``(size of bond k,)``: the sum over all values of the sites from ``k`` on; ``k = 0..n_sites``."""
        out = [np.ones(1)]
        for tensor in reversed(self.tensors):
            out.append(tensor.sum(1) @ out[-1])
        return out[::-1]

    def total(self, weights: np.ndarray) -> float:
        """The sum over all configurations of the entry times ``weights[k, x_k]`` of every site ``k``."""
        row = np.ones(1)
        for tensor, weight in zip(reversed(self.tensors), weights[::-1]):
            row = (tensor @ row) @ weight
        return float(row[0])

    def divide(self, number: float) -> None:
        """Every entry by ``number``."""
        self.tensors[self.centre] = self.tensors[self.centre] / number

    def marginals(self) -> np.ndarray:
        """The distribution of each site, ``(n_sites, d)``, of a state whose total is 1."""
        rights, left, out = self.right_sums(), np.ones(1), []
        for k, tensor in enumerate(self.tensors):
            out.append(np.tensordot(left, tensor, 1) @ rights[k + 1])
            left = left @ tensor.sum(1)
        return np.array(out)


def _gram(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors and squares of the singular values, the largest first, good to `GRAM` of that."""
    squares, vectors = np.linalg.eigh(a @ a.T)
    return vectors[:, ::-1], np.maximum(squares[::-1], 0.0)


def _turned(matrix: np.ndarray, d: int) -> np.ndarray:
    """A matrix on two sites with the sites exchanged."""
    return matrix.reshape(d, d, d, d).transpose(1, 0, 3, 2).reshape(d * d, d * d)


def _product(matrix: np.ndarray, tensor: np.ndarray) -> np.ndarray:
    """``matrix`` on the left of a tensor ``(left, d, right)``."""
    return (matrix @ tensor.reshape(tensor.shape[0], -1)).reshape(-1, *tensor.shape[1:])


def _qr(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `numpy.linalg.qr`, which takes three times as long for small matrices."""
    k = min(a.shape)
    packed, tau, _, _ = dgeqrf(a)
    return dorgqr(packed[:, :k], tau)[0], np.triu(packed[:k])
