"""One call for equilibrium Ising references: the most exact method that the size and the couplings allow,
and its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ..errors import InputError, unknown
from . import enumeration, kaufman, montecarlo, transfer
from .lattice import FloatArray, check_couplings, check_temperatures, sides

QUANTITIES = ("energy", "specific_heat", "free_energy", "abs_magnetization")
CORRELATION = "correlation"  # on request: a row a distance
METHODS = {
    "enumeration": "enumeration",
    "kaufman": "Kaufman",
    "transfer": "transfer matrix",
    "montecarlo": "Monte Carlo",
}
COLUMNS = ["quantity", "T", "value", "stderr", "bound", "method"]
SAMPLES = 20000
EXACT_BOUND = 1e-10  # largest disagreement that the tests allow between two exact methods at the same point
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
    seed: int = 1,
    samples: int = SAMPLES,
    by: str = "auto",
) -> pd.DataFrame:
    """Equilibrium averages per site of the periodic Ising lattice (k_B = 1), tidy.

    Columns: quantity, T, value, stderr, bound, method.

    Quantities: energy <H>/N, specific_heat (<H^2>-<H>^2)/(N T^2), free_energy -T ln Z / N,
    abs_magnetization <|sum s|>/N; all by default (the free energy left out where no exact method reaches
    it, unless it is asked for). correlation, if asked for, is <s_0 s_r> along the longer side, by the transfer
    matrix, with a column `distance`. `by`: one of METHODS instead of the most exact one ("auto").

    Exact methods fill `bound` (1e-10, what the tests hold between methods), Monte Carlo fills `stderr` from
    `samples` samples a temperature; the other is NaN. Each bond counts once (see `lattice`). Raises InputError
    for bad input before any work starts.
    """
    sides(shape)
    values = check_temperatures(temperatures)
    check_couplings(J=J, h=h, plaquette=plaquette)
    couplings = (float(J), float(h), float(plaquette))
    asked = list(QUANTITIES if quantities is None else quantities)
    for name in asked:
        if name not in (*QUANTITIES, CORRELATION):
            raise unknown("quantity on the temperature axis", name, [*QUANTITIES, CORRELATION])
    correlated = CORRELATION in asked
    asked = [name for name in asked if name != CORRELATION]
    if correlated and (not transfer.supports(shape) or by not in ("auto", "transfer")):
        raise InputError(
            f"the correlation comes from the transfer matrix: a shorter side up to {transfer.MAX_WIDTH}, a longer one "
            "of at least 3"
        )
    methods = _methods(asked, quantities is None, shape, couplings, by)
    if "Kaufman" in methods.values():
        for T in values:
            kaufman.check_range(T, J)

    records = []
    for k, T in enumerate(float(t) for t in values):
        found: dict[str, dict] = {}
        for name, how in methods.items():
            if how not in found:
                found[how] = _evaluate(how, tuple(shape), T, couplings, methods, samples, seed + k)
            value, error = found[how][name]
            exact = how != "Monte Carlo"
            records.append(
                {
                    "quantity": name,
                    "T": T,
                    "value": value,
                    "stderr": float("nan") if exact else error,
                    "bound": error if exact else float("nan"),
                    "method": how,
                }
            )
    frame = pd.DataFrame.from_records(records, columns=COLUMNS)
    if correlated:
        frame = pd.concat([frame, *(_correlation(tuple(shape), float(T), couplings) for T in values)])
    order = [name for name in ("quantity", "T", "distance") if name in frame]
    return frame.sort_values(order, ignore_index=True)


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
    lacks = {"kaufman": "abs_magnetization", "montecarlo": "free_energy"}.get(by)
    if lacks in asked:
        if not default:
            raise InputError(f"the method {by} does not give {lacks}: ask for other quantities or leave it out")
        asked = [name for name in asked if name != lacks]
    return dict.fromkeys(asked, METHODS[by])


def _correlation(shape: tuple[int, ...], T: float, couplings: tuple[float, float, float]) -> pd.DataFrame:
    found = transfer.correlation(shape, T, *couplings)
    rows = {"quantity": CORRELATION, "T": T, "value": found, "bound": EXACT_BOUND, "method": METHODS["transfer"]}
    return pd.DataFrame({**rows, "distance": np.arange(len(found))})


def _evaluate(how, shape, T, couplings, methods, samples, seed) -> dict[str, tuple[float, float]]:
    """All quantities that `how` gives at T, each with its error."""
    if how == "Monte Carlo":
        run = montecarlo.simulate(shape, T, samples, *couplings, seed=seed)
        return montecarlo.averages(run, T, sides(shape)[0] * sides(shape)[1])
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
    return {name: (value, EXACT_BOUND) for name, value in values.items()}
