"""Rows of ``solve`` by DMRG: the leading eigenvalue of ``W_s`` where detailed balance holds, at any size.

For the symmetric ``H = pi^-1/2 W_s pi^1/2`` no Rayleigh quotient is above ``theta(s)``: the one that was reached, less
what rounding may have added, is certified (``scgf_lower``). Its square ``phi(x)^2`` is the distribution in the middle
of a long trajectory, the stationary one of the process with the rates ``phi(x') H[x', x] / phi(x)`` (Doob's transform).
Errors are estimated from what the last doubling of the bond has changed, and from where the sweeps stood still; those
of averages also from the gap: a state whose quotient is off by ``e``, and whose residual is ``r``, holds others by up
to ``(e / gap)^(1/2)``, and ``r / gap``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vanbench.exact.definitions.quantity import DMRG as DMRG_METHOD
from vanbench.exact.definitions.system import Excluding
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.local import Local, tilted
from vanbench.exact.matrixfree.symmetrise import equilibrium, symmetric
from vanbench.exact.mps.accuracy import MARGIN, MISSED, Asked
from vanbench.exact.mps.dmrg import DMRG
from vanbench.exact.mps.mpo import product_operator, squared
from vanbench.exact.mps.operators import LocalOperatorSum
from vanbench.exact.mps.state import MatrixProductState
from vanbench.exact.tidy import CERTIFIED, Row

TILTS = (0.0, 1.0, 3.0, 8.0)  # of the equilibrium towards each value of a site: one of them is near each phase
EPS = np.finfo(float).eps
ROUNDING = 1e-12  # of theta, of the sum of the rates
SHARP = 1e-3  # of the tolerance: how still the sweeps at one bond are to stand, as vectors are off by the square root
LEFT = 10.0  # of what the last sweep has changed, may be left: where they go slowly each does nearly as much
RANDOM = 8  # product states, of both signs and no symmetry, that a search for another state starts from
PENALTY = 4.0  # on states to be kept apart from, of the largest local matrix
LEAST = 1e-2  # a smaller theta is compared with the tolerance as it is


class Leading:
    """One counting field. Raises ``InputError`` where detailed balance does not hold, or a term is too wide."""

    def __init__(self, ask: Asked):
        self.ask, system = ask, ask.system
        self.how, self.free = DMRG_METHOD, list(system.free_sites)
        if system.support is not None and not isinstance(system.support, Excluding):
            raise InputError("method 'dmrg' has no conserved sums: take an exact method, or cloning.")
        pi = equilibrium(system, ask.s, ask.observable)
        parts = None if pi is None else symmetric(tilted(system, ask.s, ask.observable), pi, system.local_dim)
        if pi is None or parts is None:
            raise InputError("method 'dmrg' needs detailed balance and a symmetric counter: take 'mps', or cloning.")
        if len(self.free) < 2:
            raise InputError("method 'dmrg' needs two free sites or more: take 'auto'.")
        self.pi = pi[self.free]
        self.operator = self._sum(parts)
        excluded = np.atleast_2d(system.support.configurations) if system.support is not None else np.zeros((0, 1))
        self.excluded = excluded[:, self.free] if len(excluded) else excluded
        self.size = sum(float(np.abs(part.matrix).sum(0).max()) for part in parts)  # no eigenvalue is beyond it
        self.penalty = PENALTY * max((float(np.abs(part.matrix).sum(0).max()) for part in parts), default=1.0)

    def _sum(self, parts: list[Local]) -> LocalOperatorSum:
        place = {site: k for k, site in enumerate(self.free)}
        moved = [Local(tuple(place[site] for site in part.sites), part.matrix) for part in parts if part.sites]
        constant = sum(float(part.matrix[0, 0]) for part in parts if not part.sites)
        if constant:
            moved.append(Local((0,), constant * np.eye(self.ask.system.local_dim)))
        return LocalOperatorSum(moved, len(self.free), self.ask.system.local_dim)

    def solved(self) -> tuple[MatrixProductState, MatrixProductState]:
        """The leading vectors of the last two bonds, of norm one."""
        ask, search = self.ask, DMRG(self._mpo(2 * self.size), self._start())
        states: list[MatrixProductState] = []
        value = -np.inf
        for bond in ask.accuracy.bonds:
            if ask.progress:
                ask.progress(f"s = {ask.s:g}: bond {bond}")
            goal = ask.accuracy.tolerance * max(LEAST, abs(value) if np.isfinite(value) else 1.0)
            now = search.run(bond, SHARP * goal)
            states.append(search.state(bond))
            if abs(now - value) <= goal:
                break
            value = now
        return states[-2], states[-1]

    def _mpo(self, penalty: float) -> list[np.ndarray]:
        return product_operator(self.operator, list(self.excluded), penalty)

    def _start(self, flip: bool = False) -> MatrixProductState:
        """A sum of products: the equilibrium and its tilts; where it is to be another state with alternating signs, and
        with products at random, for those that have a symmetry otherwise."""
        root, d = np.sqrt(self.pi), self.ask.system.local_dim
        rows = []
        for value in range(d):
            weights = np.array([np.exp(h * (np.arange(d) == value)) for h in TILTS[value > 0 :]])
            rows += [root * w / np.linalg.norm(root * w, axis=1, keepdims=True) for w in weights]
        signs = [(-1.0) ** k if flip else 1.0 for k in range(len(rows))]
        if flip:
            products = np.random.default_rng(0).standard_normal((RANDOM, *root.shape)) * root
            rows += list(products / np.linalg.norm(products, axis=2, keepdims=True))
            signs += [1.0] * RANDOM
        return MatrixProductState.sum_of_products(signs, rows, len(rows), 0.0)

    def quotient(self, state: MatrixProductState) -> float:
        """Rayleigh's, on the allowed configurations."""
        norm, energy = self.operator.between(state, state)
        out = sum(float(state.amplitudes(x[None])[0]) ** 2 for x in self.excluded)
        return (energy - 2 * self.size * out) / norm

    def overlap(self, state: MatrixProductState) -> float:
        """``<sqrt(pi)|state>``, of the equilibrium conditioned on the support."""
        root = np.sqrt(self.pi)
        overlap = self.operator.between(MatrixProductState.product(root, 1, 0.0), state)[0]
        sites, kept = np.arange(len(root)), 1.0
        for x in self.excluded:
            overlap -= float(root[sites, x].prod() * state.amplitudes(x[None])[0])
            kept -= float(self.pi[sites, x].prod())
        return overlap / kept**0.5

    def residual(self, state: MatrixProductState) -> float:
        """``|(H - theta) phi|`` of a ``state`` of norm one, with what rounding may hide of it."""
        energy = self.operator.between(state, state)[1] / state.norm**2
        square = squared(self._mpo(2 * self.size), state.tensors) / state.norm**2
        return float(np.sqrt(max(0.0, square - energy**2) + self.size * self.rounding(state)))

    def rounding(self, state: MatrixProductState) -> float:
        """What the contractions of a quotient may have added to it."""
        longest = max(state.bonds, default=1) * self.operator.d
        return 4 * EPS * self.size * (self.operator.n_sites + longest)

    def profile(self, state: MatrixProductState) -> np.ndarray:
        """Mean value of each site under the square, ``(n_sites,)``."""
        out, state = np.zeros(self.ask.system.n_sites), state.copy()
        values = np.arange(self.operator.d, dtype=float)
        for site, value in self.ask.system.pinned.items():
            out[site] = value
        for k, site in enumerate(self.free):
            state.move_centre(k)
            out[site] = (state.tensors[k] ** 2).sum((0, 2)) @ values / state.norm**2
        return out

    def slope(self, state: MatrixProductState) -> float:
        """``theta'(s)``."""
        ask = self.ask
        parts = symmetric(tilted(ask.system, ask.s, ask.observable, 1), self._whole(), ask.system.local_dim)
        assert parts is not None
        norm, energy = self._sum(parts).between(state, state)
        return energy / norm

    def _whole(self) -> np.ndarray:
        out = np.ones((self.ask.system.n_sites, self.ask.system.local_dim))
        out[self.free] = self.pi
        return out

    def next_value(self, state: MatrixProductState) -> list[float]:
        """Quotients of a state orthogonal to ``state``, by the last two bonds."""
        bonds = self.ask.accuracy.bonds
        last = max(1, next(k for k, bond in enumerate(bonds) if bond >= state.max_bond))
        other = DMRG(self._mpo(2 * self.size), self._start(flip=True), [state], self.penalty)
        values = [other.run(bond, SHARP * self.ask.accuracy.tolerance * LEAST) for bond in bonds[: last + 1]]
        return values[-2:]

    def rows(self) -> Iterator[Row]:
        ask, head = self.ask, {"s": self.ask.s, "t": None}
        before, last = self.solved()
        values = [self.quotient(state) for state in (before, last)]
        theta, asks = max(values), set(ask.quantities)
        rounding = ROUNDING * self.size
        still = LEFT * SHARP * ask.accuracy.tolerance
        error = MARGIN * abs(values[1] - values[0]) + still * max(LEAST, abs(theta)) + rounding
        if "scgf" in asks:
            note = {"note": MISSED} if error > 2 * MARGIN * ask.accuracy.tolerance * max(abs(theta), LEAST) else {}
            yield {"quantity": "scgf", **head, "value": theta, "bound": error, **note}
        if "scgf_lower" in asks:
            yield {
                "quantity": "scgf_lower", **head, "value": theta - self.rounding(last), "bound_kind": CERTIFIED,
            }  # fmt: skip
        if not asks & {"gap", "rate_function", "trajectory_density"}:
            return
        seconds = self.next_value(last)
        gap, off = theta - seconds[1], error + MARGIN * abs(seconds[1] - seconds[0]) + still * LEAST + rounding
        if "gap" in asks:
            yield {"quantity": "gap", **head, "value": max(gap, 0.0), "bound": off}
        if gap <= off:
            why = (
                f"the gap, {max(gap, 0.0):.1e} +- {off:.1e}, is not resolved, and averages are not known; a larger bond"
            )
            names = sorted(asks & {"rate_function", "trajectory_density"})
            blank = {**head, "value": np.nan, "note": f"{why} may do it"}
            yield from ({"quantity": name, **blank} for name in names)
        else:
            angle = min(1.0, (error / (gap - off)) ** 0.5, self.residual(last) / (gap - off))
            yield from self._averages(before, last, theta, error, angle, head)

    def _averages(
        self, before: MatrixProductState, last: MatrixProductState, theta: float, error: float, angle: float, head: Row
    ) -> Iterator[Row]:
        """Over the square of ``last``, which holds other states by ``angle``."""
        ask = self.ask
        if "rate_function" in ask.quantities:
            slopes = [self.slope(state) for state in (before, last)]
            rise = MARGIN * abs(slopes[1] - slopes[0]) + 2 * angle * abs(slopes[1])
            value, k = ask.s * slopes[1] - theta, -slopes[1] / ask.system.n_sites
            yield {"quantity": "rate_function", **head, "value": value, "bound": error + abs(ask.s) * rise, "k": k}
        if "trajectory_density" in ask.quantities:
            profiles = [self.profile(state) for state in (before, last)]
            mixture = (ask.system.local_dim - 1) * (angle + angle**2)
            apart = MARGIN * np.abs(profiles[1] - profiles[0]) + mixture
            mean = MARGIN * abs(profiles[1].mean() - profiles[0].mean()) + mixture
            row = {"quantity": "trajectory_density", **head}
            yield {**row, "value": profiles[1].mean(), "bound": mean}
            for site, (value, bound) in enumerate(zip(profiles[1], apart)):
                yield {**row, "value": value, "bound": bound, "site": site}
