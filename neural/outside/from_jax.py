"""JAX functions as torch modules: differentiated exactly by JAX, batched by both.

Parameters are torch's, mirrored as the leaves of a pytree; tensors are exchanged by DLPack, without a copy where
possible. Every call is compiled for its shapes, so batches are padded to a power of two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vanbench.exact import InputError
from vanbench.exact.errors import optional

Pure = Callable[..., tuple]  # of JAX arrays (x, *rest)


def is_jax(made: Any) -> bool:
    """Whether it is a pair ``(logits(parameters, x), parameters)``, or a module of Flax, Equinox or NetKet."""
    if isinstance(made, tuple):
        return len(made) == 2 and callable(made[0])
    kinds = (("flax.linen", "Module"), ("flax.nnx", "Module"), ("equinox", "Module"))
    return any(home in sys.modules and isinstance(made, getattr(sys.modules[home], kind)) for home, kind in kinds)


class FromJax(nn.Module):
    """A JAX network with parameters of type ``dtype``; parameters not made yet take their shapes from ``x``, a batch of
    input.

    Leaves that are arrays of floats are parameters, or buffers if the output does not depend smoothly on them, like a
    mask behind ``stop_gradient``. NumPy arrays, integers and functions are constants. Raises ``InputError`` if jax is
    missing, and for parameters that are not real arrays.
    """

    def __init__(self, made: Any, x: Tensor, dtype: torch.dtype):
        super().__init__()
        jax = optional("jax", "a JAX network")
        with _precise():
            function, tree = _functional(made, x)
            leaves, shape = jax.tree_util.tree_flatten_with_path(tree)
            moving = [isinstance(value, jax.Array) and value.dtype.kind in "fcV" for _, value in leaves]
            fixed = tuple(None if moves else _Constant(value) for (_, value), moves in zip(leaves, moving))
            self._program = _program(function, shape, fixed)
            names = _names([path for (path, _), moves in zip(leaves, moving) if moves])
            arrays = [np.array(value) for (_, value), moves in zip(leaves, moving) if moves]
            if any(np.iscomplexobj(value) for value in arrays):
                raise InputError("its parameters are complex: give it real ones (param_dtype=float).")
            tensors = [torch.from_numpy(value).to(dtype) for value in arrays]
            trained = _trained(self._program, tensors, x)
        if not any(trained):
            raise InputError("it has no parameters: arrays of floats that its output depends on.")
        self.weights = nn.ParameterDict()
        self._places: list[tuple[bool, str]] = list(zip(trained, names))
        for is_trained, name, value in zip(trained, names, tensors):
            if is_trained:
                self.weights[name] = nn.Parameter(value)
            else:
                self.register_buffer(f"fixed_{name}", value, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        own = [self.weights[name] if trained else self.get_buffer(f"fixed_{name}") for trained, name in self._places]
        more = (1 << max(0, len(x) - 1).bit_length()) - len(x)
        filled = torch.cat([x, x.new_zeros(more, *x.shape[1:])])
        return _Call.apply(self._program, filled, *own)[0][: len(x)]


@dataclass(frozen=True, eq=False)
class _Constant:
    """A leaf that is compiled in: networks with equal ones share what is compiled."""

    value: Any

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Constant) and self._key == other._key

    @property
    def _key(self) -> Any:
        if not hasattr(self.value, "dtype"):
            return self.value if isinstance(self.value, Hashable) else id(self.value)
        array = np.asarray(self.value)
        return (array.shape, str(array.dtype), array.tobytes())


@lru_cache(maxsize=64)
def _program(function: Callable[[Any, Any], Any], shape: Any, fixed: tuple[_Constant | None, ...]) -> _Compiled:
    """``function(parameters, x)`` with the leaves that are not ``fixed`` as arguments."""
    jax = optional("jax", "a JAX network")

    def pure(x: Any, *own: Any) -> tuple:
        given = iter(own)
        leaves = [next(given) if constant is None else constant.value for constant in fixed]
        return (_first(function(jax.tree_util.tree_unflatten(shape, leaves), x)),)

    return _Compiled(pure, 1 + fixed.count(None))


class _Compiled:
    """A function of JAX arrays ``(x, *rest)`` on torch tensors, with its derivative in ``rest`` and its batches."""

    def __init__(self, pure: Pure, arguments: int):
        self.pure, self.arguments = pure, arguments
        self._run = optional("jax", "a JAX network").jit(pure)
        self._mapped: dict[tuple[int | None, ...], _Compiled] = {}

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        with _precise():
            out = self._run(*map(_to_jax, tensors))
            optional("jax", "a JAX network").block_until_ready(out)  # torch may change the memory it reads
            return tuple(torch.from_dlpack(value).to(tensors[0].device) for value in out)

    def __deepcopy__(self, memo: dict) -> _Compiled:  # nothing in it changes, and compiling takes seconds
        return self

    @cached_property
    def derivative(self) -> _Compiled:
        """Of cotangents beside the arguments: those of ``rest``."""
        jax, n = optional("jax", "a JAX network"), self.arguments

        def pull(x: Any, *rest: Any) -> tuple:
            _, back = jax.vjp(lambda *own: self.pure(x, *own), *rest[: n - 1])
            return back(rest[n - 1 :])

        return _Compiled(pull, n + 1)

    def mapped(self, axes: tuple[int | None, ...]) -> _Compiled:
        """Over a new first axis of those arguments that have one."""
        if axes not in self._mapped:
            jax = optional("jax", "a JAX network")
            self._mapped[axes] = _Compiled(jax.vmap(self.pure, in_axes=axes), self.arguments)
        return self._mapped[axes]


class _Call(torch.autograd.Function):
    @staticmethod
    def forward(function: _Compiled, *tensors: Tensor) -> tuple[Tensor, ...]:
        return function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        ctx.function = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple:
        return None, None, *_Call.apply(ctx.function.derivative, *ctx.saved_tensors, *cotangents)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, function: _Compiled, *tensors: Tensor) -> tuple:
        dims = in_dims[1:]
        moved = [t if dim is None else t.movedim(dim, 0) for t, dim in zip(tensors, dims)]
        out = _Call.apply(function.mapped(tuple(None if dim is None else 0 for dim in dims)), *moved)
        return out, (0,) * len(out)


def _functional(made: Any, x: Tensor) -> tuple[Callable[[Any, Any], Any], Any]:
    """``f(parameters, x)``, equal for equal networks, and the parameters."""
    jax = optional("jax", "a JAX network")
    if isinstance(made, tuple):
        return made
    linen, nnx = sys.modules.get("flax.linen"), sys.modules.get("flax.nnx")
    if linen is not None and isinstance(made, linen.Module):
        key = jax.random.key(int(torch.randint(2**31 - 1, (1,))))  # the seed of torch fixes it
        return (_Netket if hasattr(made, "conditionals_log_psi") else _Linen)(made), made.init(key, _to_jax(x))
    if nnx is not None and isinstance(made, nnx.Module):
        graph, parameters, rest = nnx.split(made, nnx.Param, ...)
        return _Nnx(graph), (parameters, jax.tree_util.tree_map(np.asarray, rest))
    return _rows, made


@dataclass(frozen=True)
class _Linen:
    module: Any

    def __call__(self, variables: Any, x: Any) -> Any:
        return self.module.apply(variables, x)


@dataclass(frozen=True)
class _Netket:
    """``ln p`` of the conditionals, ``p = |psi|^2``; spins -1 to 1 stand for the lowest to the highest local state."""

    module: Any

    def __call__(self, variables: Any, x: Any) -> Any:
        states = np.asarray(self.module.hilbert.local_states, dtype=float)
        given = states.min() + (x + 1) * (states.max() - states.min()) / 2
        out = self.module.apply(variables, given, method=self.module.conditionals_log_psi)
        return 2 * out.real[..., states.argsort()]


@dataclass(frozen=True)
class _Nnx:
    graph: Any

    def __call__(self, states: Any, x: Any) -> Any:
        return optional("flax.nnx", "a network of Flax").merge(self.graph, *states)(x)


def _rows(model: Any, x: Any) -> Any:
    """Equinox: a module is of one configuration."""
    return optional("jax", "a JAX network").vmap(model)(x)


def _trained(program: _Compiled, values: list[Tensor], x: Tensor) -> list[bool]:
    """Which of the arguments have a gradient, wherever they stand."""
    generator = torch.Generator().manual_seed(0)
    at = [value + 0.3 * torch.randn(value.shape, generator=generator, dtype=value.dtype) for value in values]
    (out,) = program(x, *at)
    slopes = program.derivative(x, *at, torch.randn(out.shape, generator=generator, dtype=out.dtype))
    return [bool(slope.any()) for slope in slopes]


def _first(out: Any) -> Any:
    if isinstance(out, dict):
        return out.get("logits", out)
    return out[0] if isinstance(out, tuple | list) else out


def _names(paths: Sequence[tuple]) -> list[str]:
    """``Dense_0_kernel`` of the keys of each leaf; a number where two are the same."""
    keys = [
        [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path] for path in paths
    ]
    names = ["_".join(path).strip("_").replace(".", "_") or "parameters" for path in keys]
    return [name if names.count(name) == 1 else f"{name}_{k}" for k, name in enumerate(names)]


def _to_jax(tensor: Tensor) -> Any:
    jax = optional("jax", "a JAX network")
    tensor = tensor.detach().contiguous()
    return jax.dlpack.from_dlpack(tensor.cpu() if jax.default_backend() == "cpu" else tensor)


def _precise() -> AbstractContextManager:
    """Double precision, which JAX turns to single elsewhere."""
    jax = optional("jax", "a JAX network")
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64(True)
