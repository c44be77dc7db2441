"""Rows of ``solve`` for systems with detailed balance: Lanczos quadrature with certified bounds, at any size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vanbench.exact.definitions.quantities import evolved
from vanbench.exact.definitions.quantity import Quantity
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.derivatives import FIRST_STEP, Derivatives, central
from vanbench.exact.matrixfree.kernel import Layout
from vanbench.exact.matrixfree.local import Local, diagonal, tilted
from vanbench.exact.matrixfree.marginals import site_sums
from vanbench.exact.matrixfree.quadrature import EPS, rounding
from vanbench.exact.matrixfree.spectral import ACCURACY, energy, gap_below, lowest, mixed
from vanbench.exact.matrixfree.symmetric import DENSE, Run, Symmetric
from vanbench.exact.tidy import CERTIFIED, ESTIMATED, Row

NO_BOUND = {"bound": np.nan, "bound_kind": ""}
ALONE = "a single state has one eigenvalue, and no gap"
NEGATIVE = (
    "unstable on exact vectors: probabilities turn negative, so dt must stay below 1 over the fastest escape rate"
)


@dataclass
class Question:
    """What is asked at one counting field. ``step``: of differences in ``s``; afterwards those for a field nearby."""

    s: float
    times: np.ndarray
    quantities: Sequence[str]
    dt: float | None
    observable: str
    progress: Callable[[str], None] | None = None
    folder: Path | None = None
    step: float | np.ndarray = FIRST_STEP

    def asks(self, *names: str) -> bool:
        return bool(set(names) & set(self.quantities))

    @property
    def evolved(self) -> list[Quantity]:
        """The rows of what has a time."""
        return evolved(self.quantities)

    def differences(
        self, engine: Symmetric, run: Run, near: Callable[[float], Symmetric], step: float | np.ndarray
    ) -> Derivatives:
        """Derivatives of ``ln Z`` by a field ``h`` that ``near`` puts on; ``run`` of ``engine`` is that without.

        The runs nearby are not certified each: none is believed to be better than the one at the centre.
        """
        centre = run.ln_z(self.times, self.dt)

        def shifted(h: float) -> tuple[np.ndarray, np.ndarray]:
            there = near(h).run(self.times, self.dt, near=(engine, run), progress=self.progress, folder=self.folder)
            value, bound = there.ln_z(self.times, self.dt)
            return value, np.maximum(bound, centre[1])

        return central(shifted, centre, step)


def rows(system: System, layout: Layout, ask: Question) -> Iterator[Row]:
    """One row a quantity and time, with its bound; a note where the Euler scheme is unstable."""
    engine = Symmetric(system, ask.s, ask.observable, layout=layout)
    run = engine.run(
        ask.times,
        ask.dt,
        theta=ask.asks("scgf"),
        vector=ask.asks("gap", "rate_function", "trajectory_density"),
        profile=ask.asks("density", "density_profile"),
        progress=ask.progress,
        folder=ask.folder,
    )
    note = unstable(engine, run, ask.dt)
    if note:
        for row in ask.evolved:
            for t in ask.times:
                yield {"quantity": row.name, "s": ask.s, "t": t, "value": np.nan, "note": note}
    else:
        z = dict(zip(ask.times, run.ln_z(ask.times, ask.dt)[0])) if ask.times.size else {}
        for cells in _evolved(engine, run, ask):
            yield cells if z[cells["t"]] > -np.inf else {**cells, "value": np.nan, "note": NEGATIVE, **NO_BOUND}
    yield from _steady(engine, run, ask)


def unstable(engine: Symmetric, run: Run, dt: float | None) -> str:
    """Why Euler steps of ``dt`` are unstable on exact vectors, or empty: they need ``dt |lambda_min| < 2``."""
    if dt is None or dt * engine.op.bound < 2:
        return ""
    smallest = float(run.tri.ritz()[0][0])  # never below the true one: enough to tell that the scheme is unstable
    if -dt * smallest < 2:
        smallest = run.lower if engine.op.size <= DENSE else lowest(engine)
    if -dt * smallest < 2:
        run.lower = max(run.lower, smallest * (1 + 1e-5))  # the crude one, beyond -2 / dt, bounds nothing at long times
        return ""
    return f"unstable on exact vectors: lambda_min = {smallest:.6g}, so dt must stay below {-2 / smallest:.6g}"


def _evolved(engine: Symmetric, run: Run, ask: Question) -> Iterator[Row]:
    if not ask.times.size:
        return
    values: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    centre = run.ln_z(ask.times, ask.dt)
    if ask.asks("ln_Z"):
        values["ln_Z"] = centre
    if ask.asks("activity", "susceptibility"):
        values.update(derivative_values(engine, run, ask))
    if ask.asks("instantaneous_activity"):
        values["instantaneous_activity"] = _instantaneous(engine, run, ask, centre[1])
    if ask.asks("trajectory_density"):
        values["trajectory_density"] = _trajectory_density(engine, run, ask, centre)
    if ask.asks("density", "density_profile"):
        profile, limits = run.profile(ask.times, ask.dt)
        values["density"] = (profile.mean(1), limits)
    for name in (q for q in values if q in ask.quantities):
        for t, value, bound in zip(ask.times, *values[name]):
            yield {
                "quantity": name, "s": ask.s, "t": t, "value": value, **told(bound, certified=name == "ln_Z"),
            }  # fmt: skip
    if ask.asks("density_profile"):
        for t, line, limit in zip(ask.times, profile, limits):
            for site, value in enumerate(line):
                yield {
                    "quantity": "density_profile", "s": ask.s, "t": t, "value": value, **told(limit), "site": site,
                }  # fmt: skip


def told(bound: float, certified: bool = False) -> Row:
    """The columns of a bound, empty where it is not finite: the error is not known."""
    if not np.isfinite(bound):
        return NO_BOUND
    return {"bound": bound, "bound_kind": CERTIFIED if certified else ESTIMATED}


def derivative_values(engine: Symmetric, run: Run, ask: Question) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """``activity`` and ``susceptibility`` at each time, with estimated errors."""
    answer = _in_s(engine, run, ask)
    zero, n = ask.times == 0, engine.system.n_sites
    scale = n * np.where(zero, 1.0, ask.times)
    first, second = _at_zero(engine) if zero.any() else (0.0, 0.0)
    return {
        "activity": (np.where(zero, first, -answer.first / scale), np.where(zero, 0, answer.first_error / scale)),
        "susceptibility": (
            np.where(zero, second, -answer.second / scale),
            np.where(zero, 0, answer.second_error / scale),
        ),
    }


def _in_s(engine: Symmetric, run: Run, ask: Question) -> Derivatives:
    """``d ln Z/ds`` and ``d^2 ln Z/ds^2`` from runs at neighbouring counting fields."""

    def near(h: float) -> Symmetric:
        return Symmetric(engine.system, ask.s + h, ask.observable, layout=engine.layout)

    answer = ask.differences(engine, run, near, ask.step)
    ask.step = answer.step
    return answer


def _at_zero(engine: Symmetric) -> tuple[float, float]:
    """``k`` and ``dk/ds`` in the limit ``t -> 0``: ``-(1/N) <-| d^order W_s/ds^order |P_0>``, term by term."""
    system = engine.system
    start = engine.layout.initial()
    answer = []
    for order in (1, 2):
        parts = tilted(system, engine.s, engine.observable, order)
        columns = [Local(p.sites, np.diag(p.matrix.sum(0))) for p in parts]
        answer.append(-engine.layout.operator(columns).apply(np.sqrt(start), np.empty_like(start)) / system.n_sites)
    return answer[0], answer[1]


def _instantaneous(engine: Symmetric, run: Run, ask: Question, bounds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``exp(-s) <r> / N``, from ``<-|W_s|p> = (exp(-s) - 1) <r>``; at ``s = 0`` the start is stationary.

    Rounding of the operator shifts weight between states, by ``t |W| 1e-16`` at most, which counts as far as they
    differ; to that comes what ``bounds`` of ``ln Z`` leave open in the weights.
    """
    n, s = engine.system.n_sites, engine.s
    rounded = 8 * EPS * engine.op.bound
    if s == 0:
        start = engine.layout.initial()
        parts = [Local(p.sites, np.diag(np.diag(p.matrix))) for p in tilted(engine.system)]
        escape = -engine.layout.operator(parts).diagonal()
        rate = float(start @ escape)
        width = float(np.sqrt(start @ (escape - rate) ** 2))
        return np.full(len(ask.times), rate / n), rounded * (1 + ask.times * width)
    factor = np.exp(-s) / np.expm1(-s) / n
    growth, spread = run.growth(ask.times, ask.dt)
    off = rounding(run.tri, ask.times, ask.dt)
    nodes, missing = run.tri.gauss.nodes, np.maximum(bounds - off, 0.0)
    errors = rounded + spread * off + 2 * (nodes[-1] - nodes[0]) * missing
    return factor * growth, abs(factor) * errors


