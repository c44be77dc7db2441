"""Gradients of the mean log-likelihood of the two-kernel chain, one formula for the approximate and the exact one.

With p(x) = sum_s A(x|s) pi_s and pi = M pi, the total derivative is

    d<ln p> = <sum_s r_s(x) d ln A(x|s)>_data + sum_s u_s d pi_s,     u_s = <A(x|s) / p(x)>_data = R_s / pi_s

where r_s(x) = A(x|s) pi_s / p(x) is the posterior and R its mean over the data. From pi = M pi,

    sum_s u_s d pi_s = sum_{s,s'} v_s dM[s,s'] pi_s',                 (1 - M^T + 1 pi^T) v = u .

Keeping only the first term of the Neumann series, v = u, and only the derivative of the B in M, is the published
gradient "from the last two steps of the chain": the distribution of the visible state x' before the last pair of
steps is held fixed. The exact gradient keeps the whole series, and the derivative of the A in M.

Where the two agree (derived here, tested in tests/exact/test_cycles_gradient.py): for one-hot z, a vanishing derivative
with respect to ``abar`` forces v to be constant. It reads sum_x p(x) B(k|x) f_k(x) (v_k - sum_s v_s B(s|x)) = 0 with
f > 0; at the k where v is largest no term is negative, so each vanishes and v is constant. A constant v is R = pi in
either gradient, and then every additional term of the exact gradient is zero. So at finite parameters the two
gradients have the same zeros, representable data or not. For factorised binary units the 2^L values of v meet only
L equations, and the zeros may differ.
"""

from __future__ import annotations

import array_api_compat
import numpy as np

from vanbench.exact.cycles.chain import (
    Array,
    CycleParams,
    field_score,
    hidden_field,
    hidden_states,
    log_hidden_of_field,
    log_visible,
    logsumexp,
    sigmoid,
    visible_logits,
)

Gradient = dict[str, Array]


def _visible_gradient(params: CycleParams, x: Array, weight: Array) -> Gradient:
    """``sum_ns weight_ns d ln A(x_n|s)`` for ``x`` (..., N, D), ``weight`` (..., N, S)."""
    xp = array_api_compat.array_namespace(params.w)
    wt = xp.matrix_transpose(weight)
    per_state = xp.matmul(wt, x) - xp.sum(wt, axis=-1)[..., None] * sigmoid(visible_logits(params))  # (..., S, D)
    if params.reading != "binary":
        return {"w": xp.matrix_transpose(per_state)}
    states = xp.asarray(hidden_states(params.n_hidden, params.reading), dtype=params.w.dtype)
    return {"w": xp.matmul(xp.matrix_transpose(per_state), states), "b": xp.sum(per_state, axis=-2)}


def _hidden_gradient(params: CycleParams, x: Array, h: Array, log_b: Array, rho: Array) -> Gradient:
    """``sum_ns rho_ns d ln B(s|x_n)``."""
    xp = array_api_compat.array_namespace(params.w)
    g = field_score(params, h, log_b, rho)
    return {"wbar": xp.matmul(xp.matrix_transpose(g), x - params.centre), "abar": xp.sum(g, axis=-2)}


def two_step_gradient(
    params: CycleParams, data: Array, previous: Array, log_previous_weight: Array | None = None
) -> tuple[Gradient, Array]:
    """The published approximate gradient, and ln p(x_n) as these last two steps give it.

    ``data`` (..., N, D); ``previous`` (..., C, D) are states x' of the persistent chains, equally weighted unless
    ``log_previous_weight`` (..., C) gives their (normalised) log-probabilities: with all 2^D states and the stationary
    p this is the approximate gradient without sampling noise. Leading axes are independent models.
    """
    xp = array_api_compat.array_namespace(params.w)
    h = hidden_field(params, previous)
    log_b = log_hidden_of_field(params, h)
    if log_previous_weight is None:
        log_previous_weight = xp.zeros_like(log_b[..., 0]) - float(np.log(previous.shape[-2]))
    log_occupancy = logsumexp(log_b + log_previous_weight[..., None], axis=-2)  # (..., S)
    log_joint = log_visible(params, data) + log_occupancy[..., None, :]
    log_p = logsumexp(log_joint, axis=-1)
    n_data = data.shape[-2]
    posterior = xp.exp(log_joint - log_p[..., None]) / n_data
    log_u = logsumexp(log_joint - log_p[..., None], axis=-2) - log_occupancy - float(np.log(n_data))
    rho = xp.exp(log_b + log_previous_weight[..., None] + log_u[..., None, :])
    gradient = _visible_gradient(params, data, posterior) | _hidden_gradient(params, previous, h, log_b, rho)
    return gradient, log_p


def exact_gradient(params: CycleParams, data: np.ndarray, x: np.ndarray, log_a: np.ndarray, pi: np.ndarray) -> Gradient:
    """The exact gradient, through the stationary vector, of the mean of ln p over ``data`` (N, D).

    ``x`` (2^D, D) all configurations, ``log_a`` (2^D, S) = ln A, ``pi`` (S,) the stationary hidden distribution; one
    model, NumPy. :func:`exact.cycles.enumeration.enumerate_chain` provides the three.
    """
    h = hidden_field(params, x)
    log_b = log_hidden_of_field(params, h)
    a, b = np.exp(log_a), np.exp(log_b)
    m = b.T @ a
    log_joint = log_visible(params, data) + np.log(pi)
    log_p = logsumexp(log_joint, axis=-1)
    posterior = np.exp(log_joint - log_p[:, None]) / len(data)
    u = np.exp(logsumexp(log_joint - log_p[:, None], axis=0) - np.log(pi)) / len(data)
    v = np.linalg.solve(np.eye(len(pi)) - m.T + np.outer(np.ones_like(pi), pi), u)
    v = v - pi @ v  # a constant in v drops out of every derivative; removing it keeps round-off small
    p = a @ pi
    through_b = _hidden_gradient(params, x, h, log_b, p[:, None] * b * v)
    through_a = _visible_gradient(params, x, (b @ v)[:, None] * a * pi)
    direct = _visible_gradient(params, data, posterior)
    return {name: direct[name] + through_a[name] for name in direct} | through_b


def cosine(a: Gradient, b: Gradient) -> float:
    """Cosine of the angle between two gradients over all parameters; 0 where one of them vanishes."""
    flat_a, flat_b = (np.concatenate([np.ravel(g[k]) for k in sorted(a)]) for g in (a, b))
    norm = np.linalg.norm(flat_a) * np.linalg.norm(flat_b)
    return float(flat_a @ flat_b / norm) if norm > 0 else 0.0


def norm(gradient: Gradient) -> float:
    """Euclidean norm over all parameters."""
    return float(np.sqrt(sum(np.sum(np.square(g)) for g in gradient.values())))
