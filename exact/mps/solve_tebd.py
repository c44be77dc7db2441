"""Rows of ``solve`` by TEBD, at any size, each with an error that two bonds and two time steps show.

Where detailed balance holds and the start is the equilibrium, ``Z_t`` is the norm of a symmetrised state at half the
time, and ``P_t`` the same state at the whole. ``activity`` and the like are differences of ``ln Z`` by a field.

The bond doubles, and what is cut although there is room shrinks, until the values change by less than the tolerance;
then the step is halved until they do. The error is `MARGIN` times the change of the last doubling plus that of the last
halving, with what rounding and differences leave; `tests/exact/test_mps_solve.py` counts how often it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from vanbench.exact.definitions.field import occupation
from vanbench.exact.definitions.quantities import evolved, order_of, row_of
from vanbench.exact.definitions.quantity import MPS, Quantity
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.local import Local
from vanbench.exact.mps.accuracy import MARGIN, MISSED, Accuracy, Asked
from vanbench.exact.mps.evolution import Evolution
from vanbench.exact.mps.observables import averages, distances, total
from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.tidy import Row

STEPS = {False: 0.2, True: 0.8}  # forward, symmetrised: small for rates of order one, by the fourth order
CUTOFFS = 1e-13, 1e-2  # squares that the smallest bond does without, and what each doubling makes of them
STEPPED = 1 / 8  # what is left of the change by the last halving of a step; of fourth order it would be 1/15
HALVINGS = 4  # of the longest step, at most
ROUNDING = 1e-14  # of ln Z, for each unit of time, rate and site
LEAST = 0.1  # changes of a smaller ln Z, or rate, are compared with the tolerance as they are
FIELD = 2.0**-6  # first step of differences in a field
FLATTEST = 2.0**-14
BENT = 24.0  # error of the fourth order over the square of the second's, both relative: 4 for a simple pole
PASSES, OVERHEAD, FLOPS, SPEED = 12, 3e-4, 30, 2e9  # of a step of fourth order; of a gate, in seconds and flops
EARLY = 5.0  # longest time steps; until then the start has not changed much
WATCHED = 16  # bond of the leading eigenvector that long times are compared with
HIDDEN = "the leading eigenvector alone gives ln Z = {:.6g} or more: the bonds have cut a phase; take a larger bond"
LONGEST = 1e5  # seconds: more than a day for the smallest bond
Values = dict[str, np.ndarray]  # by quantity: (n_times,) or (n_times, m)


class Evolved:
    """One counting field. Raises ``InputError`` for what matrix product states cannot hold, before any work."""

    def __init__(self, ask: Asked):
        self.ask, self.how, self.symmetrised = ask, MPS, True
        try:
            start = self._begin(ask.s)
        except InputError:  # no detailed balance, or nothing at all
            self.symmetrised = False
            start = self._begin(ask.s)
        self.longest = start.tebd.longest
        self.steepest = 1 / self.longest
        self.averages = {name: f for name, f in averages(ask.system, ask.s).items() if name in ask.quantities}
        self._fields = {"activity": FIELD, "occupation": FIELD}

    def _begin(self, s: float, bond: int = 2, cutoff: float = 0.0, occupied: bool = False) -> Evolution:
        ask = self.ask
        system, observable = (_occupied(ask), "occupation") if occupied else (ask.system, ask.observable)
        return Evolution(system, s, observable, bond, cutoff, symmetrised=self.symmetrised)

    def rows(self) -> Iterator[Row]:
        """Every quantity at every time, with its error; a note in place of a value that cuts have destroyed."""
        ask, known = self.ask, evolved(self.ask.quantities)
        try:
            values, errors = self.solved()
        except ArithmeticError as error:
            lost = {"s": ask.s, "value": np.nan, "note": str(error)}
            yield from ({"quantity": row.name, "t": float(t), **lost} for row in known for t in ask.times)
            return
        least = self._least()
        hidden = least > values["ln_Z"] + errors["ln_Z"]
        errors["ln_Z"] = np.maximum(errors["ln_Z"], least - values["ln_Z"])
        for row in known:
            labels = list(distances(ask.system)) if "distance" in row.axes else None
            for k, t in enumerate(ask.times):
                lines = row.rows(values[row.name][k], ask.s, float(t))
                for j, (line, bound) in enumerate(zip(lines, np.atleast_1d(errors[row.name][k]))):
                    missed = bound > self._allowed(row, line["value"])
                    note = HIDDEN.format(least[k]) if hidden[k] else MISSED if missed else ""
                    told = {"note": note} if note else {}
                    named = {"distance": labels[j]} if labels is not None else {}
                    yield {**line, "bound": float(bound), **named, **told}

    def _allowed(self, row: Quantity, value: float) -> float:
        """The largest error of a value of which neither the last doubling nor halving changed more than allowed."""
        scale = max(abs(value), LEAST) if row.relative else 1.0
        return 2 * MARGIN * self.ask.accuracy.tolerance * scale

    def _least(self) -> np.ndarray:
        """What the leading eigenvector adds to ``Z`` at each time: a part of it, where no other is negative.

        Bonds may cut a phase that the start hardly holds and that rules at long times; DMRG finds it by itself.
        """
        ask = self.ask
        if not self.symmetrised or ask.times.max(initial=0.0) <= EARLY * self.longest or len(ask.system.free_sites) < 2:
            return np.full(len(ask.times), -np.inf)
        from vanbench.exact.mps.solve_dmrg import Leading

        leading = Leading(replace(ask, accuracy=Accuracy(min(WATCHED, ask.accuracy.bond))))
        _, phi = leading.solved()
        with np.errstate(divide="ignore"):
            return 2 * np.log(abs(leading.overlap(phi))) + ask.times * leading.quotient(phi)

    def seconds(self, bond: int) -> float:
        """CPU seconds that all takes by one bond, within a factor of a few."""
        ask = self.ask
        distances = [max(part.sites) - min(part.sites) for part in self._begin(ask.s).generator.parts]
        gates = PASSES * sum(max(1, 2 * distance - 1) for distance in distances)
        steps = ask.times.max() * (2 if self.symmetrised and self.averages else 1) / (self.first_step / 2)
        runs = 1 + 4 * (order_of(ask.quantities) > 0) + 4 * ("trajectory_density" in ask.quantities)
        return 2 * runs * steps * gates * (OVERHEAD + FLOPS * (bond * ask.system.local_dim) ** 3 / SPEED)

    def require_time(self) -> None:
        """Raises ``InputError`` where the smallest bond alone would take days: rates set the longest step."""
        needed = self.seconds(self.ask.accuracy.bonds[0])
        if needed > LONGEST:
            steps = 2 * self.ask.times.max() / self.first_step
            raise InputError(
                f"s = {self.ask.s:g}: the rates allow steps of {self.first_step / 2:.2g}, {steps:.1g} of them to "
                f"t = {self.ask.times.max():g}, about {needed / 3600:.0e} hours: take a smaller |s| or earlier times"
                + (", or scgf by method 'dmrg'." if self.symmetrised else ".")
            )

    def solved(self) -> tuple[Values, Values]:
        """Values and their errors."""
        accuracy, halved = self.ask.accuracy, 1
        level, bonds = 0, accuracy.bonds
        before, last = None, self._attempt(0, halved)
        while level + 1 < len(bonds):
            level, before, last = level + 1, last, self._attempt(level + 1, halved)
            if self._agree(before, last):
                break
        if last is None or before is None:
            raise ArithmeticError(f"bonds of {bonds[level]} leave no positive total: take a larger bond.")
        longer, most = self._attempt(level - 1, halved - 1), 1 if accuracy.dt else HALVINGS
        while halved < most and not self._agree(longer, before, STEPPED):
            halved += 1
            shorter = self._attempt(level - 1, halved)
            if shorter is None:
                break
            longer, before = before, shorter
        if halved > 1:
            last = self._attempt(level, halved) or last
        return self._judged(longer, before, last)

    def _attempt(self, level: int, halved: int) -> Values | None:
        try:
            return self.measured(level, halved)
        except ArithmeticError:
            return None

    def _agree(self, a: Values | None, b: Values | None, share: float = 1.0) -> bool:
        if a is None or b is None:
            return False
        for name in (row.name for row in evolved(self.ask.quantities)):
            scale = np.maximum(np.abs(b[name]), LEAST) if row_of(name).relative else 1.0
            if not (share * np.abs(a[name] - b[name]) <= self.ask.accuracy.tolerance * scale).all():
                return False
        return True

    def _judged(self, longer: Values | None, narrow: Values, last: Values) -> tuple[Values, Values]:
        errors: Values = {}
        t, n = self.ask.times, self.ask.system.n_sites
        rounding = ROUNDING * n * (1 + t * self.steepest)
        for name in {"ln_Z", *(row.name for row in evolved(self.ask.quantities))}:
            value = last[name]
            stepped = np.inf if longer is None else STEPPED * np.abs(longer[name] - narrow[name])
            least = rounding / (1 if name == "ln_Z" else n)
            changed = np.abs(value - narrow[name]) + stepped
            if value.ndim > 1:  # two curves may cross at a site, or at a time
                changed = np.broadcast_to(changed.max(tuple(range(1, value.ndim)), keepdims=True), value.shape)
            errors[name] = MARGIN * np.maximum.accumulate(changed) + last.get(f"{name}~", 0.0)
            errors[name] = errors[name] + least.reshape(-1, *[1] * (value.ndim - 1))
        return last, errors

    @property
    def first_step(self) -> float:
        """The longest time step, which is halved at least once."""
        return 2 * (self.ask.accuracy.dt or min(STEPS[self.symmetrised], self.longest / 2))

    def measured(self, level: int, halved: int) -> Values:
        """All that is asked, by one bond and one step. Raises ``ArithmeticError`` where cuts leave no distribution."""
        ask, times = self.ask, self.ask.times
        bond, cutoff = ask.accuracy.bonds[level], CUTOFFS[0] * CUTOFFS[1] ** level
        if ask.progress:
            step = self.first_step / 2**halved
            ask.progress(f"s = {ask.s:g}: bond {bond}, {times.max() / step:.2g} steps of dt = {step:.3g}")
        ends = 2 * times if self.symmetrised else times  # where the state is that of the time
        marks = np.unique([*times, *(ends if self.averages else ())])
        grown: dict[float, float] = {}
        seen: dict[float, dict[str, np.ndarray]] = {}
        evolution = self._begin(ask.s, bond, cutoff)
        for mark, ln_z in self._follow(evolution, marks, halved):
            grown[mark] = ln_z
            if self.averages and mark in ends:
                p = evolution.probability()
                seen[mark] = {name: np.asarray(f(p)) for name, f in self.averages.items()}
        out = {"ln_Z": np.array([grown[t] for t in times])}
        out |= {name: np.array([seen[t][name] for t in ends]) for name in self.averages}

        @cache
        def shifted(h: float, occupied: bool) -> np.ndarray:
            if h == 0:
                return out["ln_Z"]
            other = self._begin(h if occupied else ask.s + h, bond, cutoff, occupied)
            return np.array([ln_z for _, ln_z in self._follow(other, times, halved)])

        scale = ask.system.n_sites * np.where(times > 0, times, 1.0)
        if order_of(ask.quantities):
            first, second = self._differences(lambda h: shifted(h, False), "activity")
            for name, (value, error), order in (("activity", first, 1), ("susceptibility", second, 2)):
                out[name] = np.where(times > 0, -value / scale, self._at_zero(order))
                out[f"{name}~"] = np.where(times > 0, error / scale, 0.0)
        if "trajectory_density" in ask.quantities:
            (value, error), _ = self._differences(lambda h: shifted(h, True), "occupation")
            start = self._begin(ask.s).probability().marginals() @ np.arange(ask.system.local_dim)
            out["trajectory_density"] = np.where(times > 0, -value / scale, start.mean())
            out["trajectory_density~"] = np.where(times > 0, error / scale, 0.0)
        return out

    def _follow(self, evolution: Evolution, marks: np.ndarray, halved: int) -> Iterator[tuple[float, float]]:
        """Each of the rising ``marks`` in time, met by equal steps, with ``ln Z`` there."""
        now, ln_z = 0.0, 0.0
        for mark in marks.tolist():
            steps = math.ceil((mark - now) / self.first_step - 1e-9) << halved
            for _ in range(steps):
                ln_z += evolution.step((mark - now) / steps)
            now = mark
            yield mark, ln_z

    def _differences(self, f: Callable[[float], np.ndarray], field: str) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """First and second derivative at 0, each with the error of its formula, of fourth order.

        That of a function whose Taylor coefficients grow geometrically is the square of the second order's, relative;
        it may pass zero at some time, so it is no less than a quarter of the change by the last halving of ``h``, of
        which a sixteenth is left.
        """
        h, before, wider = self._fields[field], math.inf, None
        while True:
            m2, m1, c, p1, p2 = (f(k * h) for k in range(-2, 3))
            low = (p1 - m1) / (2 * h), (p1 - 2 * c + m1) / h**2
            high = (8 * (p1 - m1) - (p2 - m2)) / (12 * h), (16 * (p1 + m1) - 30 * c - p2 - m2) / (12 * h**2)
            bent = [np.minimum(np.abs(a - b) / np.maximum(np.abs(b), 1e-300), 1.0) for a, b in zip(low, high)]
            falling, before = bent[0].max() < before / 2, float(bent[0].max())
            flat = BENT * before**2 <= self.ask.accuracy.tolerance or not falling or h <= FLATTEST
            if flat and wider is not None:
                break
            h, wider = h / 2, high
        self._fields[field] = 2 * h  # so that the next bond and step have two of them as well
        changes = (np.abs(now - then) / 4 for now, then in zip(high, wider))
        return tuple((v, np.maximum(BENT * r**2 * np.abs(v), d)) for v, r, d in zip(high, bent, changes))

    def _at_zero(self, order: int) -> float:
        """``-(1/N) <-|d^order W_s/ds^order|P_0>``."""
        ask = self.ask
        parts = [Local(term.sites, term.tilted(ask.observable, ask.s, order)) for term in ask.system.terms]
        start = self._begin(ask.s).probability()
        return -total(LocalOperatorSum(parts, ask.system.n_sites, ask.system.local_dim), start) / ask.system.n_sites


def expected_seconds(
    system: System, s: float, times: Sequence[float], quantities: Sequence[str], observable: str, bond: int
) -> float:
    """CPU seconds that the rows of one counting field take, within a factor of a few; the gates of bond ``bond``.

    Raises ``InputError`` for what matrix product states cannot hold.
    """
    return Evolved(Asked(system, s, np.unique(times), quantities, observable, Accuracy(bond))).seconds(bond)


def _occupied(ask: Asked) -> System:
    return occupation(ask.system, ask.s, ask.observable)
