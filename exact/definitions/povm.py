"""Informationally complete measurements (POVMs): quantum states of spins as probabilities of their outcomes.

Outcome ``a`` of one spin has probability ``p(a) = Tr(M_a rho)``. With ``T_ab = Tr(M_a M_b)`` the state comes back as
``rho = sum_b p(b) N_b``, ``N_b = sum_c T^-1_bc M_c`` (Carrasquilla et al., Nat. Mach. Intell. 1, 155 (2019)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vanbench.exact.definitions.lindblad import Lindblad, as_matrix
from vanbench.exact.definitions.pauli import I2, PAULI
from vanbench.exact.definitions.tolerance import ROUNDING, close
from vanbench.exact.errors import InputError, unknown

CANCELLED = 1e-15  # probabilities below this are what cancellation in the products leaves


@dataclass(frozen=True, eq=False)
class Povm:
    """Four elements ``M_a`` of one spin, shape ``(4, 2, 2)``, in the order of the outcomes.

    Raises ``InputError`` unless they are positive, add up to the identity and span all 2 x 2 matrices.
    """

    name: str
    elements: np.ndarray

    def __post_init__(self) -> None:
        m = as_matrix(self.elements, f"POVM {self.name!r}")
        object.__setattr__(self, "elements", m)
        if m.shape != (4, 2, 2):
            raise InputError(f"POVM {self.name!r}: give four 2 x 2 elements (minimal and complete), got {m.shape}.")
        if not positive(m):
            raise InputError(f"POVM {self.name!r}: every element must be Hermitian with no negative eigenvalue.")
        if not close(m.sum(0), np.eye(2)):
            raise InputError(f"POVM {self.name!r}: the elements must add up to the identity.")
        rank = np.linalg.matrix_rank(m.reshape(4, 4), tol=1e-9)
        if rank < 4:
            raise InputError(
                f"POVM {self.name!r} is not informationally complete: its elements span {rank} of 4 dimensions."
            )

    @property
    def overlap(self) -> np.ndarray:
        """``T_ab = Tr(M_a M_b)``, (4, 4)."""
        return np.einsum("aij,bji->ab", self.elements, self.elements).real

    @property
    def dual(self) -> np.ndarray:
        """``N_b = sum_c T^-1_bc M_c``, (4, 2, 2): ``Tr(M_a N_b) = delta_ab``."""
        return np.einsum("bc,cij->bij", np.linalg.inv(self.overlap), self.elements)

    def estimator(self, operator: np.ndarray) -> np.ndarray:
        """``q(a) = Tr(O N_a)``, (4,): ``<O> = sum_a p(a) q(a)`` for a Hermitian one-spin ``O``."""
        return np.einsum("ij,aji->a", operator, self.dual).real

    @property
    def estimators(self) -> dict[str, np.ndarray]:
        """``{"sigma_x": (4,), "sigma_y": ..., "sigma_z": ...}``."""
        return {f"sigma_{a}": self.estimator(matrix) for a, matrix in PAULI.items()}

    def probabilities(self, states: np.ndarray) -> np.ndarray:
        """Outcome probabilities ``(..., 4)`` of one-spin states ``(..., 2, 2)``."""
        p = np.einsum("aij,...ji->...a", self.elements, states).real
        return np.where(np.abs(p) < CANCELLED, 0.0, p)

    def distribution(self, rho: np.ndarray) -> np.ndarray:
        """``p(a) = Tr(M_a1 x ... x M_aN rho)``, ``(4**N,)``, of a density matrix ``(2**N, 2**N)``."""
        return site_by_site(self.elements.transpose(0, 2, 1).reshape(4, 4), _paired(rho)).real

    def density_matrix(self, p: np.ndarray) -> np.ndarray:
        """The density matrix ``(2**N, 2**N)`` of a distribution ``(4**N,)``."""
        return _unpaired(site_by_site(self.dual.reshape(4, 4).T, p))


def tetrahedral() -> Povm:
    """``M_a = (1 + v_a . sigma) / 4`` on a regular tetrahedron; outcome 0 along +z, outcome 1 in the xz plane."""
    r = np.sqrt(2.0) / 3
    corners = [(0, 0, 1), (2 * r, 0, -1 / 3), (-r, np.sqrt(2 / 3), -1 / 3), (-r, -np.sqrt(2 / 3), -1 / 3)]
    return Povm("tetrahedral", np.array([(I2 + sum(c * PAULI[a] for c, a in zip(v, "xyz"))) / 4 for v in corners]))


def four_pauli() -> Povm:
    """4-Pauli: the projectors on +z, +x, +y over 3, in this order, and the rest."""
    three = [(I2 + PAULI[a]) / 6 for a in "zxy"]
    return Povm("4-pauli", np.array([*three, I2 - sum(three)]))


POVMS = {"tetrahedral": tetrahedral, "4-pauli": four_pauli}


def povm_by_name(name: str) -> Povm:
    if name not in POVMS:
        raise unknown("POVM", name, list(POVMS))
    return POVMS[name]()


@dataclass(frozen=True, eq=False)
class OpenQuantum:
    """Where a system in a POVM basis comes from: the Lindblad model, the POVM and the one-spin states of the start."""

    model: Lindblad
    povm: Povm
    states: np.ndarray


def positive(stack: np.ndarray) -> bool:
    """Whether all matrices of the stack are finite, Hermitian and without negative eigenvalue, up to rounding."""
    if not np.isfinite(stack).all() or not close(stack, stack.conj().swapaxes(1, 2)):
        return False
    return bool(np.linalg.eigvalsh(stack).min() >= -ROUNDING * max(1.0, np.abs(stack).max()))


def _paired(rho: np.ndarray) -> np.ndarray:
    """``(2**N, 2**N)`` -> ``(4**N,)`` with row and column index of each spin side by side."""
    n = rho.shape[0].bit_length() - 1
    axes = [axis for i in range(n) for axis in (i, n + i)]
    return rho.reshape((2,) * (2 * n)).transpose(axes).reshape(-1)


def _unpaired(v: np.ndarray) -> np.ndarray:
    n = (v.size.bit_length() - 1) // 2
    axes: Sequence[int] = [*range(0, 2 * n, 2), *range(1, 2 * n, 2)]
    return v.reshape((2,) * (2 * n)).transpose(axes).reshape(1 << n, 1 << n)


def site_by_site(matrix: np.ndarray, v: np.ndarray) -> np.ndarray:
    """``matrix (4, 4)`` on every site of ``v (4**N,)``."""
    n = (v.size.bit_length() - 1) // 2
    for _ in range(n):  # the leading site is transformed and moved to the end: after n rounds the order is back
        v = (matrix @ v.reshape(4, -1)).T.reshape(-1)
    return v
