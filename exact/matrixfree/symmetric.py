"""Certified answers for systems with detailed balance: ``Z_t = <v| exp(t H_s) |v>``, ``v = sqrt(P_0)``.

One Lanczos run at a counting field ``s`` answers every time in both schemes; see ``quadrature`` for the bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vanbench.exact.definitions.system import System, fingerprint
from vanbench.exact.matrixfree.checkpoint import Checkpoint
from vanbench.exact.matrixfree.kernel import Layout, Operator, norm_bound
from vanbench.exact.matrixfree.lanczos import NOISE, combine, lanczos
from vanbench.exact.matrixfree.local import Local, merged, tilted
from vanbench.exact.matrixfree.marginals import site_sums
from vanbench.exact.matrixfree.perron import repaired, upper_bound
from vanbench.exact.matrixfree.quadrature import EPS, Tridiagonal, continuous, euler, floor, log_functions, rounding
from vanbench.exact.matrixfree.symmetrise import equilibrium, is_equilibrium_start, symmetric

MAX_STEPS = 1000
PROFILE = 1e-8  # error allowed in site averages
DENSE = 256  # states up to which the largest eigenvalue comes from the whole matrix
VECTORS = 6  # state vectors that a solve holds at most, at its peak


def applies(system: System, s: float, observable: str) -> bool:
    """Whether the system starts in a product measure that symmetrises ``W_s``, whose moves have positive rates."""
    if any((p.matrix - np.diag(np.diag(p.matrix)) < 0).any() for p in tilted(system, s, observable)):
        return False
    pi = equilibrium(system, s, observable)
    return pi is not None and is_equilibrium_start(system, pi)


def counts_moves(system: System, observable: str) -> bool:
    """Whether ``observable`` counts every move once: ``<-|W_s|p> = (exp(-s) - 1) <r>``, ``r`` the escape rate."""
    moves = [p.matrix - np.diag(np.diag(p.matrix)) for p in tilted(system)]
    counted = [[p.matrix for p in tilted(system, 0.0, observable, order)] for order in (1, 2)]
    return all(np.allclose([-a, b], m, atol=0) for a, b, m in zip(*counted, moves))


@dataclass
class Run:
    """What one Lanczos run left: the tridiagonal matrix, the ends of the spectrum, site sums of each vector."""

    tri: Tridiagonal
    lower: float
    upper: float
    sites: np.ndarray | None = None

    def ln_z(self, times: np.ndarray, dt: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """``ln Z`` and its error bound at each time, by Euler steps of ``dt`` if it is given."""
        if dt is None:
            return continuous(self.tri, times, self.upper)
        return euler(self.tri, dt, np.rint(times / dt).astype(int), self.lower, self.upper)

    def growth(self, times: np.ndarray, dt: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """``<-|W_s|p_t> / Z_t``, the growth rate of the normaliser (``d ln Z/dt`` in continuous time), and its spread
        over the eigenvalues that count at ``t``."""
        nodes = self.tri.gauss.nodes
        f = _functions(nodes, times, dt) * np.exp(self.tri.gauss.logs)
        mean = (f @ nodes) / f.sum(1)
        return mean, np.sqrt(((nodes - mean[:, None]) ** 2 * np.abs(f)).sum(1) / np.abs(f.sum(1)))

    def profile(self, times: np.ndarray, dt: float | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Site averages of the normalised evolved distribution, ``(n_times, n_sites)``, and their error bounds."""
        assert self.sites is not None
        nodes, vectors = self.tri.ritz()
        f = _functions(nodes, times, dt)
        # first entries that are good to their own rounding, or those that turn with the others, good to rounding of 1
        firsts, size = self.tri.gauss.firsts, np.abs(f)
        own = EPS * size @ np.abs(vectors[0]) + size @ np.abs(vectors[0] - firsts)
        turned = EPS * size.max(1)
        coefficients = np.where((own < turned)[:, None], (f * vectors[0]) @ vectors.T, (f * firsts) @ vectors.T)
        z = f @ vectors[0] ** 2
        coefficients[:, 0] = z
        values = coefficients @ self.sites / z[:, None]
        last = self._left_out(times, nodes, vectors, dt)
        entries = np.minimum(own, turned) / z
        return values, 2 * last / z + 4 * floor(self.tri, times, dt) + 8 * entries

    def _left_out(self, times: np.ndarray, nodes: np.ndarray, vectors: np.ndarray, dt: float | None) -> np.ndarray:
        """``|exp(tH) v - Q exp(tT) e_1|``, at most ``off[-1] int_0^t |exp((t - r) H)| |[exp(rT)]_n1| dr``."""
        fractions = np.linspace(0, 1, 33)
        ends = np.array([self.lower, self.upper])
        out = np.zeros(len(times))
        for i, t in enumerate(times):
            inner = np.rint(fractions * t / dt) * dt if dt else fractions * t
            grown = log_functions(ends, t - inner, dt).max(1) - log_functions(nodes, np.array([t]), dt).max()
            corner = np.abs(_functions(nodes, inner, dt, grown) @ (vectors[0] * vectors[-1]))
            out[i] = self.tri.off[-1] * t * corner.max()
        return out


