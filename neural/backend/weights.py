"""Trained parameters of a network, read from a file that may hold tensors and plain data but never code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vanbench.exact import InputError
from vanbench.exact.errors import optional
from vanbench.neural.autoregressive import Autoregressive

INSIDE = ("state_dict", "model_state_dict", "model")  # where training scripts keep it, beside an optimiser's
BIAS = "site_bias"
WALKING = ("clones", "guided-clones")  # whose networks, if any, steer


@dataclass(frozen=True)
class State:
    """Parameters by name; of a checkpoint of `neural.track`, ``(R, ...)`` each, and the counting fields ``s``."""

    parameters: dict[str, Tensor]
    s: list[float] | None = None


def read(path: Path) -> State:
    """What a ``.safetensors`` file holds, or what ``torch.save`` wrote (``weights_only``). Raises ``InputError``."""
    if not path.is_file():
        raise InputError(f"state {str(path)!r} is no file.")
    if path.suffix == ".safetensors":
        torch_of = optional("safetensors.torch", "a .safetensors file")
        try:
            return _state(path, torch_of.load_file(path))
        except InputError:
            raise
        except Exception as error:  # of the library's own kind
            raise InputError(f"state {str(path)!r} is no readable safetensors file: {error}.") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make torch raise all kinds
        content = _checkpoint(path)
        if content is None:
            raise InputError(
                f"state {str(path)!r} cannot be read by torch.load(weights_only=True): save net.state_dict()."
            ) from error
    return _state(path, content)


def _checkpoint(path: Path) -> Any:
    """A checkpoint of ours, which holds classes of trackers too."""
    from vanbench.neural import trackers
    from vanbench.neural.backend.checkpoint import holding

    try:
        with holding(trackers.saved()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        return None


def _state(path: Path, content: Any) -> State:
    if isinstance(content, Mapping) and {"version", "config", "parameters"} <= content.keys():
        return _of_checkpoint(path, content)
    for name in INSIDE:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    _require_tensors(path, content)
    return State(dict(content))


def _require_tensors(path: Path, held: Any) -> None:
    """Raise ``InputError`` for anything but tensors by name that a network's parameters can be set to."""
    if not isinstance(held, Mapping) or not held or not all(isinstance(value, Tensor) for value in held.values()):
        raise InputError(f"state {str(path)!r} holds no tensors by name: save net.state_dict().")
    for name, value in held.items():
        if not isinstance(name, str):
            raise InputError(f"state {str(path)!r} has {name!r} as a name: save net.state_dict().")
        if value.layout != torch.strided or value.is_meta or value.is_quantized or value.is_complex():
            raise InputError(f"state {str(path)!r}: {name!r} is no plain tensor of real numbers.")


def _of_checkpoint(path: Path, content: Mapping[str, Any]) -> State:
    """Of networks that are the distribution at the end. Raises ``InputError`` for others, and where it is damaged."""
    from vanbench.neural import trackers

    held, config = content["parameters"], content["config"]
    _require_tensors(path, held)
    try:
        fields = [float(s) for s in config["s"]]
        tracker, options, target = str(config["tracker"]), dict(config["tracker_options"]), config["target"]
        whole = bool(fields) and all(value.ndim and len(value) == len(fields) for value in held.values())
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"checkpoint {str(path)!r} is damaged ({type(error).__name__}: {error}).") from error
    if not whole or target not in ("time", "steady"):
        raise InputError(f"checkpoint {str(path)!r} is damaged: its networks are not those of its counting fields.")
    if ":" in tracker:
        raise InputError(
            f"checkpoint {str(path)!r} names the code of a tracker, {tracker!r}, which a file is not allowed to load: "
            "save net.state_dict()."
        )
    method = trackers.make(tracker, options)
    if method.variant(target).middle or method.name in WALKING:
        raise InputError(f"the networks in {str(path)!r}, by {method.name}, are not the distribution at the last time.")
    return State(dict(held), fields)


def of_field(state: State, s: float) -> dict[str, Tensor]:
    """The parameters for a counting field, or the only ones. Raises ``InputError`` where a checkpoint has several, and
    none for it."""
    if state.s is None:
        return state.parameters
    near = [r for r, trained in enumerate(state.s) if abs(trained - s) < 1e-9 or len(state.s) == 1]
    if not near:
        raise InputError(f"the checkpoint has no networks for s = {s:g}: it has {', '.join(map(str, state.s))}.")
    return {name: value[near[0]] for name, value in state.parameters.items()}


@torch.no_grad()
def put(net: Autoregressive, state: Mapping[str, Tensor]) -> Autoregressive:
    """Set the parameters of ``net``, or of the module that it wraps where the names are that one's.

    A module's own state knows no ``site_bias``, the base's bias of each site, which is zero then. Raises ``InputError``
    that names what is missing, left over, or of another shape.
    """
    inner = getattr(net, "net", None)
    target: nn.Module = net
    if isinstance(inner, nn.Module) and set(state) <= set(inner.state_dict()) and not set(state) <= set(_own(net)):
        target = inner
    known, own = dict(target.state_dict()), _own(target)
    missing = [name for name in own if name not in state]
    left = [name for name in state if name not in known]
    if missing or left:
        told = [f"lacks {_few(missing)}"] * bool(missing) + [f"has {_few(left)} besides"] * bool(left)
        raise InputError(f"the state does not fit this {type(net).__name__}: it {' and '.join(told)}.")
    for name, value in state.items():
        if value.shape != known[name].shape:
            here, there = tuple(known[name].shape), tuple(value.shape)
            raise InputError(f"{name} has shape {there} in the state and {here} in this {type(net).__name__}.")
        if not torch.isfinite(value.double()).all():
            raise InputError(f"{name} holds numbers that are not finite.")
    if target is not net:
        net.site_bias.zero_()
    target.load_state_dict(dict(state), strict=False)
    return net


def digest(path: Path) -> str:
    """16 hex digits of a file. Raises ``InputError`` where there is none."""
    if not path.is_file():
        raise InputError(f"state {str(path)!r} is no file.")
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _own(module: nn.Module) -> list[str]:
    """What a state must have: parameters; buffers are made with the network."""
    return [name for name, _ in module.named_parameters()]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
