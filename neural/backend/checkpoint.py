"""Checkpoints that a killed run goes on from with the same numbers: tensors, plain data and the classes that a state is
made of, never code."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vanbench.exact import InputError
from vanbench.exact.files import write_bytes

VERSION = 2
PARTS = {"config": dict, "parameters": dict, "generator": torch.Tensor, "log": dict}  # and the tracker's own state
NAME = "checkpoint.pt"
DTYPES = [np.dtype(name).__class__ for name in ("int8", "int64", "float32", "float64")]
ARRAYS: list[Any] = [np.zeros(0).__reduce__()[0], np.ndarray, np.dtype, *DTYPES]


def save(folder: Path, content: dict[str, Any]) -> None:
    """Write atomically: a reader sees the old checkpoint or the new one, whole. Raises ``OSError``."""
    held = io.BytesIO()  # torch tells of a full disk as of a defect
    torch.save({"version": VERSION, **content}, held)
    write_bytes(folder / NAME, held.getvalue(), folder.parent)


def holding(classes: Sequence[type]) -> AbstractContextManager[Any]:
    """Inside, ``torch.load(weights_only=True)`` reads arrays and ``classes`` beside tensors and plain data."""
    allowed = [*ARRAYS, *classes]
    if hasattr(torch.serialization, "safe_globals"):  # from torch 2.5 on
        return torch.serialization.safe_globals(allowed)
    torch.serialization.add_safe_globals(allowed)
    return nullcontext()


def load(
    folder: Path, config: dict[str, Any], device: torch.device, classes: Sequence[type] = ()
) -> dict[str, Any] | None:
    """The checkpoint in ``folder``, or None; raises ``InputError`` if it is broken or of another run.

    ``classes``: what it may hold beside tensors, arrays and plain data. What was on the processor goes back there,
    anything else to ``device``.
    """
    path = folder / NAME
    if not path.exists():
        return None
    if not path.is_file():
        raise InputError(f"{path} is no file: remove it to start afresh.")
    try:
        with holding(classes):
            content = torch.load(path, map_location=partial(_place, device=device), weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make torch raise all kinds
        raise InputError(f"{path} is not a readable checkpoint: remove it to start afresh.") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise InputError(f"{path} is a checkpoint of another version: remove it to start afresh.")
    broken = [name for name, kind in PARTS.items() if not isinstance(content.get(name), kind)]
    if broken or "state" not in content:
        raise InputError(f"{path} lacks {', '.join(broken) or 'state'}: remove it to start afresh.")
    if content["config"] != config:
        changed = sorted(k for k in config if content["config"].get(k) != config[k])
        raise InputError(f"{path} belongs to another run (different {', '.join(changed)}): take another folder.")
    return content


def _place(storage: Any, location: str, device: torch.device) -> Any:
    return storage if location == "cpu" else torch.serialization.default_restore_location(storage, str(device))
