"""Networks in JAX, Flax, Equinox and NetKet, each as `vanbench.wrap` takes it."""

from __future__ import annotations

import equinox as eqx
import flax.linen as linen
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
from flax import nnx

import vanbench

WIDTH = 6


def degrees(n: int, width: int = 2 * WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Masks of a MADE whose sites stand from left to right: ``(n, width)`` and ``(width, n)``."""
    unit = np.arange(width) % max(1, n - 1)
    return unit >= np.arange(n)[:, None], np.arange(n) > unit[:, None]


def logits(parameters: dict, x: jax.Array) -> jax.Array:
    """A MADE of one-hot sites as a plain function: ``(batch, n, d)`` to ``(batch, n, d)``."""
    inward, outward = degrees(x.shape[1])
    hidden = jnp.einsum("bid,idw->bw", x, parameters["in"] * inward[:, None]) + parameters["shift"]
    return jnp.einsum("bw,wid->bid", jnp.tanh(hidden), parameters["out"] * outward[..., None])


def made(n_sites: int, local_dim: int) -> tuple:
    one, two = jax.random.split(jax.random.key(1))
    shape = (n_sites, local_dim, 2 * WIDTH)
    shift = jnp.linspace(-0.5, 0.5, 2 * WIDTH)
    return logits, {
        "in": jax.random.normal(one, shape) / 2,
        "shift": shift,
        "out": jax.random.normal(two, shape[::-1]).swapaxes(1, 2) / 4,
    }


class Linen(linen.Module):
    """Spins ``(batch, n)`` through a GRU cell in Flax, shifted by one: the log-odds of up."""

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        before = jnp.pad(x, ((0, 0), (1, 0)))[:, :-1, None]
        hidden = linen.RNN(linen.GRUCell(WIDTH))(before)
        return linen.Dense(1)(hidden)[..., 0]


class New(nnx.Module):
    """Bits ``(batch, n)`` to the log-odds of 1, with a mask that is no ``nnx.Param``."""

    def __init__(self, n: int, rngs: nnx.Rngs):
        self.weight = nnx.Param(jax.random.normal(rngs.params(), (n, n)))
        self.mask = jnp.triu(jnp.ones((n, n)), 1)

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.sin(x @ (self.weight[...] * self.mask))


class Graph(eqx.Module):
    """Of one configuration, spins ``(n,)``: messages of the sites before, twice, and their probabilities ``(n, 2)``."""

    inward: eqx.nn.Linear
    outward: eqx.nn.Linear
    mask: jax.Array  # of floats, which Equinox itself would train

    def __init__(self, n: int, key: jax.Array):
        one, two = jax.random.split(key)
        self.inward, self.outward = eqx.nn.Linear(1, WIDTH, key=one), eqx.nn.Linear(WIDTH, 2, key=two)
        self.mask = jnp.tril(jnp.ones((n, n)), -1)

    def __call__(self, x: jax.Array) -> jax.Array:
        mask = jax.lax.stop_gradient(self.mask)
        messages = jnp.tanh(mask @ jax.vmap(self.inward)(x[:, None]))
        return jax.nn.softmax(jax.vmap(self.outward)(messages + mask @ messages), axis=-1)


Function = vanbench.wrap(made, input="onehot", local_dims=None)
Recurrent = vanbench.wrap(lambda shape: Linen(), output="logit_up", dtypes=("float32",), name="Recurrent")
Nnx = vanbench.wrap(lambda n_sites: New(n_sites, nnx.Rngs(0)), input="bits", output="logit_up", name="Nnx")
Equinox = vanbench.wrap(lambda n_sites: Graph(n_sites, jax.random.key(2)), output="p", name="Equinox")
Dense = vanbench.wrap(
    lambda n_sites: nk.models.ARNNDense(hilbert=nk.hilbert.Spin(0.5, n_sites), layers=2, features=4), name="Dense"
)
JAX = [Function, Recurrent, Nnx, Equinox, Dense]
