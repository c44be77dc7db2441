"""Every exact quantity of an open quantum system as one tidy table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from vanbench.exact.definitions.pauli import PAULI
from vanbench.exact.definitions.povm import OpenQuantum
from vanbench.exact.definitions.quantities import (
    CORRELATIONS,
    DISTRIBUTION,
    EXACT_DEFAULT,
    PROFILES,
    SPINS,
    asked,
    evolved,
    row_of,
)
from vanbench.exact.definitions.quantity import LINDBLAD, QUANTUM, QUTIP, Quantity
from vanbench.exact.definitions.system import System
from vanbench.exact.definitions.terms import MAX_EXPONENT
from vanbench.exact.errors import InputError, unknown
from vanbench.exact.quantum import routes
from vanbench.exact.quantum.evolve import SCHEMES, check_scheme
from vanbench.exact.quantum.liouvillian import Liouvillian
from vanbench.exact.quantum.observables import one_site, pairs_by_distance, purity, spin_averages, two_point
from vanbench.exact.quantum.routes import FOREIGN, LEADING, METHODS, Seen, origin_of
from vanbench.exact.tidy import Row, Table

COUNTERS = ("jumps", "activity")  # one and the same: the activity of an open quantum system is its jump count


def quantum_table(
    system: System,
    s: float | Sequence[float] = 0.0,
    times: float | Sequence[float] = (1.0,),
    quantities: Sequence[str] | None = None,
    scheme: str = "continuous",
    dt: float | None = None,
    observable: str = "jumps",
    method: str = "auto",
    progress: Callable[[str], None] | None = None,
) -> Table:
    """Exact values, tidy: columns ``quantity, s, t, value, bound, bound_kind`` (and ``site``, ``state``, ``distance``).

    ``sigma_x|y|z`` site averages, their ``_profile`` by site, ``purity``, ``correlation_xx|yy|zz`` (two-point
    functions, not connected, averaged over the pairs at a lattice ``distance``) and ``distribution`` (over outcomes)
    of the normalised state at ``t``; with ``steady_`` before the name, of the steady state (``t`` missing, ``s = 0``).
    ``ln_Z``, ``activity``, ``susceptibility``, ``scgf``, ``gap`` of the quantum-jump count. Steady states have an
    estimated ``bound``: of rounding, over the slowest decay.

    ``method``: ``liouvillian`` (what ``auto`` takes), ``povm`` (the real generator over outcomes), ``qutip``
    (``mesolve`` and ``steadystate``) or ``quspin`` (states alone), both at ``s = 0``. Schemes: ``continuous``,
    ``euler``, ``trapezoid``.

    Raises ``InputError`` for unknown names, bad times, a missing ``dt``, or more spins than memory holds.
    """
    origin, taken = origin_of(system), "liouvillian" if method == "auto" else method
    if quantities is None:
        quantities = [name for name in EXACT_DEFAULT[QUANTUM] if method not in FOREIGN or QUTIP in row_of(name).by]
    asked_for = asked(quantities, (LINDBLAD,), QUANTUM)
    order = max((row.order or 0 for row in asked_for), default=0)
    fields, grid = _checked(system, origin.model.n_sites, s, times, asked_for, order, scheme, dt, observable, method)
    routes.check(system, taken, asked_for, order)
    moving = [row for row in asked_for if "t" in row.axes]
    leading = [name for name in LEADING if name in (row.name for row in asked_for)]
    steady = {row.steady_of: row.name for row in asked_for if row.steady_of}
    rows: list[Row] = []
    for value in fields:
        if progress:
            progress(f"s = {value:g}: {origin.model.n_sites} spins by {taken}")
        if moving:
            for now in routes.states(system, value, grid, order, scheme, dt, taken, progress):
                rows += _counting_rows(origin, now, value, moving)
                rows += _state_rows(system, now.rho, {"s": value, "t": now.t}, moving)
        if leading:
            ends = dict(zip(LEADING, routes.scgf_and_gap_by(system, value, taken)))
            rows += [{"quantity": name, "s": value, "t": None, "value": ends[name]} for name in leading]
    if steady:
        rho, error = routes.steady_state_by(system, taken)
        for row in _state_rows(system, rho, {"s": 0.0, "t": None}, [row_of(name) for name in steady]):
            bound = 2 * error if row["quantity"] == "purity" else error  # d Tr rho^2 = 2 Tr(rho d rho)
            rows.append({**row, "quantity": steady[row["quantity"]], "bound": bound})
    return Table(rows, (taken,))


def _checked(
    system: System,
    n_spins: int,
    s: Any,
    times: Any,
    rows: Sequence[Quantity],
    order: int,
    scheme: str,
    dt: float | None,
    observable: str,
    method: str,
) -> tuple[np.ndarray, np.ndarray]:
    for kind, name, known in (("method", method, METHODS), ("scheme", scheme, SCHEMES)):
        if name not in known:
            raise unknown(kind, name, list(known))
    fields, grid = np.atleast_1d(np.asarray(s, float)), np.unique(np.atleast_1d(np.asarray(times, float)))
    if not np.isfinite(fields).all():
        raise InputError("s must be finite.")
    if (np.abs(fields) > MAX_EXPONENT).any():
        raise InputError(f"s = {fields[np.abs(fields).argmax()]:g} is out of range: take |s| below {MAX_EXPONENT:g}.")
    pairs = [row.name for row in rows if "distance" in row.axes]
    if n_spins < 2 and pairs:
        raise InputError(f"{pairs[0]} needs pairs of spins: a single spin has none.")
    if observable not in COUNTERS:
        raise unknown(f"observable of {system.name}", observable, list(COUNTERS))
    if not np.isfinite(grid).all() or (grid < 0).any():
        raise InputError("times must be finite and not negative.")
    if dt is not None and scheme == "continuous":
        raise InputError("dt is the step of the schemes 'euler' and 'trapezoid': give one of them, or leave dt out.")
    check_scheme(scheme, dt, grid, order)
    if method in FOREIGN and (fields.any() or scheme != "continuous"):
        raise InputError(f"method {method!r} gives the states of the plain evolution: s = 0 in continuous time.")
    if method == "povm" and scheme == "trapezoid":
        raise InputError("method 'povm' steps by the euler scheme or continuously: take 'auto' for the trapezoid.")
    return fields, grid


def _counting_rows(origin: OpenQuantum, now: Seen, s: float, rows: Sequence[Quantity]) -> Iterator[Row]:
    """``k = -(1/(N t)) d ln_Z/ds`` and ``dk/ds``; at ``t = 0`` their limit ``-(1/N) Tr d^order L_s/ds^order rho``."""
    n = origin.model.n_sites
    for row in evolved(row.name for row in rows):
        order = row.order
        if order is None:
            continue
        if order == 0:
            value = now.cumulants[0]
        elif now.t > 0:
            value = -now.cumulants[order] / (n * now.t)
        else:
            value = -np.trace(Liouvillian(origin.model, s).apply(now.rho, order)).real / n
        yield from row.rows(value, s, now.t)


def _state_rows(system: System, rho: np.ndarray, head: Row, rows: Sequence[Quantity]) -> Iterator[Row]:
    quantities = {row.name for row in rows}
    averages: dict[str, float] = {}
    if set(SPINS) & quantities:
        averages = spin_averages(rho)
    if "purity" in quantities:
        averages["purity"] = purity(rho)
    for name, value in averages.items():
        if name in quantities:
            yield {"quantity": name, **head, "value": value}
    if quantities & {*PROFILES.values()}:
        reduced = one_site(rho)
        for axis, name in zip(PAULI, PROFILES.values()):
            if name in quantities:
                for site, state in enumerate(reduced):
                    value = float(np.trace(PAULI[axis] @ state).real)
                    yield {"quantity": name, **head, "value": value, "site": site}
    if quantities & {*CORRELATIONS.values()}:
        pairs = pairs_by_distance(system.shape, system.params.get("boundary") == "periodic")
        for axis, name in zip(PAULI, CORRELATIONS.values()):
            if name in quantities:
                for distance, at in pairs.items():
                    value = float(two_point(rho, axis, at).mean())
                    yield {"quantity": name, **head, "value": value, "distance": distance}
    if system.quantum is None:
        return
    if DISTRIBUTION in quantities:
        for state, value in enumerate(system.quantum.povm.distribution(rho)):
            yield {"quantity": DISTRIBUTION, **head, "value": value, "state": state}
    for row in (row for row in rows if row.observe is not None):
        yield from row.rows(row.average(system, system.quantum.povm.distribution(rho), head["s"]), **head)
