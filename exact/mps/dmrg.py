"""The largest eigenvalue of a symmetric sum of local matrices, by two-site DMRG.

White, Phys. Rev. Lett. 69, 2863 (1992). Sweeps begin with a mixer (White, Phys. Rev. B 72, 180403(R) (2005)): the
reduced density matrix of a block gets a little of what the operator leads to, or a state of one phase would never see
the other. Bonds that are held down for it are let go after it: the quotient only grows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.mps.state import MatrixProductState

MIXED = (1e-2, 1e-3, 1e-4, 1e-5)  # weight of the mixer in the first sweeps at a bond
KRYLOV = 12  # vectors of a local problem
SWEEPS = 40  # at a bond, at most
STILL = 1e-16  # relative error of a local problem once the mixer is off: vectors are off by its square root
NEGLIGIBLE = 1e-15  # squares that a bond does without


class DMRG:
    """``state`` becomes the leading eigenvector of the operator of ``tensors`` (see `mpo`), as far as bonds allow.

    above
        states that it is kept orthogonal to, of norm one, each by a penalty.
    """

    def __init__(
        self,
        tensors: Sequence[np.ndarray],
        start: MatrixProductState,
        above: Sequence[MatrixProductState] = (),
        penalty: float = 0.0,
    ):
        self.mpo, self.n = list(tensors), len(tensors)
        start = start.copy()
        start.move_centre(0)
        self.tensors = [tensor / (np.linalg.norm(tensor) if k == 0 else 1.0) for k, tensor in enumerate(start.tensors)]
        self.above, self.penalty = above, penalty
        self.value, self.bond, self.mixer = -np.inf, 1, 0.0
        self.left: list[np.ndarray] = [np.ones((1, 1, 1))] * self.n  # (bra, channel, ket)
        self.right: list[np.ndarray] = [np.ones((1, 1, 1))] * self.n  # (channel, ket, bra)
        self.lefts = [[np.ones((1, 1))] * self.n for _ in above]  # (state, other)
        self.rights = [[np.ones((1, 1))] * self.n for _ in above]
        for k in range(self.n - 1, 1, -1):
            self._pass_right(k)

    def run(self, bond: int, tolerance: float) -> float:
        """Sweeps at ``bond`` until the quotient changes by less than ``tolerance``; the quotient."""
        self.bond = bond
        for sweep in range(SWEEPS):
            self.mixer, before = (MIXED[sweep] if sweep < len(MIXED) else 0.0), self.value
            self.value = self._sweep(tolerance if self.mixer else STILL)
            if sweep > len(MIXED) and abs(self.value - before) <= tolerance:
                break
        return self.value

    def state(self, bond: int) -> MatrixProductState:
        out = MatrixProductState(self.tensors, bond, 0.0)
        out.divide(out.norm)
        return out

    def _sweep(self, tolerance: float) -> float:
        value = self.value
        for k in range(self.n - 1):
            value = self._update(k, True, tolerance)
            self._pass_left(k)
        for k in range(self.n - 2, -1, -1):
            value = self._update(k, False, tolerance)
            self._pass_right(k + 1)
        return value

    def _update(self, k: int, rightwards: bool, tolerance: float) -> float:
        a, b = self.tensors[k], self.tensors[k + 1]
        (left, d, _), right = a.shape, b.shape[2]
        before, after = self._with_left(k), self._with_right(k + 1)
        channels = after.shape[0]
        behind = after.reshape(-1, d * right)
        directions = [self._direction(j, k) for j in range(len(self.above))]

        def apply(v: np.ndarray) -> np.ndarray:
            theta = v.reshape(left * d, d * right)
            out = ((before @ theta).reshape(left * d, -1) @ behind).ravel()
            for other in directions:
                out -= self.penalty * (other @ v) * other
            return out

        start = (a.reshape(left * d, -1) @ b.reshape(-1, d * right)).ravel()
        value, vector = leading(apply, start, tolerance)
        theta = vector.reshape(left * d, d * right)
        if rightwards:
            ahead = (before @ theta).reshape(left * d, -1) if self.mixer else None
        else:
            ahead = np.matmul(theta, after.reshape(channels, d * right, -1)) if self.mixer else None
            ahead = None if ahead is None else ahead.transpose(2, 0, 1).reshape(d * right, -1)
        isometry = self._isometry(theta if rightwards else theta.T, ahead)
        rest = isometry.T @ theta if rightwards else theta @ isometry
        rest /= np.linalg.norm(rest)
        if rightwards:
            self.tensors[k], self.tensors[k + 1] = isometry.reshape(left, d, -1), rest.reshape(-1, d, right)
        else:
            self.tensors[k], self.tensors[k + 1] = rest.reshape(left, d, -1), isometry.T.reshape(-1, d, right)
        return value

    def _isometry(self, theta: np.ndarray, ahead: np.ndarray | None) -> np.ndarray:
        """Leading eigenvectors of the reduced density matrix, with the mixer's share of ``ahead``."""
        rho = theta @ theta.T
        if ahead is not None:
            mixed = ahead @ ahead.T
            rho += self.mixer / np.trace(mixed) * mixed
        weights, vectors = np.linalg.eigh(rho)
        keep = max(1, min(self.bond, int((weights > NEGLIGIBLE * weights[-1]).sum())))
        return vectors[:, : -keep - 1 : -1]

    def _with_left(self, k: int) -> np.ndarray:
        """``((left, to, channel), (left, from))`` of all sites up to ``k``."""
        left = self.left[k]
        both = np.tensordot(left, self.mpo[k], ((1,), (0,)))  # bra, ket, channel, to, from
        bra, _, channel, to, _ = both.shape
        return both.transpose(0, 3, 2, 1, 4).reshape(bra * to * channel, -1)

    def _with_right(self, k: int) -> np.ndarray:
        """``(channel, (from, ket), (to, bra))`` of all sites from ``k`` on."""
        right = self.right[k]
        both = np.tensordot(self.mpo[k], right, ((1,), (0,)))  # channel, to, from, ket, bra
        channel, to, back, ket, bra = both.shape
        return both.transpose(0, 2, 3, 1, 4).reshape(channel, back * ket, to * bra)

    def _pass_left(self, k: int) -> None:
        a = self.tensors[k].reshape(-1, self.tensors[k].shape[2])
        half = (self._with_left(k) @ a).reshape(len(a), -1)  # (left, to), (channel, ket)
        self.left[k + 1] = (a.T @ half).reshape(a.shape[1], -1, a.shape[1])
        for lefts, other in zip(self.lefts, self.above):
            lefts[k + 1] = np.einsum("lor,lm,mos->rs", self.tensors[k], lefts[k], other.tensors[k], optimize=True)

    def _pass_right(self, k: int) -> None:
        b = self.tensors[k].reshape(self.tensors[k].shape[0], -1)
        self.right[k - 1] = np.matmul(np.matmul(b, self._with_right(k)), b.T)
        for rights, other in zip(self.rights, self.above):
            rights[k - 1] = np.einsum("lor,rs,mos->lm", self.tensors[k], rights[k], other.tensors[k], optimize=True)

    def _direction(self, j: int, k: int) -> np.ndarray:
        """The ``j``-th state of ``above`` in the basis of sites ``k`` and ``k + 1``."""
        pair = np.tensordot(self.above[j].tensors[k], self.above[j].tensors[k + 1], 1)
        return np.einsum("lm,mopr,sr->lops", self.lefts[j][k], pair, self.rights[j][k + 1], optimize=True).ravel()


def leading(apply, start: np.ndarray, tolerance: float) -> tuple[float, np.ndarray]:  # type: ignore[no-untyped-def]
    """The largest eigenvalue and its vector of a symmetric operator, by Lanczos from a vector near it."""
    basis = [start / np.linalg.norm(start)]
    diagonal: list[float] = []
    beside: list[float] = []
    value, mixture = -np.inf, np.ones(1)
    for step in range(min(KRYLOV, len(start))):
        ahead = apply(basis[-1])
        diagonal.append(float(basis[-1] @ ahead))
        block = np.array(basis)
        for _ in range(2):  # twice is enough
            ahead = ahead - block.T @ (block @ ahead)
        size = float(np.linalg.norm(ahead))
        matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, vectors = np.linalg.eigh(matrix)
        value, mixture = float(values[-1]), vectors[:, -1]
        residual = size * abs(mixture[-1])
        # the quotient's error is of second order in the residual
        if residual**2 <= 0.1 * tolerance * max(abs(value), 1e-3) or size <= 1e-14 * max(1.0, abs(value)):
            break
        if step + 1 < min(KRYLOV, len(start)):
            basis.append(ahead / size)
            beside.append(size)
    return value, np.array(basis).T @ mixture
