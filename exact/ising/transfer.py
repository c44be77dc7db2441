"""Transfer matrix of the periodic Ising lattice, one side up to 10: any field, any coupling, any other
length.

A row a of w spins and the next row b share the energy e(a, b) (the bonds, field of row a, and the bonds and
plaquettes between the rows), and T_ab = exp(-e(a, b)/T) element by element: so its derivatives by 1/T are
-e T and e^2 T, and

    Z = Tr T^L,     <H> = -d ln Z / d(1/T),     <H^2> - <H>^2 = d^2 ln Z / d(1/T)^2

follow from matrix products of truncated Taylor series, with no differences. The distribution of the
magnetization is the discrete Fourier transform of Tr T(theta)^L with exp(i theta M) in the rows;
correlations are Tr(S_i T^r S_j T^(L-r)) / Z, summed over pairs of rows: an eigenvalue sum of Z would cancel where a
frustrated lattice has eigenvalues near +1 and -1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.definitions.states import require_memory
from vanbench.exact.errors import InputError
from vanbench.exact.ising.lattice import FloatArray, bonds, check_couplings, sides

MAX_WIDTH = 10


def supports(shape: Sequence[int]) -> bool:
    """Width (the shorter side) up to 10 and length at least 3 (a length of 2 has one bond: not a trace of
    T^2).
    """
    rows, columns = sides(shape)
    return min(rows, columns) <= MAX_WIDTH and max(rows, columns) >= 3


def _width_length(shape: Sequence[int]) -> tuple[int, int]:
    if not supports(shape):
        raise InputError(
            f"the transfer matrix needs a shorter side up to {MAX_WIDTH} and a longer side of at least 3, "
            f"got {tuple(shape)}: use enumeration, Kaufman's solution or Monte Carlo"
        )
    rows, columns = sides(shape)
    return min(rows, columns), max(rows, columns)


def _row_spins(width: int) -> FloatArray:
    """All rows of spins, (2^width, width), first site most significant."""
    index = np.arange(2**width)
    return 2.0 * (index[:, None] >> np.arange(width - 1, -1, -1) & 1) - 1


def _row_energy(width: int, J: float, h: float, plaquette: float) -> FloatArray:
    """e(a, b), (2^w, 2^w): half of each row's own energy goes to either side, so the matrix is symmetric."""
    s = _row_spins(width)
    pairs = bonds((width,))
    own = -h * s.sum(axis=1)
    for i, j in pairs:
        own -= J * s[:, i] * s[:, j]
    between = -J * (s @ s.T)
    if plaquette:
        across = np.stack([s[:, i] * s[:, j] for i, j in pairs], axis=1) if len(pairs) else np.zeros((len(s), 1))
        between -= plaquette * (across @ across.T)
    return between + (own[:, None] + own[None, :]) / 2


def _series_product(a: list, b: list) -> list:
    """Product of two matrix Taylor series (value, first, second derivative), as long as given."""
    binomial = ([1], [1, 1], [1, 2, 1])
    return [sum(binomial[k][i] * (a[i] @ b[k - i]) for i in range(k + 1)) for k in range(len(a))]


def _power(series: list, length: int) -> tuple[list, float]:
    """series^length by repeated squaring, divided by exp(the returned logarithm)."""
    result: list | None = None
    ln_result, ln_base = 0.0, 0.0
    while True:
        if length & 1:
            result = series if result is None else _series_product(result, series)
            ln_result += ln_base
        length >>= 1
        if not length:
            assert result is not None
            return result, ln_result
        series = _series_product(series, series)
        scale = np.abs(series[0]).max() or 1.0  # a turned matrix may vanish
        series = [part / scale for part in series]
        ln_base = 2 * ln_base + np.log(scale)
        if result is not None:
            size = np.abs(result[0]).max() or 1.0
            result, ln_result = [part / size for part in result], ln_result + np.log(size)


