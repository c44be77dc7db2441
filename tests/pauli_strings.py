"""Lindbladians as real matrices over Pauli strings, built from Kronecker products alone; and random ones."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm

from vanbench.exact.definitions.pauli import I2, MINUS, PAULI, X, Z
from vanbench.exact.quantum import Jump, Lindblad, LocalOperator
from vanbench.exact.quantum.liouvillian import density_matrix
from vanbench.exact.quantum.models import bloch_state

AGREE = 1e-8  # of values of order one; relative of ln Z beyond
PLUS = MINUS.conj().T
TILTED = 0.6 * Z + 0.8 * X  # a Pauli matrix whose eigenvectors are not exact in binary
COUNTED = ["ln_Z", "activity", "susceptibility"]
SPINS = ["sigma_x", "sigma_y", "sigma_z", "purity"]
UP = np.array([bloch_state((0, 0, 1))])


def full(sites: tuple[int, ...], matrix: np.ndarray, n: int) -> np.ndarray:
    rest = [i for i in range(n) if i not in sites]
    at = np.argsort([*sites, *rest])
    whole = np.kron(matrix, np.eye(2 ** len(rest))).reshape((2,) * (2 * n))
    return whole.transpose([*at, *(n + at)]).reshape(2**n, 2**n)


def strings(n: int) -> np.ndarray:
    found = [np.ones((1, 1))]
    for _ in range(n):
        found = [np.kron(a, b) for a in found for b in (I2, *PAULI.values())]
    return np.array(found)


def parts(model: Lindblad) -> tuple[np.ndarray, list[tuple[float, np.ndarray, np.ndarray]]]:
    """``R_ab = Tr(P_a L[P_b]) / D`` real: of ``H``, and of each jump (rate, recycling, loss)."""
    n, p = model.n_sites, strings(model.n_sites)

    def matrix(action) -> np.ndarray:  # type: ignore[no-untyped-def]
        return np.einsum("aij,bji->ab", p, np.array([action(q) for q in p]), optimize=True).real / 2**n

    h = sum((full(part.sites, part.matrix, n) for part in model.hamiltonian), np.zeros((2**n, 2**n)))
    jumps = []
    for jump in model.jumps:
        g = full(jump.sites, jump.matrix, n)
        loss = g.conj().T @ g / 2
        recycled = matrix(lambda q, g=g: g @ q @ g.conj().T)
        jumps.append((jump.rate, recycled, matrix(lambda q, loss=loss: -loss @ q - q @ loss)))
    return matrix(lambda q: -1j * (h @ q - q @ h)), jumps


def generator_of(model: Lindblad, s: float) -> np.ndarray:
    coherent, jumps = parts(model)
    out = coherent + sum(rate * (np.exp(-s) * recycled + loss) for rate, recycled, loss in jumps)
    if s == 0:
        out[0] = 0.0  # the trace is conserved
    return out


def bloch(model: Lindblad, states: np.ndarray) -> np.ndarray:
    rho = density_matrix(states)
    return np.einsum("aij,ji->a", strings(model.n_sites), rho).real


def spins_of(v: np.ndarray, n: int) -> list[float]:
    """Site averages of x, y, z, and the purity, of the coefficients ``v`` (``v[0] = 1``)."""
    return [*(np.mean([v[a * 4**i] for i in range(n)]) for a in (1, 2, 3)), v @ v / 2**n]


def reference(model: Lindblad, states: np.ndarray, s: float, t: float) -> tuple[np.ndarray, float]:
    """``ln Z, sigma_x, sigma_y, sigma_z, purity`` and ``t theta``."""
    matrix = generator_of(model, s)
    theta = float(np.linalg.eigvals(matrix).real.max()) if s else 0.0
    v = expm(t * (matrix - theta * np.eye(len(matrix)))) @ bloch(model, states)
    with np.errstate(divide="ignore"):  # where all that grows is lost, rounding may be negative
        log = np.log(max(v[0], 0.0))
    return np.array([log + t * theta, *spins_of(v / v[0], model.n_sites)]), t * theta


def random_matrix(rng: np.random.Generator, k: int) -> np.ndarray:
    return rng.standard_normal((2**k, 2**k, 2)) @ np.array([1, 1j])


def random_lindblad(rng: np.random.Generator) -> Lindblad:
    """Non-normal jumps, dephasing and projections along tilted axes, jumps with decoherence-free states, weak decay."""
    n = int(rng.integers(1, 4))

    def sites(k: int) -> tuple[int, ...]:
        return tuple(int(i) for i in rng.permutation(n)[:k])

    def jump() -> Jump:
        k = int(rng.integers(1, min(n, 2) + 1))
        pair = np.kron(PLUS, I2) + np.kron(I2, PLUS)
        dark = pair @ (np.kron(MINUS, I2) - np.kron(I2, MINUS))
        kinds = [random_matrix(rng, 1), TILTED, (I2 + TILTED) / 2, MINUS + 0.5 * I2, MINUS]
        one = [*kinds, dark][rng.integers(6 if k == 2 else 5)]
        if k == 2 and len(one) == 2:
            one = random_matrix(rng, 2)
        return Jump(
            sites(len(one).bit_length() - 1), one, float(10 ** rng.uniform(-4, 0)) if rng.random() < 0.5 else 1.0
        )

    h = [LocalOperator((i,), [X, TILTED, Z][rng.integers(3)] * rng.random()) for i in range(n) if rng.random() < 0.8]
    if n > 1:
        h += [LocalOperator(sites(2), (m := random_matrix(rng, 2) / 2) + m.conj().T)]
    return Lindblad((n,), tuple(h), tuple(jump() for _ in range(int(rng.integers(1, 4)))))


def random_states(rng: np.random.Generator, n: int) -> np.ndarray:
    axes = [(0, 0, 1), (0.8, 0, 0.6), (-0.8, 0, -0.6), (0.36, 0.48, 0.8), (0, 0, 0)]
    return np.array([bloch_state(axes[rng.integers(len(axes))]) for _ in range(n)])
