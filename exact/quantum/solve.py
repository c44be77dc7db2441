"""Every exact quantity of an open quantum system as one tidy table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError, unknown
from ..system import System
from ..tidy import ORDER, Row, tidy
from .evolve import SCHEMES, EvolvedState, evolve_state
from .liouvillian import Liouvillian, density_matrix
from .observables import one_site, pairs_by_distance, purity, spin_averages, two_point
from .pauli import PAULI
from .povm import OpenQuantum
from .steady import scgf_and_gap, steady_state

SPINS = ("sigma_x", "sigma_y", "sigma_z")
PROFILES = tuple(f"{name}_profile" for name in SPINS)
CORRELATIONS = tuple(f"correlation_{a}{a}" for a in "xyz")
STATE = (*SPINS, *PROFILES, *CORRELATIONS, "purity", "distribution")
COUNTING = ("ln_Z", "activity", "susceptibility")
STEADY = ("scgf", "gap")
QUANTITIES = (*COUNTING, *STATE, *STEADY, *(f"steady_{name}" for name in STATE))
DEFAULT = ("ln_Z", *SPINS, "purity")
METHODS = ("auto", "liouvillian", "qutip")
COUNTERS = ("jumps", "activity")  # one and the same: the activity of an open quantum system is its jump count


def solve_quantum(
    system: System,
    s: float | Sequence[float] = 0.0,
    times: float | Sequence[float] = (1.0,),
    quantities: Sequence[str] | None = None,
    scheme: str = "continuous",
    dt: float | None = None,
    observable: str = "jumps",
    method: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Exact values, tidy: columns ``quantity, s, t, value, bound`` (and ``site``, ``state``, ``distance``).

    ``sigma_x|y|z`` site averages, their ``_profile`` by site, ``purity``, ``correlation_xx|yy|zz`` (two-point
    functions, not connected, averaged over the pairs at a lattice ``distance``) and ``distribution`` (over outcomes)
    of the normalised state at ``t``; with ``steady_`` before the name, of the steady state (``t`` missing, ``s = 0``).
    ``ln_Z``, ``activity``, ``susceptibility``, ``scgf``, ``gap`` of the quantum-jump count. ``method="qutip"`` runs
    ``mesolve`` instead (at ``s = 0``). Schemes: ``continuous``, ``euler``, ``trapezoid``.

    Raises ``InputError`` for unknown names, bad times, a missing ``dt``, or more spins than memory holds.
    """
    quantities = tuple(quantities) if quantities is not None else DEFAULT
    fields, grid = _checked(system, s, times, quantities, scheme, observable, method)
    origin = system.quantum
    assert origin is not None
    rows: list[Row] = []
    for value in fields:
        if progress:
            progress(f"s = {value:g}: {origin.model.n_sites} spins")
        if any(name in (*COUNTING, *STATE) for name in quantities):
            for now in _trajectory(origin, value, grid, quantities, scheme, dt, method):
                rows += _counting_rows(origin, now, value, quantities)
                rows += _state_rows(system, now.rho, {"s": value, "t": now.t}, quantities)
        if set(STEADY) & set(quantities):
            found = dict(zip(STEADY, scgf_and_gap(origin.model, value)))
            rows += [{"quantity": q, "s": value, "t": None, "value": found[q]} for q in STEADY if q in quantities]
    steady = [name.removeprefix("steady_") for name in quantities if name.startswith("steady_")]
    if steady:
        head = {"s": 0.0, "t": None}
        for row in _state_rows(system, steady_state(origin.model), head, steady):
            rows.append({**row, "quantity": "steady_" + row["quantity"]})
    return tidy(rows)


