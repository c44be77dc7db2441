"""Stochastic thermodynamics of a Markov matrix: stationary state, currents, affinities, entropy production.

``M[to, from]``, columns sum to one. Rates are per step of M, in units of k_B; one step of the coarse-grained chain of
hidden states is one double step z -> x -> z' of the full chain.
Schnakenberg, Rev. Mod. Phys. 48, 571 (1976).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vanbench.exact.errors import InputError

MAX_DECORRELATION = 1e12  # steps; a second eigenvalue within 1e-12 of the unit circle is not resolved in float64
_TINY = 1e-300  # stands for a transition probability that underflowed: keeps a numerically reducible chain solvable


def stationary(m: np.ndarray) -> np.ndarray:
    """The stationary vector (S,) of ``m`` (S, S), by state reduction (Grassmann, Taksar and Heyman 1985).

    No subtraction occurs, so that each component keeps its relative accuracy even where states are nearly disconnected.
    """
    q = np.array(m, dtype=float).T
    if q.ndim != 2 or q.shape[0] != q.shape[1] or not np.all(np.isfinite(q)) or q.min() < 0:
        raise InputError("A Markov matrix is square, finite and not negative: M[to, from], columns summing to one.")
    q = np.maximum(q, _TINY)
    n = len(q)
    for k in range(n - 1, 0, -1):
        q[:k, k] /= q[k, :k].sum()
        q[:k, :k] += np.outer(q[:k, k], q[k, :k])
    pi = np.ones(n)
    for k in range(1, n):
        pi[k] = pi[:k] @ q[:k, k]
    return pi / pi.sum()


def currents(m: np.ndarray, pi: np.ndarray) -> np.ndarray:
    """J[a, b] = M[a, b] pi_b - M[b, a] pi_a: the net probability current from b to a, (S, S), antisymmetric."""
    flow = m * pi[None, :]
    return flow - flow.T


def _logarithm(m: np.ndarray, log_m: np.ndarray | None) -> np.ndarray:
    """ln M, finite: a known ``log_m`` as it is, however small; zeros of M as 1e-300."""
    if log_m is None:
        return np.log(np.maximum(m, _TINY))
    return np.where(np.isneginf(log_m), np.log(_TINY), log_m)


def entropy_production(m: np.ndarray, pi: np.ndarray, log_m: np.ndarray | None = None) -> float:
    """(1/2) sum_ab J_ab ln(M_ab pi_b / M_ba pi_a) per step, never negative.

    ``log_m`` replaces ln M where entries of M underflow. A pair with neither direction possible contributes nothing;
    one with a single direction counts the reverse as 1e-300, so that the value is bounded rather than infinite.
    """
    log_m = _logarithm(m, log_m)
    log_flow = log_m + np.log(np.maximum(pi, _TINY))
    return float(0.5 * np.sum(currents(m, pi) * (log_flow - log_flow.T)))


def fundamental_cycles(m: np.ndarray, pi: np.ndarray, log_m: np.ndarray | None = None) -> list[dict]:
    """The triangles (hub, a, b) through the most occupied state: a basis of cycles of the complete graph.

    Each is ``{"cycle": (hub, a, b), "affinity": ln M(hub->a) M(a->b) M(b->hub) / reverse, "current": J(a->b)}``;
    the sum of affinity * current over the basis is the entropy production (Schnakenberg).
    """
    log_m = _logarithm(m, log_m)
    current = currents(m, pi)
    hub = int(np.argmax(pi))
    others = [s for s in range(len(pi)) if s != hub]
    triangles = []
    for i, a in enumerate(others):
        for b in others[i + 1 :]:
            forward = log_m[a, hub] + log_m[b, a] + log_m[hub, b]
            reverse = log_m[b, hub] + log_m[a, b] + log_m[hub, a]
            triangles.append(
                {"cycle": (hub, a, b), "affinity": float(forward - reverse), "current": float(current[b, a])}
            )
    return triangles


def max_affinity(m: np.ndarray, pi: np.ndarray, log_m: np.ndarray | None = None) -> float:
    """Largest |affinity| over the triangles of :func:`fundamental_cycles`, all at once; 0 for two states."""
    log_m = _logarithm(m, log_m)
    edge = log_m - log_m.T  # [to, from]
    hub = int(np.argmax(pi))
    # hub -> a, a -> b, b -> hub at [b, a]; a or b at the hub, or equal, gives zero: edge is antisymmetric
    return float(np.max(np.abs(edge[:, hub][None, :] + edge + edge[hub, :][:, None])))


def second_eigenvalue(m: np.ndarray) -> float:
    """|lambda_2|: the second largest modulus in the spectrum of ``m``."""
    return float(np.sort(np.abs(np.linalg.eigvals(m)))[-2])


def decorrelation_time(m: np.ndarray) -> float:
    """-1 / ln|lambda_2| in steps of ``m``: 0 where lambda_2 vanishes, at most 1e12 (a bound) where it is 1."""
    modulus = second_eigenvalue(m)
    if modulus <= 0.0:
        return 0.0
    return float(min(MAX_DECORRELATION, -1.0 / np.log(min(modulus, 1.0 - 1.0 / MAX_DECORRELATION))))


@dataclass(frozen=True)
class Thermo:
    """What a Markov matrix says of itself. Times in steps, entropy production in k_B per step."""

    pi: np.ndarray
    entropy_production: float
    decorrelation_time: float
    self_transition: float  # Tr(M) / S; memoryless uniform jumps give 1 / S
    max_self_transition: float  # the largest M_ss
    max_current: float
    max_affinity: float  # largest |affinity| over the fundamental triangles; 0 for two states


def thermodynamics(m: np.ndarray, log_m: np.ndarray | None = None) -> Thermo:
    """All of the above for one Markov matrix (S, S)."""
    pi = stationary(m)
    return Thermo(
        pi=pi,
        entropy_production=entropy_production(m, pi, log_m),
        decorrelation_time=decorrelation_time(m),
        self_transition=float(np.trace(m)) / len(pi),
        max_self_transition=float(np.max(np.diag(m))),
        max_current=float(np.max(currents(m, pi))),
        max_affinity=max_affinity(m, pi, log_m),
    )
