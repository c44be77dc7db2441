"""One run over several processes (``torchrun``): each evaluates a share, all hold the same numbers.

Every process draws the same uniform numbers from the same seed and works on its rows of a batch. What one number a
configuration is (samples, ``ln p``, local ratios) is gathered again, so that estimators and decisions are those of one
process; what is as large as the parameters (gradients, Fisher products) is summed. In a process on its own every
function here is the identity.
"""

from __future__ import annotations

import atexit
import os

import torch
import torch.distributed as dist
from torch import Tensor

from vanbench.exact import InputError


def start() -> None:
    """Join the group that ``torchrun`` announces, if it does: NCCL for tensors on CUDA, gloo for those on the CPU."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or dist.is_initialized():
        return
    try:
        dist.init_process_group("cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo")
        atexit.register(dist.destroy_process_group)  # its threads must end before the interpreter does
    except (RuntimeError, ValueError) as error:
        raise InputError(f"WORLD_SIZE is set, but no group of processes can be joined: {error}.") from error


def size() -> int:
    """How many processes share this run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; 0 writes the files."""
    return dist.get_rank() if size() > 1 else 0


def device() -> torch.device:
    """This process's own CUDA device on its machine."""
    if size() == 1:
        return torch.device("cuda")
    own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(own)
    return own


def mine(x: Tensor, dim: int = 1) -> Tensor:
    """This process's share of ``x`` along ``dim``."""
    low, high = _bounds(x.shape[dim])[rank()]
    return x.narrow(dim, low, high - low)


def whole(part: Tensor, n: int, dim: int = 1) -> Tensor:
    """``x`` of length ``n`` along ``dim`` from every process's ``mine(x)``."""
    if size() == 1:
        return part
    bounds = _bounds(n)
    longest = max(high - low for low, high in bounds)
    shape = [*part.shape]
    shape[dim] = longest
    padded = part.new_zeros(shape)
    padded.narrow(dim, 0, part.shape[dim]).copy_(part.detach())
    parts = [torch.empty_like(padded) for _ in bounds]
    dist.all_gather(parts, padded)
    return torch.cat([p.narrow(dim, 0, high - low) for p, (low, high) in zip(parts, bounds)], dim)


def total(x: Tensor) -> Tensor:
    """The sum of every process's ``x``."""
    if size() > 1:
        x = x.detach().clone().contiguous()
        dist.all_reduce(x)
    return x


def _bounds(n: int) -> list[tuple[int, int]]:
    """Where each process's share of ``n`` rows begins and ends."""
    count = size()
    return [(n * k // count, n * (k + 1) // count) for k in range(count)]


def named(name: str) -> torch.device:
    """The device called ``name``, untouched; 'auto' is the CPU here. Raises ``InputError`` where it cannot be there."""
    try:
        chip = torch.device("cpu" if name == "auto" else name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}: take 'auto', 'cpu' or 'cuda'.") from error
    if chip.type == "cuda" and not torch.cuda.is_available():
        raise InputError("no CUDA device is available: take --device cpu.")
    return chip


def chosen(name: str) -> torch.device:
    """The device called ``name``, where something runs on it. Raises ``InputError``."""
    if name == "auto":
        return device() if torch.cuda.is_available() else torch.device("cpu")
    chip = named(name)
    try:
        torch.zeros((), dtype=torch.float64, device=chip).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:  # not there, or without float64
        raise InputError(f"the device {name!r} does not work here: take 'auto', 'cpu' or 'cuda'.") from error
    if chip.type == "cuda" and chip.index is not None:
        torch.cuda.set_device(chip)  # where streams and graphs are made
    return chip


def memory(chip: torch.device) -> float:
    """Bytes of an accelerator; of one that does not tell, those of a small one."""
    return float(torch.cuda.get_device_properties(chip).total_memory if chip.type == "cuda" else 8 << 30)


def described(chip: torch.device) -> str:
    """``chip`` and, of a GPU, which one that is."""
    return f"{chip} ({torch.cuda.get_device_name(chip)})" if chip.type == "cuda" else str(chip)