def _checked(
    system: System, s: Any, times: Any, quantities: Sequence[str], scheme: str, observable: str, method: str
) -> tuple[np.ndarray, np.ndarray]:
    if system.quantum is None:
        raise InputError(f"{system.name} is no quantum system: use exact.solve.")
    for name in quantities:
        if name not in QUANTITIES:
            raise unknown("quantity", name, list(QUANTITIES))
    for kind, name, known in (("method", method, METHODS), ("scheme", scheme, SCHEMES)):
        if name not in known:
            raise unknown(kind, name, list(known))
    fields, grid = np.atleast_1d(np.asarray(s, float)), np.unique(np.atleast_1d(np.asarray(times, float)))
    if not np.isfinite(fields).all():
        raise InputError("s must be finite.")
    if observable not in COUNTERS:
        raise unknown(f"observable of {system.name}", observable, list(COUNTERS))
    if not np.isfinite(grid).all() or (grid < 0).any():
        raise InputError("times must be finite and not negative.")
    if method == "qutip" and (fields.any() or scheme != "continuous" or set(COUNTING) & set(quantities)):
        raise InputError("method 'qutip' gives the states of the plain evolution: s = 0, continuous, no counting.")
    return fields, grid


def _trajectory(
    origin: OpenQuantum,
    s: float,
    grid: np.ndarray,
    quantities: Sequence[str],
    scheme: str,
    dt: float | None,
    method: str,
) -> Iterator[EvolvedState]:
    if method == "qutip":
        from .qutip_route import evolve_qutip

        for t, rho in zip(grid, evolve_qutip(origin.model, origin.states, grid)):
            yield EvolvedState(float(t), 0.0, rho[None])
        return
    order = max(ORDER.get(name, 0) for name in quantities)
    liouvillian = Liouvillian(origin.model, s, copies=5 * (order + 1))
    yield from evolve_state(liouvillian, density_matrix(origin.states), grid, order, scheme, dt)


def _counting_rows(origin: OpenQuantum, now: EvolvedState, s: float, quantities: Sequence[str]) -> Iterator[Row]:
    """``k = -(1/(N t)) d ln_Z/ds`` and ``dk/ds``; at ``t = 0`` their limit ``-(1/N) Tr d^order L_s/ds^order rho``."""
    if "ln_Z" in quantities:
        yield {"quantity": "ln_Z", "s": s, "t": now.t, "value": now.ln_z}
    moments, n = now.traces, origin.model.n_sites
    for name, order in ORDER.items():
        if name not in quantities:
            continue
        if now.t > 0:
            value = -(moments[1] if order == 1 else moments[2] - moments[1] ** 2) / (n * now.t)
        else:
            value = -np.trace(Liouvillian(origin.model, s).apply(now.rho, order)).real / n
        yield {"quantity": name, "s": s, "t": now.t, "value": float(value)}


def _state_rows(system: System, rho: np.ndarray, head: Row, quantities: Sequence[str]) -> Iterator[Row]:
    averages: dict[str, float] = {}
    if set(SPINS) & set(quantities):
        averages = spin_averages(rho)
    if "purity" in quantities:
        averages["purity"] = purity(rho)
    for name, value in averages.items():
        if name in quantities:
            yield {"quantity": name, **head, "value": value}
    if set(PROFILES) & set(quantities):
        reduced = one_site(rho)
        for axis in "xyz":
            if f"sigma_{axis}_profile" in quantities:
                for site, state in enumerate(reduced):
                    value = float(np.trace(PAULI[axis] @ state).real)
                    yield {"quantity": f"sigma_{axis}_profile", **head, "value": value, "site": site}
    if set(CORRELATIONS) & set(quantities):
        pairs = pairs_by_distance(system.shape, system.params.get("boundary") == "periodic")
        for axis in "xyz":
            if f"correlation_{axis}{axis}" in quantities:
                for distance, at in pairs.items():
                    value = float(two_point(rho, axis, at).mean())
                    yield {"quantity": f"correlation_{axis}{axis}", **head, "value": value, "distance": distance}
    if "distribution" in quantities and system.quantum is not None:
        for state, value in enumerate(system.quantum.povm.distribution(rho)):
            yield {"quantity": "distribution", **head, "value": value, "state": state}
