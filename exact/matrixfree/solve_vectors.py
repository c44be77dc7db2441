"""Rows of ``solve`` from the evolved vectors themselves, for any system whose vectors fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from vanbench.exact.definitions.field import occupation
from vanbench.exact.definitions.quantities import order_of
from vanbench.exact.definitions.quantity import QUSPIN
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree import krylov, uniformisation
from vanbench.exact.matrixfree.eigenvectors import leading_values, leading_vectors, scgf_and_gap
from vanbench.exact.matrixfree.kernel import Layout, Operator
from vanbench.exact.matrixfree.local import Local, tilted, transposed
from vanbench.exact.matrixfree.marginals import site_sums
from vanbench.exact.matrixfree.solve_lanczos import ALONE, Question, long_time_density, rate_function
from vanbench.exact.sparse.generator import generator
from vanbench.exact.sparse.propagate import FEW, LONG, Evolved, evolve
from vanbench.exact.sparse.signed import negative, resolved
from vanbench.exact.sparse.spectrum import euler_limit, euler_limit_of
from vanbench.exact.tidy import Row

LAG = 10.0  # of a logarithm: errors of 1e-13 of the whole are then 2e-9 of what leads
STRETCH = 1e4  # products with the generator that keep the digits of each entry, before long Krylov steps
SHARED = "the largest eigenvalue is degenerate: classes of states that no moves connect (absorbing states?) share it"


def rows(system: System, layout: Layout, ask: Question, how: str) -> Iterator[Row]:
    """One row a quantity and time from the evolved vectors themselves, by the method ``how``."""
    stored = None if how in ("krylov", QUSPIN) else generator(system, ask.s, ask.observable, space=layout.space)
    note = _unstable(stored, system, layout, ask)
    if note:
        yield from _no_value(ask, ask.times.tolist(), note)
    elif ask.evolved:
        path = _path(system, layout, ask, order_of(ask.quantities), how)
        for now in resolved(path, system, ask.s, ask.observable, layout):
            note = negative(system, ask.s, ask.observable, layout, now) if ask.dt else ""
            yield from _no_value(ask, [now.t], note) if note else _at_time(system, layout, now, ask)
        if ask.asks("trajectory_density"):
            yield from _trajectory_density(system, layout, ask, how)
    yield from _steady_rows(system, layout, ask)


def _no_value(ask: Question, times: Sequence[float], note: str) -> Iterator[Row]:
    rows = ask.evolved
    return ({"quantity": r.name, "s": ask.s, "t": t, "value": np.nan, "note": note} for r in rows for t in times)


def _path(system: System, layout: Layout, ask: Question, order: int, how: str) -> Iterator[Evolved]:
    """The evolved vectors, in the order of ``layout``.

    Errors of Krylov steps and Taylor series are relative to the whole: what is to lead later and weighs next to nothing
    now would be lost in them. Such paths are taken again by what keeps the digits of each entry.
    """
    if ask.dt is not None or how in ("dense", QUSPIN):
        yield from _by(system, layout, ask, order, how)
        return
    latest = float(ask.times.max(initial=0.0))
    uniform, first = _uniformisation(system, layout, ask, order), None
    if uniform:
        uneven, few = uniform.uneven(latest) > LAG, layout.size <= FEW
        most = (STRETCH if few else LONG) if uneven else uniformisation.MOST if how == "krylov" and not order else 0.0
        early = ask.times * uniform.products <= most
        yield from uniform.evolve(ask.times[early])
        ask = replace(ask, times=ask.times[~early])
        if uneven and few:  # powers of a matrix keep the digits of each entry, too
            how = "dense"
        elif uneven and len(ask.times):
            first = _emerged(uniform)
    leading = _leading_rate(system, layout, ask) if uniform and len(ask.times) else None
    for now in _by(system, layout, ask, order, how, first):
        if uniform and leading and now.t * leading(now) - now.ln_z > LAG:
            later = ask.times[ask.times >= now.t]
            if layout.size <= FEW:
                yield from _by(system, layout, replace(ask, times=later), order, "dense")
                return
            if latest * uniform.products <= LONG:
                yield from uniform.evolve(later)
                return
            if first is None:
                first = _emerged(uniform)
                yield from uniform.evolve(later[later <= first.t])
                yield from _by(system, layout, replace(ask, times=later[later > first.t]), order, how, first)
                return
        yield now


def _emerged(uniform: uniformisation.Uniformisation) -> Evolved:
    """After so many jumps what leads has mostly emerged, with all its digits."""
    return next(uniform.evolve(np.array([STRETCH / uniform.products])))


def _uniformisation(system: System, layout: Layout, ask: Question, order: int) -> uniformisation.Uniformisation | None:
    escape = uniformisation.escape_rate(system, ask.s, ask.observable, layout)
    if not escape:
        return None
    return uniformisation.Uniformisation(system, ask.s, ask.observable, order, layout, escape)


def _leading_rate(system: System, layout: Layout, ask: Question) -> Callable[[Evolved], float]:
    """The growth rate of what leads in the end; of many states that of the whole by now."""
    if layout.size <= FEW:
        with suppress(InputError):
            theta = float(leading_values(system, ask.s, ask.observable, layout)[0].real)
            return lambda now: theta
    growth = Operator(layout, transposed(tilted(system, ask.s, ask.observable))) @ np.ones(layout.size)
    return lambda now: float(growth @ now.distribution)


def _by(
    system: System, layout: Layout, ask: Question, order: int, how: str, first: Evolved | None = None
) -> Iterator[Evolved]:
    """``first``: a vector, in the order of ``layout``, to go on from."""
    if how == "krylov":
        yield from krylov.evolve(system, ask.s, ask.times, ask.observable, order, ask.dt, layout, ask.progress, first)
        return
    if how == QUSPIN:
        from vanbench.exact.sparse import quspin_route

        path = quspin_route.evolve(system, ask.s, ask.times, ask.observable, order)
    else:
        dense = how == "dense"
        if first is not None:
            first = Evolved(first.t, first.logs, np.stack([layout.to_states(p) for p in first.derivatives]))
        path = evolve(system, ask.s, ask.times, ask.observable, order, ask.dt, layout.space, dense, ask.progress, first)
    for now in path:
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
            leading = {"scgf": (top.theta, top.theta_error), "gap": (top.gap, top.gap_error)}
            for name in names:
                row = {"quantity": name, **head, "value": leading[name][0], "bound": leading[name][1]}
                note = "" if name == "scgf" else SHARED if top.shared else ALONE if np.isnan(top.gap) else ""
                yield {**row, **({"note": note} if note else {})}
    asked = [name for name in ("rate_function", "trajectory_density") if name in ask.quantities]
    if not asked:
        return
    try:
        vectors = leading_vectors(system, ask.s, ask.observable, layout)
    except InputError as error:
        yield from ({"quantity": name, **head, "value": np.nan, "note": str(error)} for name in asked)
        return
    if "rate_function" in asked:
        image = Operator(layout, tilted(system, ask.s, ask.observable, 1)) @ vectors.right
        slope = float(vectors.left @ image)
        spread = float(np.abs(vectors.left) @ np.abs(image - slope * vectors.right))
        found = (vectors.theta, vectors.theta_error), (slope, vectors.error * spread)
        yield rate_function(system, ask.s, *found, head)
    if "trajectory_density" in asked:
        yield from long_time_density(layout, vectors.stationary, vectors.error, head)


def _at_time(system: System, layout: Layout, now: Evolved, ask: Question) -> Iterator[Row]:
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
    for now in _path(tilted_system, layout, Question(0.0, grid, (), ask.dt, "occupation"), 1, how):
        weight, last = now.t if ask.dt is None else now.t * np.exp(last - now.ln_z), now.ln_z
        if now.t not in ask.times or (ask.dt and negative(system, ask.s, ask.observable, layout, now)):
            continue
        mean = -now.cumulants[1] / weight if now.t else site_sums(layout, layout.initial(), _ones(system))[0].sum()
        yield {"quantity": "trajectory_density", "s": ask.s, "t": now.t, "value": mean / system.n_sites}


def _ones(system: System) -> np.ndarray:
    return np.ones((system.n_sites, system.local_dim))