def _trajectory_density(
    engine: Symmetric, run: Run, ask: Question, centre: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """``(1/(N t)) int_0^t <sum_i n_i>`` in the s-ensemble: the derivative of ``ln Z`` by a field on the up-spins.

    In Euler steps that derivative replaces one step by ``dt sum_i n_i``: ``J - 1`` steps are left to weigh with.
    """
    system, free = engine.system, engine.system.free_sites
    pinned = float(sum(system.pinned.values()))
    values = np.arange(system.local_dim)

    def near(h: float) -> Symmetric:
        return Symmetric(system, ask.s, ask.observable, [diagonal(site, h * values) for site in free], engine.layout)

    answer = ask.differences(engine, run, near, FIRST_STEP)
    n, t = system.n_sites, np.where(ask.times > 0, ask.times, 1.0)
    off = np.zeros(len(t))  # relative, of the weight
    if ask.dt is not None:
        before, bound = run.ln_z(np.maximum(ask.times - ask.dt, 0.0), ask.dt)
        t, off = t * np.exp(before - centre[0]), bound + centre[1]
    at_zero = _density_at_zero(engine) if (ask.times == 0).any() else 0.0
    value = np.where(ask.times > 0, (answer.first / t + pinned) / n, at_zero)
    return value, np.where(ask.times > 0, (answer.first_error + np.abs(answer.first) * off) / (n * t), 0.0)


def _density_at_zero(engine: Symmetric) -> float:
    sums, total = site_sums(engine.layout, engine.layout.initial(), np.ones_like(engine.pi))
    return float(sums.sum() / total / engine.system.n_sites)


def _steady(engine: Symmetric, run: Run, ask: Question) -> Iterator[Row]:
    head = {"s": ask.s, "t": None}
    theta, residual = run.tri.theta()
    bound = residual + float(rounding(run.tri, np.ones(1))[0])
    if ask.asks("scgf"):
        yield {"quantity": "scgf", **head, "value": theta, "bound": bound}
    if not ask.asks("gap", "rate_function", "trajectory_density"):
        return
    leading = engine.leading(run.tri)
    gap, off = np.nan, 0.0
    if engine.layout.size - len(engine.layout.excluded) > 1:
        gap, off = gap_below(engine, leading, theta)
    off += bound
    try:
        error = 2 * mixed(gap, off, bound)
    except InputError as refused:
        names = filter(ask.asks, ("trajectory_density", "rate_function"))
        yield from ({"quantity": name, **head, "value": np.nan, "note": str(refused)} for name in names)
    else:
        if ask.asks("trajectory_density"):
            yield from long_time_density(engine.layout, leading**2, error, head)
        if ask.asks("rate_function"):
            slope, spread = energy(engine, leading, tilted(engine.system, ask.s, ask.observable, 1))
            yield rate_function(engine.system, ask.s, (theta, bound), (slope, error * spread), head)
    if ask.asks("gap"):
        yield {
            "quantity": "gap",
            **head,
            "value": np.maximum(gap, 0.0),
            **({"note": ALONE} if np.isnan(gap) else told(off + 2 * ACCURACY)),
        }


def rate_function(system: System, s: float, theta: tuple[float, float], slope: tuple[float, float], head: Row) -> Row:
    """``I = s theta' - theta``, from values with their errors."""
    (top, top_error), (rise, rise_error) = theta, slope
    row = {"quantity": "rate_function", **head, "value": s * rise - top, "k": -rise / system.n_sites}
    return {**row, **told(abs(s) * rise_error + top_error + 2 * EPS * (abs(s * rise) + abs(top)))}


def long_time_density(layout: Layout, weights: np.ndarray, error: float, head: Row) -> Iterator[Row]:
    """Mean of each site over ``weights`` (``l(x) r(x)``): the profile in the middle of a long trajectory. ``error``: of
    averages of what is at most one."""
    sums, total = site_sums(layout, weights, np.ones((layout.system.n_sites, layout.system.local_dim)))
    profile, most = sums / total, layout.system.local_dim - 1
    bound = told(most * (error + layout.system.n_sites * 4 * EPS))
    yield {"quantity": "trajectory_density", **head, "value": profile.mean(), **bound}
    for site, value in enumerate(profile):
        yield {"quantity": "trajectory_density", **head, "value": value, "site": site, **bound}
