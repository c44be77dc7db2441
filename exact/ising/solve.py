"""One call for equilibrium Ising references: the most exact method that the size and the couplings allow,
and its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from vanbench.exact.definitions.quantities import QUANTITIES, row_of
from vanbench.exact.definitions.quantities import asked as rows_of
from vanbench.exact.definitions.quantity import ENUMERATION, EQUILIBRIUM, KAUFMAN, MONTECARLO, TRANSFER
from vanbench.exact.errors import InputError, unknown
from vanbench.exact.ising import enumeration, kaufman, montecarlo, transfer
from vanbench.exact.ising.lattice import FloatArray, check_couplings, check_temperatures, sides
from vanbench.exact.seeds import Seed, stream

CORRELATION = "correlation"  # on request: a row a distance
METHODS = {ENUMERATION: "enumeration", KAUFMAN: "Kaufman", TRANSFER: "transfer matrix", MONTECARLO: "Monte Carlo"}
COLUMNS = ["quantity", "T", "value", "stderr", "bound", "bound_kind", "method", "note"]
EMPTY = {"stderr": np.nan, "bound": np.nan, "bound_kind": "", "note": ""}
SCALARS = [
    row.name for row in QUANTITIES.values() if "T" in row.axes and "distance" not in row.axes and {*METHODS} & {*row.by}
]
SAMPLES = 20000
ROUNDING = 1e-11  # of the scale of a value; sums of 2^25 positive terms keep 5e-12 in the worst case
EPS = np.finfo(float).eps
FEW_SITES = 20  # whose configurations are listed for the correlation, at any temperature
WIDTH_DISTRIBUTION = 8  # the Fourier sum for |M| takes about a second a temperature here, a minute at width 10


def method(quantity: str, shape: Sequence[int], J: float = 1.0, h: float = 0.0, plaquette: float = 0.0) -> str:
    """Name of the method that `solve` uses; raises InputError where no exact one gives the free energy."""
    rows, columns = sides(shape)
    if rows * columns <= enumeration.MAX_SITES:
        return "enumeration"
    if quantity == "abs_magnetization":
        exact = transfer.supports(shape) and min(rows, columns) <= WIDTH_DISTRIBUTION and rows * columns <= 256
        return "transfer matrix" if exact else "Monte Carlo"
    if kaufman.supports(shape, J, h, plaquette):
        return "Kaufman"
    if transfer.supports(shape):
        return "transfer matrix"
    if quantity == "free_energy":
        raise InputError(
            f"no exact free energy of a {rows}x{columns} lattice with these couplings: "
            f"use h = plaquette = 0, or a shorter side of at most {transfer.MAX_WIDTH}"
        )
    return "Monte Carlo"


def solve(
    shape: Sequence[int],
    temperatures: Sequence[float] | FloatArray | float,
    J: float = 1.0,
    h: float = 0.0,
    plaquette: float = 0.0,
    quantities: Iterable[str] | None = None,
    seed: Seed = 1,
    samples: int = SAMPLES,
    by: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Equilibrium averages per site of the periodic Ising lattice (k_B = 1), tidy.

    Columns: quantity, T, value, stderr, bound, bound_kind, method, note.

    Quantities: energy <H>/N, specific_heat (<H^2>-<H>^2)/(N T^2), free_energy -T ln Z / N,
    abs_magnetization <|sum s|>/N; all by default (the free energy left out where no exact method reaches
    it, unless it is asked for). correlation, if asked for, is <s_0 s_r> along the longer side, by enumeration or the
    transfer matrix, with a column `distance`. `by`: one of METHODS instead of the most exact one ("auto").

    Exact methods fill `bound` (see `rounding`), Monte Carlo fills `stderr` from `samples` samples a temperature; the
    other is NaN, and so is the stderr of samples that are all equal, as the `note` then says. Each bond counts once
    (see `lattice`). Raises InputError for bad input before any work starts.
    """
    sides(shape)
    values = check_temperatures(temperatures)
    check_couplings(J=J, h=h, plaquette=plaquette)
    couplings = (float(J), float(h), float(plaquette))
    rows = rows_of(
        SCALARS if quantities is None else [*quantities], [*METHODS], EQUILIBRIUM, "quantity on the temperature axis"
    )
    asked = [row.name for row in rows if row.name != CORRELATION]
    correlated = _correlation_method(shape, by) if len(asked) < len(rows) else ""
    methods = _methods(asked, quantities is None, shape, couplings, by)
    if "Kaufman" in methods.values():
        for T in values:
            kaufman.check_range(T, J)

    records = []
    for k, T in enumerate(float(t) for t in values):
        if progress:
            progress(f"T = {T:g}, {k + 1} of {len(values)}, by {', '.join(sorted({*methods.values()}))}")
        evaluated: dict[str, dict[str, dict]] = {}
        for name, how in methods.items():
            if how not in evaluated:
                evaluated[how] = _evaluate(how, tuple(shape), T, couplings, methods, samples, stream(seed, k), progress)
            records.append({**EMPTY, "quantity": name, "T": T, "method": how, **evaluated[how][name]})
        if correlated:
            row = {**EMPTY, "quantity": CORRELATION, "T": T, "method": METHODS[correlated]}
            profile = (enumeration if correlated == "enumeration" else transfer).correlation(
                tuple(shape), T, *couplings
            )
            cells = [_exact(CORRELATION, float(value), correlated, shape, T, couplings) for value in profile]
            records += [{**row, **cell, "distance": distance} for distance, cell in enumerate(cells)]
    frame = pd.DataFrame.from_records(records, columns=[*COLUMNS, "distance"] if correlated else COLUMNS)
    return frame.sort_values(["quantity", "T", *frame.columns[len(COLUMNS) :]], ignore_index=True)


