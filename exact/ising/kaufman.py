"""Kaufman's partition function of the finite periodic Ising lattice, h = 0, and Onsager's infinite limit.

B. Kaufman, Phys. Rev. 76, 1232 (1949), on m rows of n sites, K = J/T:

    Z = (2 sinh 2K)^(mn/2) / 2 * (Z1 + Z2 + Z3 + Z4)
    Z1, Z2 = prod_r 2 cosh|sinh (m g_{2r+1} / 2),     r = 0 .. n-1
    Z3, Z4 = prod_r 2 cosh|sinh (m g_{2r} / 2)
    cosh g_l = cosh 2K coth 2K - cos(pi l / n),       g_0 = 2K + ln tanh K   (negative above T_c)

ln Z and its first two derivatives by K are taken in closed form, each product as a logarithm, so that
nothing overflows; the one factor that changes sign, 2 sinh(m g_0 / 2) of Z4, is kept apart. The formula
counts the two ways around a direction of length 2 as two bonds, this package counts one: so both lengths
must be at least 3 here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.integrate import quad
from scipy.special import ellipe, ellipkm1

from vanbench.exact.errors import InputError
from vanbench.exact.ising.lattice import FloatArray, sides

CRITICAL_TEMPERATURE = 2 / np.log(1 + np.sqrt(2))  # J = 1
Jet = tuple[FloatArray, FloatArray, FloatArray]  # value, first and second derivative by K


def supports(shape: Sequence[int], J: float = 1.0, h: float = 0.0, plaquette: float = 0.0) -> bool:
    """Whether the closed form holds: two lengths of at least 3, no field, no plaquette; J < 0 on even sides
    only.
    """
    rows, columns = sides(shape)
    bipartite = rows % 2 == 0 and columns % 2 == 0
    return min(rows, columns) >= 3 and h == 0 and plaquette == 0 and (J > 0 or (J < 0 and bipartite))


def _gammas(K: float, l: FloatArray, n: int) -> Jet:
    """g_l > 0 for l != 0 with derivatives; x = cosh g - 1 is written without cancellation at T_c."""
    s, c = np.sinh(2 * K), np.cosh(2 * K)
    x = (s - 1) ** 2 / s + 2 * np.sin(np.pi * l / (2 * n)) ** 2
    root = np.sqrt(x * (x + 2))  # sinh g
    dx = 2 * c * (1 - 1 / s**2)
    ddx = 4 * s * (1 - 1 / s**2) + 8 * c**2 / s**3
    return np.log1p(x + root), dx / root, (ddx - (1 + x) * (dx / root) ** 2) / root


def _ln_product(g: Jet, m: int, sign: int) -> tuple[float, float, float]:
    """sum_l ln(e^a + sign e^-a) with a = m g_l / 2 > 0, and its two derivatives: cosh for +1, sinh for -1."""
    a, da, dda = (m / 2 * part for part in g)
    small = np.exp(-2 * a)
    ratio = (1 - sign * small) / (1 + sign * small)  # tanh or coth
    second = sign * 4 * small / (1 + sign * small) ** 2  # 1 / cosh^2 or -1 / sinh^2
    value = np.sum(a + np.log1p(sign * small))
    return float(value), float(np.sum(ratio * da)), float(np.sum(ratio * dda + second * da**2))


def _ln_z(K: float, m: int, n: int) -> tuple[float, float, float]:
    """ln Z and its derivatives by K > 0."""
    odd = _gammas(K, np.arange(1.0, 2 * n, 2), n)
    even = _gammas(K, np.arange(2.0, 2 * n, 2), n)
    s, c = np.sinh(2 * K), np.cosh(2 * K)
    g0 = (np.array([2 * K + np.log(np.tanh(K))]), np.array([2 + 2 / s]), np.array([-4 * c / s**2]))
    terms = [
        _ln_product(odd, m, 1),
        _ln_product(odd, m, -1),
        _ln_product(even, m, 1),
        _ln_product(even, m, -1),
    ]

    # The factors of g_0, with e^|a| taken out into the exponent: Z = sum_i f_i exp(L_i).
    a, da, dda = (float(m / 2 * part[0]) for part in g0)
    small, side = np.exp(-2 * abs(a)), np.sign(a)
    cosh, sinh = 1 + small, side * (1 - small)
    factor = [(1.0, 0.0, 0.0), (1.0, 0.0, 0.0)]
    factor += [(cosh, sinh * da, sinh * dda + cosh * da**2), (sinh, cosh * da, cosh * dda + sinh * da**2)]
    shift = [0.0, 0.0, abs(a), abs(a)]

    logs = np.array([t[0] + e for t, e in zip(terms, shift)])
    top = logs.max()
    scale = np.exp(logs - top)
    f, df, ddf = (np.array(column) for column in zip(*factor))
    dL, ddL = np.array([t[1] for t in terms]), np.array([t[2] for t in terms])
    z = scale @ f
    first = scale @ (df + f * dL) / z
    centred = dL - first  # Z''/Z - (Z'/Z)^2 without the difference of two large numbers
    second = scale @ (ddf + 2 * df * centred + f * (ddL + centred**2)) / z

    half = m * n / 2
    ln_2s = 2 * K + np.log1p(-np.exp(-4 * K))  # ln(2 sinh 2K)
    return (
        float(half * ln_2s - np.log(2) + top + np.log(z)),
        float(2 * half * c / s + first),
        float(-4 * half / s**2 + second),
    )


def check_range(T: float, J: float = 1.0) -> float:
    """K = |J|/T; raises InputError outside 0.001 .. 50, where the closed form keeps its digits."""
    K = abs(J) / T
    if not 1e-3 <= K <= 50:
        raise InputError(f"|J|/T = {K:g} is outside 0.001 .. 50, where Kaufman's formula keeps its digits: change T")
    return K


def averages(shape: Sequence[int], T: float, J: float = 1.0) -> dict[str, float]:
    """Energy, specific heat and free energy per site at temperature T, h = 0 (see `supports`).

    J < 0 on even sides equals J > 0 (flip one sublattice). Raises InputError where the formula does not hold.
    """
    if not supports(shape, J):
        raise InputError(
            "Kaufman's formula needs two lengths of at least 3 and J > 0 (J < 0 on even sides): "
            "use enumeration or the transfer matrix"
        )
    K = check_range(T, J)
    rows, columns = sides(shape)
    n_sites = rows * columns
    ln_z, first, second = _ln_z(K, rows, columns)
    return {
        "energy": -abs(J) * first / n_sites,
        "specific_heat": K**2 * second / n_sites,
        "free_energy": -T * ln_z / n_sites,
    }


def onsager(T: float, J: float = 1.0) -> dict[str, float]:
    """Infinite lattice, J > 0, h = 0, per site: energy, specific heat (diverges at T_c), free energy and
    spontaneous magnetization.

    L. Onsager, Phys. Rev. 65, 117 (1944); C. N. Yang, Phys. Rev. 85, 808 (1952).
    """
    if J <= 0 or T <= 0:
        raise InputError("Onsager's solution needs J > 0 and T > 0")
    K = J / T
    s, c, t = np.sinh(2 * K), np.cosh(2 * K), np.tanh(2 * K)
    k = 2 * s / c**2
    k_prime = 2 * t**2 - 1
    if k_prime == 0:
        raise InputError("the infinite lattice's specific heat diverges at T_c: ask for another temperature")
    first, second = ellipkm1(k_prime**2), ellipe(k**2)
    integral = quad(lambda phi: np.log((1 + np.sqrt(1 - (k * np.sin(phi)) ** 2)) / 2), 0, np.pi / 2, epsabs=1e-13)
    bracket = first - second - (1 - t**2) * (np.pi / 2 + k_prime * first)
    return {
        "energy": float(-J / t * (1 + 2 / np.pi * k_prime * first)),
        "specific_heat": float(4 / np.pi * (K / t) ** 2 * bracket),
        "free_energy": float(-T * (np.log(2 * c) + integral[0] / np.pi)),
        "abs_magnetization": float((1 - s**-4) ** 0.125) if s > 1 else 0.0,
    }
