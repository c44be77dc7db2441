"""Pauli matrices, and local operators on the Hilbert space of ``n`` spins.

Index 0 of a spin is up; the first site is the most significant (QuTiP's order of a tensor product).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp

I2 = np.eye(2, dtype=complex)
X = np.array([[0, 1], [1, 0]], dtype=complex)
Y = np.array([[0, -1j], [1j, 0]], dtype=complex)
Z = np.array([[1, 0], [0, -1]], dtype=complex)
MINUS = (X - 1j * Y) / 2  # lowers: up (index 0) -> down (index 1)
PAULI = {"x": X, "y": Y, "z": Z}


def embed(sites: tuple[int, ...], matrix: np.ndarray, n: int) -> sp.csr_array:
    """The operator ``matrix`` ``(2**k, 2**k)`` on ``sites`` (first most significant), on all ``n`` spins, CSR."""
    import scipy.sparse as sp

    k = len(sites)
    bits = [n - 1 - site for site in sites]
    everywhere, codes = np.arange(1 << n), np.arange(1 << k)
    rest = everywhere[everywhere & sum(1 << b for b in bits) == 0]
    places = np.zeros(1 << k, dtype=np.int64)
    for i, b in enumerate(bits):
        places |= ((codes >> (k - 1 - i)) & 1) << b
    rows, cols = np.nonzero(matrix)
    i = (rest[None, :] + places[rows][:, None]).ravel()
    j = (rest[None, :] + places[cols][:, None]).ravel()
    values = np.repeat(matrix[rows, cols].astype(complex), len(rest))
    return sp.csr_array((values, (i, j)), shape=(1 << n, 1 << n))


def total(parts: Iterable[tuple[tuple[int, ...], np.ndarray]], n: int) -> sp.csr_array:
    """The sum of embedded local operators."""
    import scipy.sparse as sp

    out = sp.csr_array((1 << n, 1 << n), dtype=complex)
    for sites, matrix in parts:
        out = out + embed(sites, matrix, n)
    out.sum_duplicates()
    return sp.csr_array(out)


def pauli_strings(matrix: np.ndarray) -> dict[str, complex]:
    """``matrix = sum_P c_P P`` over strings such as ``"xz"`` (``i`` for the identity), the zero ones left out."""
    k = matrix.shape[0].bit_length() - 1
    coefficients = {}
    for letters in itertools.product("ixyz", repeat=k):
        product = np.ones((1, 1), dtype=complex)
        for letter in letters:
            product = np.kron(product, PAULI.get(letter, I2))
        c = complex(np.vdot(product, matrix)) / 2**k
        if abs(c) > 1e-15 * np.abs(matrix).max():
            coefficients["".join(letters)] = c
    return coefficients