def _ln_trace(width: int, length: int, T: float, couplings: tuple[float, float, float], shift: float, order: int):
    """ln Tr T^L and Taylor derivatives of Tr / Tr of order 1..order by 1/T, energies measured from `shift`
    per row.
    """
    e = _row_energy(width, *couplings)
    lowest = e.min()
    matrix = np.exp(-(e - lowest) / T)
    series = [matrix]
    for _ in range(order):
        series.append(-(e - shift) * series[-1])
    left, ln_left = _power(series, (length + 1) // 2)
    right, ln_right = _power(series, length // 2)
    # Tr(A B) = sum A * B^T: the last, most expensive product is never formed
    binomial = ([1], [1, 1], [1, 2, 1])
    traces = [sum(binomial[k][i] * np.sum(left[i] * right[k - i].T) for i in range(k + 1)) for k in range(order + 1)]
    _require_digits(matrix, traces[0], ln_left + ln_right, T)
    ln_z = np.log(traces[0]) + ln_left + ln_right - length * lowest / T
    return float(ln_z), [float(t / traces[0]) for t in traces[1:]]


def _require_digits(matrix: FloatArray, trace: float, ln_scale: float, T: float) -> None:
    """Raises InputError where elements that underflowed could have been a part of the trace.

    Elements are at most 1 in every factor, and 1e-308 at least. None is lost if the smallest of the matrix exceeds
    1e-150, since the elements of its powers differ by no more than the square of that; else the trace must be far above
    what was lost, in the last product and on the scale of single elements.
    """
    if matrix.min() > 1e-150 or (trace > 1e-250 and np.log(trace) + ln_scale > -600):
        return
    raise InputError(f"T = {T:g}: the trace of the transfer matrix underflows, take a higher temperature.")


def averages(
    shape: Sequence[int], T: float, J: float = 1.0, h: float = 0.0, plaquette: float = 0.0
) -> dict[str, float]:
    """Energy, specific heat and free energy per site, exact on this finite lattice. Raises InputError (see
    `supports`).
    """
    check_couplings(J=J, h=h, plaquette=plaquette)
    width, length = _width_length(shape)
    couplings = (J, h, plaquette)
    ln_z, (slope,) = _ln_trace(width, length, T, couplings, 0.0, 1)
    # Second pass with energies measured from their mean: the variance is then no difference of large numbers.
    _, (rest, variance) = _ln_trace(width, length, T, couplings, -slope / length, 2)
    n_sites = width * length
    return {
        "energy": (-slope - rest) / n_sites,
        "specific_heat": (variance - rest**2) / (n_sites * T**2),
        "free_energy": -T * ln_z / n_sites,
    }


def magnetization_distribution(
    shape: Sequence[int], T: float, J: float = 1.0, h: float = 0.0, plaquette: float = 0.0
) -> tuple[FloatArray, FloatArray]:
    """Values -N, -N+2 .. N of M = sum s and their probabilities, each (N + 1,); seconds a temperature at
    width 9, 10.
    """
    check_couplings(J=J, h=h, plaquette=plaquette)
    width, length = _width_length(shape)
    n_sites = width * length
    e = _row_energy(width, J, h, plaquette)
    matrix = np.exp(-(e - e.min()) / T)
    up = (_row_spins(width).sum(axis=1) + width) / 2
    traces = np.empty(n_sites + 1, dtype=complex)
    reference = None
    for k in range((n_sites + 1) // 2 + 1):
        phase = np.exp(1j * np.pi * k / (n_sites + 1) * up)  # half the angle on either side
        turned = phase[:, None] * matrix * phase[None, :]
        (left,), ln_left = _power([turned], (length + 1) // 2)
        (right,), ln_right = _power([turned], length // 2)
        trace = np.sum(left * right.T)
        if reference is None:
            reference = ln_left + ln_right
            _require_digits(matrix, float(trace.real), reference, T)
        traces[k] = trace * np.exp(ln_left + ln_right - reference)
        if k:
            traces[-k] = traces[k].conj()
    p = np.fft.fft(traces).real
    return 2.0 * np.arange(n_sites + 1) - n_sites, p / p.sum()


def abs_magnetization(shape: Sequence[int], T: float, J: float = 1.0, h: float = 0.0, plaquette: float = 0.0) -> float:
    """<|M|> / N, exact on this finite lattice."""
    m, p = magnetization_distribution(shape, T, J, h, plaquette)
    return float(np.abs(m) @ p / m[-1])


def correlation(shape: Sequence[int], T: float, J: float = 1.0, h: float = 0.0, plaquette: float = 0.0) -> FloatArray:
    """<s_0 s_r> at distance r = 0 .. length // 2 along the longer side, (length // 2 + 1,)."""
    check_couplings(J=J, h=h, plaquette=plaquette)
    width, length = _width_length(shape)
    half = length // 2
    require_memory(8.0 * 4**width * (half + 6), f"the powers of the transfer matrix of {tuple(shape)}")
    e = _row_energy(width, J, h, plaquette)
    matrix = np.exp(-(e - e.min()) / T)
    powers: list[FloatArray] = [np.eye(2**width)]
    scales = [0.0]
    for _ in range(half):
        product, scale = _scaled(powers[-1] @ matrix)
        powers.append(product)
        scales.append(scales[-1] + scale)
    rest, ln_rest = powers[-1], scales[-1]  # T^(L - r), from r = half down to 0
    if length % 2:
        rest, scale = _scaled(rest @ matrix)
        ln_rest += scale
    spin = _row_spins(width)[:, 0]
    correlation = np.empty(half + 1)
    for r in range(half, -1, -1):
        pairs = powers[r] * rest.T  # of first and r-th row, all positive: nothing cancels in their sum
        total = pairs.sum()
        _require_digits(matrix, total, scales[r] + ln_rest, T)
        correlation[r] = spin @ pairs @ spin / total
        rest, scale = _scaled(rest @ matrix)
        ln_rest += scale
    return correlation


def _scaled(matrix: FloatArray) -> tuple[FloatArray, float]:
    """The matrix over its largest element, and the logarithm of that."""
    top = matrix.max()
    return matrix / top, float(np.log(top))
