"""An accelerator made of the CPU: tensors that say they are elsewhere, and refuse to meet those that are not.

With it the way of a run over a GPU can be walked on any machine: what is left on the wrong device, or read as NumPy
without a copy, fails as it would there, and the numbers must be those of the CPU. It says nothing about CUDA's kernels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "pretended:0"
SETUP = "_setup_privateuseone_for_python_backend"  # of torch 2.9 on
MIXED = {"copy_", "_to_copy", "index", "index_put_", "index_put"}  # what a GPU too does across devices


class Pretended(torch.Tensor):
    """A tensor on the pretended device; ``inner`` holds its numbers on the CPU."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Pretended:
        out = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=torch.device(NAME),
        )  # fmt: skip
        out.inner = inner
        return out

    def tolist(self) -> Any:  # of a subclass torch has none
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Sees what no pretended tensor takes part in, like ``torch.zeros(3, device=NAME)``."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    there = {id(one.inner): one for one in tensors if isinstance(one, Pretended)}
    strangers = [one for one in tensors if not isinstance(one, Pretended) and one.dim()]
    name = func.overloadpacket.__name__
    if there and strangers and name not in MIXED:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device, found {NAME} and cpu")
    device = kwargs.get("device")
    elsewhere = torch.device(device).type != "cpu" if device is not None else bool(there)
    if name == "copy_":
        elsewhere = isinstance(args[0], Pretended)
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    unwrapped = tree_map(lambda one: one.inner if isinstance(one, Pretended) else one, (args, kwargs))
    out = func(*unwrapped[0], **unwrapped[1])
    if not elsewhere:
        return out
    return tree_map(lambda one: _wrapped(one, there) if isinstance(one, torch.Tensor) else one, out)


def _wrapped(tensor: torch.Tensor, there: dict[int, Pretended]) -> torch.Tensor:
    known = there.get(id(tensor))  # what an operation in place returns
    return Pretended(tensor) if known is None else known


class GeneratorOnTheCPU(torch.Generator):
    """On the CPU, wherever it is wanted."""

    def __new__(cls, device: object = "cpu") -> GeneratorOnTheCPU:
        return super().__new__(cls)


def possible() -> bool:
    """Whether this torch takes devices from Python."""
    return hasattr(backend_registration, SETUP)


@cache
def register() -> None:
    """Before the first gradient of the process: autograd counts the devices once."""
    getattr(backend_registration, SETUP)("pretended")


@contextmanager
def pretended() -> Iterator[str]:
    """The name of the device; its random numbers are those of the CPU."""
    register()
    with pytest.MonkeyPatch.context() as patch, _Factories():
        patch.setattr(torch, "Generator", GeneratorOnTheCPU)
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            yield NAME
        finally:
            torch._C._set_only_lift_cpu_tensors(False)
