"""Copies of a network that share nothing with it: `copy.deepcopy`, and the functions that it does not enter."""

from __future__ import annotations

import copy
from types import CellType, FunctionType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

Net = TypeVar("Net", bound=nn.Module)


def duplicate(net: Net) -> Net:
    """A deep copy whose closures are of the copy: ``self.f = lambda x: layer(x)`` would go on calling the old layer."""
    memo: dict[int, Any] = {}
    twin = copy.deepcopy(net, memo)
    for module in twin.modules():
        for name, value in vars(module).items():
            vars(module)[name] = _rebound(value, memo)
    return twin


def lost(net: nn.Module, x: Tensor) -> list[str]:
    """Parameters that ``net(x)`` depends on but, on a copy with parameters of its own, does not: they cannot learn."""
    own = dict(net.named_parameters())
    fresh = {name: value.detach().clone().requires_grad_() for name, value in own.items()}
    with torch.enable_grad():
        before = torch.autograd.grad(net(x).sum(), list(own.values()), allow_unused=True)
        after = torch.autograd.grad(
            functional_call(duplicate(net), fresh, (x,)).sum(), list(fresh.values()), allow_unused=True
        )
    return [name for name, there, here in zip(own, before, after) if there is not None and here is None]


def _rebound(value: Any, memo: dict[int, Any]) -> Any:
    """``value`` of a copied module; functions inside get cells and defaults that are of the copy."""
    if isinstance(value, FunctionType) and (value.__closure__ or value.__defaults__ or value.__kwdefaults__):
        return _function(value, memo)
    if isinstance(value, dict):
        for key, item in value.items():
            value[key] = _rebound(item, memo)
    elif isinstance(value, list):
        value[:] = [_rebound(item, memo) for item in value]
    elif type(value) is tuple:
        return tuple(_rebound(item, memo) for item in value)
    return value


def _function(function: FunctionType, memo: dict[int, Any]) -> FunctionType:
    if id(function) in memo:
        return memo[id(function)]
    cells = tuple(CellType() for _ in function.__closure__ or ())
    twin = FunctionType(function.__code__, function.__globals__, function.__name__, None, cells or None)
    memo[id(function)] = twin  # before its cells, one of which may hold it
    twin.__defaults__ = _owned(function.__defaults__, memo)
    twin.__kwdefaults__ = _owned(function.__kwdefaults__, memo)
    for cell, old in zip(cells, function.__closure__ or ()):
        try:
            cell.cell_contents = _owned(old.cell_contents, memo)
        except ValueError:  # an empty cell
            continue
    return twin


def _owned(value: Any, memo: dict[int, Any]) -> Any:
    """What stands for ``value`` in the copy: modules, tensors and containers of them are copied, anything else kept."""
    if isinstance(value, nn.Module | Tensor | list | dict | tuple):
        return _rebound(copy.deepcopy(value, memo), memo)
    return _rebound(value, memo)