def _functions(nodes: np.ndarray, times: np.ndarray, dt: float | None, logs: np.ndarray | None = None) -> np.ndarray:
    """``f_t`` at the nodes, ``(n_times, n_nodes)``, times ``exp(logs)`` or over the largest: it would overflow."""
    made, signs = log_functions(nodes, times, dt), np.ones(len(nodes))
    if dt is not None:
        signs = np.where(1 + dt * nodes < 0, (-1.0) ** (np.rint(times / dt)[:, None] % 2), 1.0)
    logs = -made.max(1) if logs is None else logs
    return signs * np.exp(np.minimum(made + logs[:, None], 600.0))


class Symmetric:
    """``H_s`` of a system with detailed balance, and Lanczos runs on it.

    ``extra`` adds diagonal local operators (a field on the up-spins). Raises ``ValueError`` if no product measure
    symmetrises ``W_s``; check with ``applies``.
    """

    def __init__(
        self,
        system: System,
        s: float,
        observable: str = "activity",
        extra: Sequence[Local] = (),
        layout: Layout | None = None,
    ):
        pi = equilibrium(system, s, observable)
        if pi is None:
            raise ValueError("no product measure symmetrises this generator")
        self.system, self.s, self.observable, self.pi = system, s, observable, pi
        self.layout = layout or Layout(system)
        assert self.layout.closed
        parts = [*tilted(system, s, observable), *extra]
        self.parts = symmetric(parts, pi, system.local_dim) or []
        self.op = Operator(self.layout, self.parts)
        self.parts_key = fingerprint((p.sites, p.matrix) for p in extra)
        columns = float(sum(part.matrix.sum(0).max() for part in parts))
        self.trivial_upper = min(self.op.bound, columns)  # Collatz-Wielandt with the left vector of ones: costs nothing

    def start(self) -> np.ndarray:
        """``v = sqrt(P_0)``, of norm one."""
        v = self.layout.product(np.sqrt(self.system.initial))
        v /= np.sqrt(v @ v)
        return v

    def run(
        self,
        times: np.ndarray,
        dt: float | None = None,
        theta: bool = False,
        vector: bool = False,
        profile: bool = False,
        near: tuple[Symmetric, Run] | None = None,
        progress: Callable[[str], None] | None = None,
        folder: Path | None = None,
    ) -> Run:
        """Lanczos until every value asked for is within rounding of its bound, or ``MAX_STEPS``.

        ``times``: of ``ln Z``; ``theta``: also the largest eigenvalue, to a residual of 1e-10 times the norm;
        ``vector``: to 1e-13, as its vector needs, whose error is that over the gap; ``profile``: also site averages,
        to 1e-8. ``near``: a run at a field nearby, whose ends of the spectrum are proved: those of this one, at most
        the norm of the difference further out, are not proved again, and the upper one is the Ritz value and a margin
        where that is the lower.
        ``folder``: where a long run is saved every two minutes, and found again, ended or not.
        """
        grid = _thinned(times)
        latest = float(grid.max(initial=0.0))
        sums: list[np.ndarray] = []
        history: list[float] = []
        factors = np.sqrt(self.system.initial)
        lower, upper = -self.op.bound * (1 + 1e-12), self.trivial_upper  # beyond all Ritz values, whatever rounding
        if self.op.size <= DENSE:
            lower, upper = self.ends
        elif near:
            apart = self._distance(near[0])
            lower, upper = max(lower, near[1].lower - apart), min(upper, near[1].upper + apart)

        def visit(_: int, vector: np.ndarray, norm: float) -> None:
            sums.append(site_sums(self.layout, vector, factors)[0] / norm)

        def stop(tri: Tridiagonal) -> bool:
            top, residual = tri.theta()
            if progress:
                progress(f"s = {self.s:g}: Lanczos step {tri.steps}, theta = {top:.10g} +- {residual:.1e}")
            guess = Run(tri, lower, top + margin(latest))
            if (theta or vector) and residual > (1e-13 if vector else 1e-10) * max(1.0, self.op.bound):
                return False
            stable = dt if dt is None or -dt * tri.ritz()[0][0] < 2 else None
            _, bound = guess.ln_z(grid, stable)
            goal = rounding(tri, grid, stable)  # nothing is granted of the weights' rounding: more steps may lower it
            excess = float(np.max(bound / (2 * goal), initial=0.0))
            if profile:
                guess.sites = np.zeros((tri.steps, 1))
                excess = max(excess, float(np.max(guess.profile(grid, stable)[1], initial=0.0)) / PROFILE)
            history.append(excess)
            # rounding may hold a bound a little above its goal for good: no use in going on, where steps are dear
            stalled = self.op.size > DENSE and len(history) > 4 and 0.5 * history[-4] < excess < 1e4
            return excess <= 1 or stalled

        asked = (times, dt, theta, vector, profile)
        keep = None if folder is None else Checkpoint(Path(folder), self._key(asked))
        if keep and profile:
            keep.carried["sums"] = sums
        tri = lanczos(self.op, self.start(), stop, MAX_STEPS, visit if profile else None, keep)
        if near and self.op.size > DENSE:
            upper = min(upper, tri.theta()[0] + margin(latest))
        made = Run(tri, lower, self._above(tri, upper))
        if profile:
            made.sites = np.array(sums)[: tri.steps] * self._normaliser()
        if tri.exhausted:
            made.upper = tri.theta()[0] + rounding(tri, np.ones(1))[0]
        elif not near and (profile or (made.ln_z(grid, dt)[1] > 4 * floor(tri, grid, dt)).any()):
            made.upper = self._above(tri, self.certify(tri, margin(latest)))
        return made

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Bounds of the whole spectrum, of a small system: LAPACK's values are those of a matrix ``n eps |H|`` away."""
        matrix = np.stack([self.op @ e for e in np.eye(self.op.size)])
        kept = np.delete(np.arange(self.op.size), self.layout.excluded)
        values = np.linalg.eigvalsh(matrix[np.ix_(kept, kept)])
        slack = 4 * EPS * self.op.size * self.op.bound
        return float(values[0]) - slack, min(float(values[-1]) + slack, self.trivial_upper)

    def _distance(self, other: Symmetric) -> float:
        """A bound on the norm of the difference of two operators on one layout."""
        parts = [*self.parts, *(Local(p.sites, -p.matrix) for p in other.parts)]
        return norm_bound(merged(parts, self.system.local_dim))

    def _above(self, tri: Tridiagonal, upper: float) -> float:
        """``upper``, clear of the largest Ritz value by the rounding of both."""
        return max(upper, tri.theta()[0]) + 4 * EPS * self.op.bound

    def _key(self, asked: tuple) -> str:
        what = (self.system.fingerprint, self.observable, self.s, self.parts_key, fingerprint(asked))
        return repr((*what, NOISE))  # which run, and what ended it

    def _normaliser(self) -> float:
        """``1 / sqrt(P_0(support))``: the product measure is conditioned on the support."""
        _, total = site_sums(self.layout, self.layout.product(np.ones_like(self.pi)), self.system.initial)
        return 1 / np.sqrt(total)

    def certify(self, tri: Tridiagonal, target: float) -> float:
        """A bound at or above the largest eigenvalue, at most ``target`` above it where the sweeps allow."""
        theta = tri.theta()[0]
        if self.op.size <= DENSE:
            return self.ends[1]
        bound, _ = upper_bound(self.op, self.leading(tri), theta, target)
        if bound - theta > target:  # entries far below rounding: fed from the large ones first
            fed = repaired(self.op, self.leading(tri), theta, sweeps=60)
            bound = min(bound, upper_bound(self.op, fed, theta, target)[0])
        return min(bound, self.trivial_upper)

    def leading(self, tri: Tridiagonal) -> np.ndarray:
        """The leading eigenvector ``u`` of ``H_s``, norm one, by a second pass over the same Lanczos vectors."""
        return combine(self.op, self.start(), tri, tri.ritz()[1][:, -1])


def margin(latest: float) -> float:
    """How far above the largest eigenvalue the node of the upper rule may lie: ``exp(5)`` at the latest time."""
    return min(0.05, 5.0 / max(latest, 1.0))


def _thinned(times: np.ndarray, most: int = 24) -> np.ndarray:
    """Times at which convergence is tested: the worst is the latest or, for the distribution, an early one."""
    if len(times) <= most:
        return times
    return times[np.unique(np.linspace(0, len(times) - 1, most).astype(int))]
