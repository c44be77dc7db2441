"""``solve``: every exact quantity of a small system as one tidy table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.exact.definitions.field import occupation
from vanbench.exact.definitions.quantities import EXACT_DEFAULT, QUANTITIES, asked, given, kind_of, order_of, row_of
from vanbench.exact.definitions.quantity import CLASSICAL, LINDBLAD, QUANTUM, VECTORS, Quantity
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, Unstable, unknown
from vanbench.exact.matrixfree import krylov, solve_lanczos
from vanbench.exact.matrixfree.derivatives import FIRST_STEP
from vanbench.exact.matrixfree.eigenvectors import leading_values, leading_vectors, scgf_and_gap
from vanbench.exact.matrixfree.kernel import Layout, Operator
from vanbench.exact.matrixfree.local import Local, tilted
from vanbench.exact.matrixfree.marginals import site_sums
from vanbench.exact.matrixfree.solve_lanczos import Question
from vanbench.exact.method import METHODS, choose
from vanbench.exact.sparse.generator import generator
from vanbench.exact.sparse.propagate import Evolved, evolve, steps_of
from vanbench.exact.sparse.signed import negative, resolved
from vanbench.exact.sparse.spectrum import euler_limit, euler_limit_of
from vanbench.exact.tidy import Row, tidy

LATEST = 1e9  # time units (errors of ln Z grow like t |W| 1e-16), and Euler steps
SHARED = "the largest eigenvalue is degenerate: classes of states that no moves connect (absorbing states?) share it"


def solve(
    system: System,
    s: float | Sequence[float] = 0.0,
    times: float | Sequence[float] = (1.0,),
    quantities: str | Sequence[str] | None = None,
    scheme: str = "continuous",
    dt: float | None = None,
    observable: str = "activity",
    method: str = "auto",
    progress: Callable[[str], None] | None = None,
    folder: Path | None = None,
) -> pd.DataFrame:
    """Exact values, tidy: columns ``quantity, s, t, value, bound, bound_kind, note`` (``site``, ``state``, ``k``
    where they apply).

    ``ln_Z = ln <-|exp(t W_s)|P_0>``; ``activity k = -(1/(N t)) d ln_Z/ds`` and ``susceptibility dk/ds`` of the tilted
    ``observable``; ``density``, ``density_profile``, ``instantaneous_activity`` (``exp(-s) <r>/N`` in the plain
    activity; no ``k``) and ``distribution`` of the normalised evolved vector; ``trajectory_density``, the average along
    the trajectory in the s-ensemble (at times ``t``; where ``t`` is missing, in the middle of a long one, also by
    site); ``scgf``, ``gap`` and ``rate_function`` (``I = -theta - s N k`` at the ``k(s)`` beside it) of ``W_s`` with
    ``t`` missing. ``scheme="euler"`` steps with ``1 + dt W_s`` instead of continuous time. Steady quantities belong to
    ``W_s`` on all allowed states, whatever the scheme and the start: where moves do not connect them, the part that
    leads may be one that the start never reaches, and ``ln_Z / t`` then tends to a smaller value than ``scgf``.

    ``method``: ``lanczos`` (certified, where detailed balance holds), ``sparse``, ``krylov`` (matrix-free), ``dense``,
    or ``auto``; what was taken stands in ``frame.attrs["method"]``. ``bound`` is an error bound where the method gives
    one, which Lanczos does; ``bound_kind`` is ``certified`` for ``ln_Z``, whose error never exceeds it, and
    ``estimated`` for all else; a row without a bound has no known error.
    ``folder``: where long Lanczos runs are saved, and resumed from.

    In a scan over ``s`` a row whose Euler scheme is unstable holds no value and says
    so in ``note``; where every ``s`` is unstable, ``Unstable`` is raised.

    Open quantum systems go to `exact.quantum.solve.solve_quantum`, which adds ``sigma_x|y|z``, ``purity`` and others;
    the methods above keep them here, as plain generators over outcomes.

    Raises ``InputError`` for unknown names, negative times, an unstable or missing ``dt``, or a system that does not
    fit memory; nothing is computed before.
    """
    quantities = (quantities,) if isinstance(quantities, str) else quantities
    if system.quantum is not None and method not in METHODS[1:]:
        from vanbench.exact.quantum.solve import solve_quantum

        return solve_quantum(system, s, times, quantities, scheme, dt, observable, method, progress)
    quantities = [row.name for row in asked_of(system, quantities, method)]
    fields, grid = _checked(system, s, times, scheme, dt, observable, method)
    step = dt if scheme == "euler" else None
    layout = Layout(system)
    order = order_of(quantities)
    taken = [choose(system, layout, value, observable, quantities, order, method) for value in fields]
    rows: list[Row] = []
    nearby: float | np.ndarray = FIRST_STEP
    for value, how in zip(fields, taken):
        if progress:
            progress(f"s = {value:g}: {layout.size} states by {how}")
        own = None if folder is None else Path(folder) / f"s={float(value)!r}"
        ask = Question(float(value), grid, quantities, step, observable, progress, own, nearby)
        rows += solve_lanczos.rows(system, layout, ask) if how == "lanczos" else _by_vectors(system, layout, ask, how)
        nearby = ask.step
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)
    notes = {row.get("note") for row in rows if row["t"] is not None}
    if rows and step is not None and notes and None not in notes:
        raise Unstable(f"the Euler scheme with dt = {step:g} is {notes.pop()}.")
    frame = tidy(rows)
    frame.attrs["method"] = ", ".join(sorted(set(taken)))
    return frame


def asked_of(system: System, names: Sequence[str] | None, method: str) -> list[Quantity]:
    """What is asked for, by default what there is: outcomes of an open quantum system have no up-spins to count.

    Raises ``InputError`` for what the method does not give.
    """
    kind = kind_of(system)
    if kind == QUANTUM and method not in METHODS[1:]:
        return asked(names or EXACT_DEFAULT[QUANTUM], (LINDBLAD,), QUANTUM)
    if names is None:
        return [row for row in map(row_of, EXACT_DEFAULT[CLASSICAL]) if kind in row.systems]
    if kind == QUANTUM:
        known = given(VECTORS, QUANTUM)
        for name in (name for name in names if name in QUANTITIES and name not in known):
            raise InputError(
                f"method {method!r} gives {', '.join(known)} of {system.name}, no {name}: take 'povm' (the same "
                "generator), 'liouvillian' or 'qutip'."
            )
    return asked(names, (VECTORS,), kind)


def _checked(
    system: System, s: Any, times: Any, scheme: str, dt: Any, observable: str, method: str
) -> tuple[np.ndarray, np.ndarray]:
    if method not in METHODS:
        raise unknown("method", method, list(METHODS))
    if observable not in system.observables:
        raise unknown(f"observable of {system.name}", observable, system.observables)
    fields, grid = np.atleast_1d(np.asarray(s, float)), np.unique(np.atleast_1d(np.asarray(times, float)))
    if not np.isfinite(fields).all():
        raise InputError("s must be finite.")
    if not np.isfinite(grid).all() or (grid < 0).any():
        raise InputError("times must be finite and not negative.")
    if grid.max(initial=0.0) > LATEST:
        raise InputError(f"t = {grid[-1]:g}: beyond t = {LATEST:g} nothing is left of ln Z but rounding; take scgf.")
    if scheme not in ("continuous", "euler"):
        raise unknown("scheme", scheme, ["continuous", "euler"])
    if scheme == "euler":
        if dt is None or not 0 < dt < np.inf:
            raise InputError("the Euler scheme needs a positive time step: give dt (--dt).")
        if grid.max(initial=0.0) / dt > LATEST:
            raise InputError(f"dt = {dt:g} takes {grid[-1] / dt:.3g} steps to t = {grid[-1]:g}, more than {LATEST:g}.")
        steps_of(grid, dt)
    return fields, grid


def _by_vectors(system: System, layout: Layout, ask: Question, how: str) -> Iterator[Row]:
    """One row a quantity and time from the evolved vectors themselves, by the method ``how``."""
    matrix_free = how == "krylov"
    stored = None if matrix_free else generator(system, ask.s, ask.observable, space=layout.space)
    note = _unstable(stored, system, layout, ask)
    if note:
        yield from _no_value(ask, ask.times.tolist(), note)
    elif ask.evolved:
        path = _path(system, layout, ask, order_of(ask.quantities), how)
        for now in resolved(path, system, ask.s, ask.observable, layout):
            note = negative(system, ask.s, ask.observable, layout, now) if ask.dt else ""
            yield from _no_value(ask, [now.t], note) if note else _rows(system, layout, now, ask)
        if ask.asks("trajectory_density"):
            yield from _trajectory_density(system, layout, ask, how)
    yield from _steady_rows(system, layout, ask)


def _no_value(ask: Question, times: Sequence[float], note: str) -> Iterator[Row]:
    rows = ask.evolved
    return ({"quantity": r.name, "s": ask.s, "t": t, "value": np.nan, "note": note} for r in rows for t in times)


def _path(system: System, layout: Layout, ask: Question, order: int, how: str) -> Iterator[Evolved]:
    """The evolved vectors, in the order of ``layout``."""
    if how == "krylov":
        yield from krylov.evolve(system, ask.s, ask.times, ask.observable, order, ask.dt, layout, ask.progress)
        return
    dense = how == "dense"
    for now in evolve(system, ask.s, ask.times, ask.observable, order, ask.dt, layout.space, dense, ask.progress):
        yield Evolved(now.t, now.logs, np.stack([layout.from_states(p) for p in now.derivatives]))


def _unstable(stored: Any, system: System, layout: Layout, ask: Question) -> str:
    if ask.dt is None:
        return ""
    try:
        if stored is None:
            bound = Operator(layout, tilted(system, ask.s, ask.observable)).bound
            if ask.dt * bound < 2:
                return ""
            ends = [leading_values(system, ask.s, ask.observable, layout, 2, which) for which in ("SR", "LM", "LR")]
            limit, lowest = euler_limit_of(np.concatenate(ends))
        else:
            limit, lowest = euler_limit(stored)
    except InputError:  # the ends of the spectrum were not found: probabilities that turn negative will tell
        return ""
    if ask.dt < limit:
        return ""
    return f"unstable on exact vectors: lambda_min = {lowest:.6g}, so dt must stay below {limit:.6g}"


def _steady_rows(system: System, layout: Layout, ask: Question) -> Iterator[Row]:
    head = {"s": ask.s, "t": None}
    if ask.asks("scgf", "gap"):
        names = [name for name in ("scgf", "gap") if name in ask.quantities]
        try:
            top = scgf_and_gap(system, ask.s, ask.observable, layout)
        except InputError as error:
            yield from ({"quantity": name, **head, "value": np.nan, "note": str(error)} for name in names)
        else:
            found = {"scgf": (top.theta, top.theta_error), "gap": (top.gap, top.gap_error)}
            for name in names:
                row = {"quantity": name, **head, "value": found[name][0], "bound": found[name][1]}
                yield {**row, "note": SHARED} if name == "gap" and top.shared else row
    asked = [name for name in ("rate_function", "trajectory_density") if name in ask.quantities]
    if not asked:
        return
    try:
        vectors = leading_vectors(system, ask.s, ask.observable, layout)
    except InputError as error:
        yield from ({"quantity": name, **head, "value": np.nan, "note": str(error)} for name in asked)
        return
    if "rate_function" in asked:
        slope = vectors.left @ (Operator(layout, tilted(system, ask.s, ask.observable, 1)) @ vectors.right)
        value = ask.s * slope - vectors.theta
        yield {"quantity": "rate_function", **head, "value": value, "k": -slope / system.n_sites}
    if "trajectory_density" in asked:
        yield from solve_lanczos.long_time_density(layout, vectors.stationary, head)


def _rows(system: System, layout: Layout, now: Evolved, ask: Question) -> Iterator[Row]:
    """Rows of the evolved vector ``now``; the average of a function that has no faster way over all configurations."""
    profile = cache(lambda: _profile(system, layout, now))
    faster: dict[str, Callable[[], Any]] = {
        "ln_Z": lambda: now.ln_z,
        "activity": lambda: _cumulant(system, layout, now, ask, 1),
        "susceptibility": lambda: _cumulant(system, layout, now, ask, 2),
        "density": lambda: profile().mean(),
        "density_profile": profile,
        "instantaneous_activity": lambda: _instantaneous(system, layout, now, ask.s),
        "distribution": lambda: layout.to_states(now.distribution),
    }
    for row in ask.evolved:
        if row.name in faster:
            yield from row.rows(faster[row.name](), ask.s, now.t)
        elif row.observe is not None:
            yield from row.rows(row.average(system, layout.to_states(now.distribution), ask.s), ask.s, now.t)


def _profile(system: System, layout: Layout, now: Evolved) -> np.ndarray:
    profile, total = site_sums(layout, now.distribution, _ones(system))
    return profile / total


def _instantaneous(system: System, layout: Layout, now: Evolved, s: float) -> float:
    escape = -float(Operator(layout, _diagonals(system)).diagonal() @ now.distribution)
    return np.exp(-s) * escape / system.n_sites


def _diagonals(system: System) -> list[Local]:
    return [Local(p.sites, np.diag(np.diag(p.matrix))) for p in tilted(system)]


def _cumulant(system: System, layout: Layout, now: Evolved, ask: Question, order: int) -> float:
    """``-(1/(N t)) d^order ln Z/ds^order``; at ``t = 0`` its limit, ``-(1/N) <-| d^order W_s/ds^order |P_0>``."""
    if now.t:
        return -now.cumulants[order] / (system.n_sites * now.t)
    derivative = Operator(layout, tilted(system, ask.s, ask.observable, order))
    return -float((derivative @ layout.initial()).sum()) / system.n_sites


def _trajectory_density(system: System, layout: Layout, ask: Question, how: str) -> Iterator[Row]:
    """``(1/(N t)) int_0^t <sum_i x_i>``: minus the derivative of ``ln Z`` by a field on the integrated up-spins.

    In Euler steps that derivative replaces one step by ``dt sum_i x_i``: ``J - 1`` steps are left to weigh with.
    """
    tilted_system = occupation(system, ask.s, ask.observable)
    before = ask.times if ask.dt is None else ask.times - ask.dt
    grid = np.unique(np.maximum([*ask.times, *before], 0.0))
    last = 0.0
    for now in _path(tilted_system, layout, solve_lanczos.Question(0.0, grid, (), ask.dt, "occupation"), 1, how):
        weight, last = now.t if ask.dt is None else now.t * np.exp(last - now.ln_z), now.ln_z
        if now.t not in ask.times or (ask.dt and negative(system, ask.s, ask.observable, layout, now)):
            continue
        mean = -now.cumulants[1] / weight if now.t else site_sums(layout, layout.initial(), _ones(system))[0].sum()
        yield {"quantity": "trajectory_density", "s": ask.s, "t": now.t, "value": mean / system.n_sites}


def _ones(system: System) -> np.ndarray:
    return np.ones((system.n_sites, system.local_dim))
