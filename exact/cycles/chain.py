"""The two-kernel generative Markov chain: hidden z -> visible x by A, visible x -> hidden z' by B.

Model of Baiesi and Rosso, "Emergence of Nonequilibrium Latent Cycles in Unsupervised Generative Modeling"
(arXiv:2512.11415, 2025). The two kernels have independent parameters, so that the chain
``M[z', z] = sum_x B(z'|x) A(x|z)`` need not be reversible.

    A(x|z) = prod_i sigmoid(phi_i)^x_i (1 - sigmoid(phi_i))^(1 - x_i),   phi = w z + b
    B(z|x) from the fields  h = wbar (x - centre) + abar,  in one of three readings:
        softmax   one-hot z,  B = exp(h_l) / sum_k exp(h_k)
        sigmoid   one-hot z,  B = sigmoid(h_l) / sum_k sigmoid(h_k)
        binary    z in {0,1}^L,  B = prod_l sigmoid(h_l)^z_l (1 - sigmoid(h_l))^(1 - z_l)

With one-hot z the visible bias b is absorbed in w and stays zero. Everything is written once, on logarithms,
for NumPy arrays and torch tensors with any leading (model) axes; this module imports NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import array_api_compat
import numpy as np

from vanbench.exact.errors import InputError

Reading = Literal["softmax", "sigmoid", "binary"]
READINGS: tuple[str, ...] = get_args(Reading)
MAX_BINARY_HIDDEN = 8  # 2^8 hidden states: M has 65 536 entries, a table of all A(x|z) stays small

Array = Any  # numpy.ndarray or torch.Tensor


@dataclass(frozen=True)
class CycleParams:
    """Parameters of one model, or of a batch of models along leading axes.

    ``w`` (..., D, L); ``b`` (..., D); ``wbar`` (..., L, D); ``abar`` (..., L); ``centre`` (D,); all natural units.
    """

    w: Array
    b: Array
    wbar: Array
    abar: Array
    centre: Array
    reading: Reading

    @property
    def n_visible(self) -> int:
        return int(self.w.shape[-2])

    @property
    def n_hidden(self) -> int:
        return int(self.w.shape[-1])

    @property
    def trainable(self) -> dict[str, Array]:
        """The arrays that training moves. The visible bias is one of them only where it is not absorbed."""
        named = {"w": self.w, "wbar": self.wbar, "abar": self.abar}
        return named | ({"b": self.b} if self.reading == "binary" else {})


def check_hidden(n_hidden: int, reading: str) -> None:
    """Raise InputError where the number of hidden units or the reading makes no model."""
    if reading not in READINGS:
        raise InputError(f"Unknown reading '{reading}': choose one of {', '.join(READINGS)}.")
    if n_hidden < 2:
        raise InputError(f"A latent cycle needs at least 2 hidden units, got {n_hidden}: pass --hidden 2 or more.")
    if reading == "binary" and n_hidden > MAX_BINARY_HIDDEN:
        raise InputError(
            f"Binary hidden units have 2^L states, too many for L = {n_hidden}: "
            f"use at most {MAX_BINARY_HIDDEN}, or a one-hot reading."
        )


def hidden_states(n_hidden: int, reading: str) -> np.ndarray:
    """All hidden states as rows, (S, L): the unit vectors, or every binary word (first unit most significant)."""
    check_hidden(n_hidden, reading)
    if reading != "binary":
        return np.eye(n_hidden)
    words = np.arange(2**n_hidden)[:, None] >> np.arange(n_hidden - 1, -1, -1)
    return (words & 1).astype(float)


def softplus(v: Array) -> Array:
    """ln(1 + e^v) without overflow."""
    xp = array_api_compat.array_namespace(v)
    return xp.where(v > 0, v, xp.zeros_like(v)) + xp.log1p(xp.exp(-xp.abs(v)))


def sigmoid(v: Array) -> Array:
    """1 / (1 + e^-v), through its logarithm: exact in both tails."""
    xp = array_api_compat.array_namespace(v)
    return xp.exp(-softplus(-v))


def logsumexp(v: Array, axis: int) -> Array:
    """ln sum e^v along one axis. A slice of all -inf gives -inf."""
    xp = array_api_compat.array_namespace(v)
    top = xp.max(v, axis=axis, keepdims=True)
    top = xp.where(top == -np.inf, xp.zeros_like(top), top)
    total = xp.sum(xp.exp(v - top), axis=axis, keepdims=True)
    # an all -inf slice sums to zero; its logarithm is set, not computed, so that no warning is raised
    safe = xp.log(xp.where(total > 0, total, xp.ones_like(total)))
    return xp.squeeze(xp.where(total > 0, safe + top, xp.full_like(top, -np.inf)), axis=axis)


def _states_like(params: CycleParams) -> Array:
    states = hidden_states(params.n_hidden, params.reading)
    xp = array_api_compat.array_namespace(params.w)
    return xp.asarray(states, dtype=params.w.dtype, device=array_api_compat.device(params.w))


def visible_logits(params: CycleParams) -> Array:
    """phi for every hidden state, (..., S, D)."""
    xp = array_api_compat.array_namespace(params.w)
    wt = xp.matrix_transpose(params.w)
    if params.reading != "binary":  # one-hot states: the product with the identity is the matrix itself
        return wt + params.b[..., None, :]
    return xp.matmul(_states_like(params), wt) + params.b[..., None, :]


def log_visible(params: CycleParams, x: Array) -> Array:
    """ln A(x|s) for configurations ``x`` (..., N, D) and every hidden state s: (..., N, S)."""
    xp = array_api_compat.array_namespace(params.w)
    phi = visible_logits(params)
    return xp.matmul(x, xp.matrix_transpose(phi)) - xp.sum(softplus(phi), axis=-1)[..., None, :]


def hidden_field(params: CycleParams, x: Array) -> Array:
    """h = wbar (x - centre) + abar, (..., N, L)."""
    xp = array_api_compat.array_namespace(params.w)
    return xp.matmul(x - params.centre, xp.matrix_transpose(params.wbar)) + params.abar[..., None, :]


def log_hidden(params: CycleParams, x: Array) -> Array:
    """ln B(s|x) for configurations ``x`` (..., N, D) and every hidden state s: (..., N, S)."""
    return log_hidden_of_field(params, hidden_field(params, x))


def field_score(params: CycleParams, h: Array, log_b: Array, rho: Array) -> Array:
    """``sum_s rho_s d ln B(s|x) / dh``, shape (..., N, L), for any weights ``rho`` (..., N, S), of either sign.

        g = (sum_s rho_s z_s  -  mu sum_s rho_s) * f,   mu = sum_s B(s|x) z_s

    with f = 1 for softmax and for binary units, and f = 1 - sigmoid(h) for normalised sigmoids, because
    d ln sigmoid(h) / dh = 1 - sigmoid(h). The plain difference "z - mu" is exact for softmax (and binary) only.
    """
    xp = array_api_compat.array_namespace(params.w)
    states, b = _states_like(params), xp.exp(log_b)
    g = xp.matmul(rho, states) - xp.matmul(b, states) * xp.sum(rho, axis=-1)[..., None]
    return g * sigmoid(-h) if params.reading == "sigmoid" else g


def log_hidden_of_field(params: CycleParams, h: Array) -> Array:
    """ln B(s|x) from the fields ``h`` (..., N, L): (..., N, S)."""
    xp = array_api_compat.array_namespace(h)
    if params.reading == "binary":
        states = _states_like(params)
        return xp.matmul(h, xp.matrix_transpose(states)) - xp.sum(softplus(h), axis=-1)[..., None]
    score = h if params.reading == "softmax" else -softplus(-h)
    return score - logsumexp(score, axis=-1)[..., None]