def rounding(
    quantity: str, value: float, how: str, shape: Sequence[int], T: float, couplings: tuple[float, float, float]
) -> float:
    """Bound on the rounding error of an exact `value` by method `how` (a name of METHODS).

    Relative to the scale that the value is a difference of: the energy of a site, T ln 2 with it for the free energy
    and where -d ln Z / d(1/T) is taken at high T. The transfer matrix has the specific heat as a variance of N sites'
    energies over T, and a listed distribution rounds each energy over T.
    """
    n_sites = int(np.prod(sides(shape)))
    site = 2 * abs(couplings[0]) + abs(couplings[1]) + abs(couplings[2])
    scale = {"energy": site + T * (how == "Kaufman"), "free_energy": site + T, "specific_heat": abs(value)}
    bound = ROUNDING * max(1.0, scale.get(quantity, 1.0))
    if quantity == "specific_heat" and how == "transfer matrix":
        bound += 64 * EPS * n_sites * (site / T) ** 2
    elif quantity == CORRELATION and how == "enumeration":
        bound += 8 * EPS * n_sites * site / T
    return bound


def _exact(quantity, value, how, shape, T, couplings) -> dict:
    """Cells of an exact value. Certified where the sums are proved: of positive terms with exact integer exponents."""
    bound = rounding(quantity, value, how, shape, T, couplings)
    proved = how == "enumeration" and quantity != CORRELATION
    return {"value": value, "bound": bound, "bound_kind": "certified" if proved else "estimated"}


def _methods(
    asked: list[str], default: bool, shape: Sequence[int], couplings: tuple[float, float, float], by: str
) -> dict[str, str]:
    """Which method gives each quantity; `default`: nobody asked for the free energy, so it may be left out."""
    if by == "auto":
        if default and method("energy", shape, *couplings) == "Monte Carlo":
            asked = [name for name in asked if name != "free_energy"]
        return {name: method(name, shape, *couplings) for name in asked}
    if by not in METHODS:
        raise unknown("method", by, ["auto", *METHODS])
    rows, columns = sides(shape)
    holds = {
        "enumeration": rows * columns <= enumeration.MAX_SITES,
        "kaufman": kaufman.supports(shape, *couplings),
        "transfer": transfer.supports(shape),
    }
    if not holds.get(by, True):
        raise InputError(f"the method {by} does not hold for a {rows}x{columns} lattice with these couplings: use auto")
    given_by = [name for name in asked if by in row_of(name).by]
    if len(given_by) < len(asked) and not default:
        lacks = next(name for name in asked if name not in given_by)
        raise InputError(f"the method {by} does not give {lacks}: ask for other quantities or leave it out")
    return dict.fromkeys(given_by, METHODS[by])


def _correlation_method(shape: Sequence[int], by: str) -> str:
    """A key of METHODS; raises InputError where none gives the correlation."""
    listed = by in ("auto", "enumeration") and int(np.prod(sides(shape))) <= FEW_SITES
    if listed or (transfer.supports(shape) and by in ("auto", "transfer")):
        return "enumeration" if listed else "transfer"
    raise InputError(
        f"the correlation comes from enumeration, up to {FEW_SITES} sites, or from the transfer matrix: a shorter side "
        f"up to {transfer.MAX_WIDTH}, a longer one of at least 3"
    )


def _evaluate(how, shape, T, couplings, methods, samples, seed, progress) -> dict[str, dict]:
    """The cells of all quantities that `how` gives at T."""
    if how == "Monte Carlo":
        run = montecarlo.simulate(shape, T, samples, *couplings, seed=seed, progress=progress)
        estimates = montecarlo.estimates(run, T, sides(shape)[0] * sides(shape)[1])
        return {name: row._asdict() for name, row in estimates.items()}
    if how == "enumeration":
        values = enumeration.averages(shape, T, *couplings)
    elif how == "Kaufman":
        values = kaufman.averages(shape, T, couplings[0])
    else:
        values = {}
        if any(m == how and name != "abs_magnetization" for name, m in methods.items()):
            values = transfer.averages(shape, T, *couplings)
        if methods.get("abs_magnetization") == how:
            values["abs_magnetization"] = transfer.abs_magnetization(shape, T, *couplings)
    return {name: _exact(name, value, how, shape, T, couplings) for name, value in values.items()}
