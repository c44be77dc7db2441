"""References in closed form, at any size: free spins, the voter model, symmetric exclusion.

They share no code with the local terms: each is written from the equation of motion in its docstring, so that they
check the terms and serve as references where no state vector fits.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import expm_multiply

from vanbench.exact.errors import InputError

SERIES_BELOW = 1.0  # of (Delta t)^2: the Taylor series of cosh and sinh, where the closed derivatives would cancel


def free_spins(
    n_sites: int, c: float, s: float, t: float | None = None, density: float | None = None
) -> dict[str, float]:
    """Independent spins (up at rate ``c``, down at ``1-c``) tilted by the activity, started at up-``density``.

    One spin has ``W_s = [[-c, e^-s (1-c)], [e^-s c, -(1-c)]] = -1/2 + D`` with
    ``D^2 = Delta^2 = 1/4 - c (1-c) (1 - e^-2s)``: ``exp(t W_s) = e^(-t/2) (cosh(Delta t) + D sinh(Delta t)/Delta)``.
    ``density`` is ``c``, the stationary one, if left out. With ``t``: ``ln_Z, activity, susceptibility, density,
    instantaneous_activity``; always ``scgf`` and ``gap``. Raises ``InputError`` for ``c`` outside (0, 1) or ``t <= 0``.
    """
    if not 0 < c < 1:
        raise InputError(f"c = {c}: the flip-up rate must lie strictly between 0 and 1.")
    u, product = math.exp(-s), c * (1 - c)
    y = (0.5 - c) ** 2 + product * u * u  # Delta^2, with no cancellation
    root = math.sqrt(y)
    steady = {"scgf": n_sites * product * math.expm1(-2 * s) / (root + 0.5), "gap": 2 * root}
    if t is None:
        return steady
    if not t > 0:
        raise InputError(f"t = {t}: the time must be positive.")
    rho = c if density is None else density
    escape = (1 - rho) * c + rho * (1 - c)
    even, odd = _hyperbolic(y, t)
    y1, y2 = -2 * product * u * u, 4 * product * u * u
    b0, b1, b2 = 0.5 + escape * math.expm1(-s), -escape * u, escape * u
    z = even[0] + b0 * odd[0]
    z1 = even[1] * y1 + b1 * odd[0] + b0 * odd[1] * y1
    z2 = even[2] * y1**2 + even[1] * y2 + b2 * odd[0] + 2 * b1 * odd[1] * y1
    z2 += b0 * (odd[2] * y1**2 + odd[1] * y2)
    up = (even[0] * rho + odd[0] * (u * c * (1 - rho) + (c - 0.5) * rho)) / z
    return {
        "ln_Z": n_sites * (steady["scgf"] / n_sites * t + math.log(z)),
        "activity": -z1 / (z * t),
        "susceptibility": -(z2 / z - (z1 / z) ** 2) / t,
        "density": up,
        "instantaneous_activity": u * ((1 - up) * c + up * (1 - c)),
        **steady,
    }


def _hyperbolic(y: float, t: float) -> tuple[list[float], list[float]]:
    """``cosh(sqrt(y) t)`` and ``sinh(sqrt(y) t)/sqrt(y)`` with two ``y``-derivatives, all times ``exp(-sqrt(y) t)``."""
    root = math.sqrt(y)
    if y * t * t < SERIES_BELOW:
        scale = math.exp(-root * t)
        even, odd = [0.0] * 3, [0.0] * 3
        for k in range(15):  # 1/(2k)! < 1e-29 beyond
            for order in range(min(k, 2) + 1):
                power = math.perm(k, order) * y ** (k - order) * t ** (2 * k) * scale
                even[order] += power / math.factorial(2 * k)
                odd[order] += power * t / math.factorial(2 * k + 1)
        return even, odd
    decay = math.exp(-2 * root * t)
    cosh, sinh = (1 + decay) / 2, (1 - decay) / (2 * root)
    sinh1 = (t * cosh - sinh) / (2 * y)
    return [cosh, t * sinh / 2, t * sinh1 / 2], [sinh, sinh1, (t * t * sinh / 2 - 3 * sinh1) / (2 * y)]


def lattice_edges(shape: tuple[int, ...], boundary: str) -> list[tuple[int, int]]:
    """Neighbour pairs by coordinates, each once; for ``up``/``down`` the outside is one more site, ``prod(shape)``.

    A site at a face has one pair with the outside for each axis along which it touches it.
    """
    sites = list(itertools.product(*map(range, shape)))
    number = {x: i for i, x in enumerate(sites)}
    pairs = []
    for x, axis in itertools.product(sites, range(len(shape))):
        ahead = (*x[:axis], x[axis] + 1, *x[axis + 1 :])
        if ahead in number:
            pairs.append((number[x], number[ahead]))
        elif boundary == "periodic" and shape[axis] > 2:
            pairs.append((number[x], number[(*x[:axis], 0, *x[axis + 1 :])]))
        if boundary in ("up", "down"):
            pairs += [(number[x], len(sites))] * ((x[axis] == 0) + (ahead not in number))
    return pairs


def copying(n_sites: int, edges: list[tuple[int, int]], frozen: tuple[int, ...] = ()) -> sp.csr_array:
    """``A[i, j]``: the rate at which site ``i`` takes the opinion of ``j``, one over its number of neighbours."""
    i, j = np.array([*edges, *((b, a) for a, b in edges)], dtype=int).reshape(-1, 2).T
    degree = np.bincount(i, minlength=n_sites)
    moving = ~np.isin(i, frozen)
    i, j = i[moving], j[moving]
    return sp.csr_array((1.0 / degree[i], (i, j)), shape=(n_sites, n_sites))


def voter_magnetisation(rates: sp.csr_array, start: np.ndarray, t: float) -> np.ndarray:
    """``m_i(t) = <sigma_i>``, ``sigma = +-1``: ``dm_i/dt = sum_j A_ij (m_j - m_i)`` (Liggett 1985, ch. V).

    ``rates`` from `copying`, ``start`` ``(n,)``. The degree-weighted sum of ``m`` is conserved where nothing is frozen.
    """
    return expm_multiply(_diffusion(rates) * t, np.asarray(start, float), traceA=0.0)


def voter_two_point(rates: sp.csr_array, start: np.ndarray, t: float) -> np.ndarray:
    """``G_ij(t) = <sigma_i sigma_j>``, ``(n, n)``: lattice diffusion of both arguments with ``G_ii = 1`` held.

    ``dG_ij/dt = sum_k A_ik (G_kj - G_ij) + sum_k A_jk (G_ik - G_ij)`` for ``i != j`` (Cox and Griffeath, Ann. Probab.
    14, 347 (1986): coalescing walks). ``start``: ``(n, n)`` with unit diagonal.
    """
    n = rates.shape[0]
    laplacian, eye = _diffusion(rates), sp.eye_array(n)
    both = sp.kron(laplacian, eye) + sp.kron(eye, laplacian)
    held = sp.diags_array((~np.eye(n, dtype=bool)).astype(float).ravel())
    out = expm_multiply(sp.csr_array(held @ both) * t, np.asarray(start, float).ravel(), traceA=0.0)
    return out.reshape(n, n)


def _diffusion(rates: sp.csr_array) -> sp.csr_array:
    return sp.csr_array(rates - sp.diags_array(np.asarray(rates.sum(axis=1)).ravel()))


def ssep_one_particle(shape: tuple[int, ...], p: float = 1.0, periodic: bool = True) -> np.ndarray:
    """Eigenvalues of one symmetric walker, sorted: sums over the axes of ``-2p (1 - cos k)``.

    ``k = 2 pi m / L`` on a ring, ``pi m / L`` between walls (and on a ring of two sites, which has one bond). By the
    SU(2) symmetry of the exclusion process every sector of ``1..n-1`` particles contains this spectrum.
    """
    axes = []
    for length in shape:
        step = 2 * np.pi if periodic and length > 2 else np.pi
        axes.append(-2 * p * (1 - np.cos(step * np.arange(length) / length)))
    return np.sort(np.add.reduce(np.meshgrid(*axes, indexing="ij")).ravel())


def ssep_density(
    shape: tuple[int, ...],
    start: np.ndarray,
    t: float,
    p: float = 1.0,
    reservoirs: tuple[float, float, float, float] = (0.5, 0.5, 0.5, 0.5),
    boundary: str = "open",
) -> np.ndarray:
    """Density profile of symmetric exclusion: a closed linear equation (Derrida, J. Stat. Mech. P07023 (2007)).

    ``d rho_i/dt = p sum_j (rho_j - rho_i)``, and at the faces of axis 0 ``alpha (1 - rho) - gamma rho`` (lower) and
    ``delta (1 - rho) - beta rho`` (upper); ``reservoirs = (alpha, beta, gamma, delta)``.
    """
    n = math.prod(shape)
    alpha, beta, gamma, delta = reservoirs
    i, j = np.array(lattice_edges(shape, boundary), dtype=int).reshape(-1, 2).T
    hop = sp.csr_array((np.full(2 * len(i), p), (np.r_[i, j], np.r_[j, i])), shape=(n, n))
    source, sink = np.zeros(n), np.zeros(n)
    if boundary == "open":
        face = n // shape[0]
        for sites, come, go in ((slice(None, face), alpha, gamma), (slice(n - face, None), delta, beta)):
            source[sites] += come
            sink[sites] += come + go
    drift = _diffusion(hop) - sp.diags_array(sink)
    affine = sp.block_array([[drift, source[:, None]], [None, sp.csr_array((1, 1))]], format="csr")
    return expm_multiply(affine * t, np.append(np.asarray(start, float), 1.0), traceA=t * drift.trace())[:n]


def tasep_current(length: int, alpha: float, beta: float) -> float:
    """Steady current of the open totally asymmetric process, ``Z_{L-1} / Z_L``, hopping rate 1.

    ``Z_L = sum_{m=1}^L m (2L-1-m)! / (L! (L-m)!) * sum_{a+b=m} alpha^-a beta^-b`` (Derrida, Evans, Hakim and
    Pasquier, J. Phys. A 26, 1493 (1993)).
    """

    def z(size: int) -> float:
        if size == 0:
            return 1.0
        weights = (
            m * math.factorial(2 * size - 1 - m) / (math.factorial(size) * math.factorial(size - m))
            for m in range(1, size + 1)
        )
        return sum(w * sum(alpha**-a * beta ** (a - m) for a in range(m + 1)) for m, w in enumerate(weights, 1))

    return z(length - 1) / z(length)
