"""Checkpoints that a killed run goes on from with the same numbers; tensors and plain data only, never code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from vanbench.exact import InputError

VERSION = 1
NAME = "checkpoint.pt"


def save(folder: Path, content: dict[str, Any]) -> None:
    """Write atomically: a reader sees the old checkpoint or the new one, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (NAME + ".tmp")
    torch.save({"version": VERSION, **content}, temporary)
    os.replace(temporary, folder / NAME)


def load(folder: Path, config: dict[str, Any], device: torch.device) -> dict[str, Any] | None:
    """The checkpoint in ``folder``, or None; raises ``InputError`` if it is broken or of another run."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        raise InputError(f"{path} is not a readable checkpoint: remove it to start afresh.") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise InputError(f"{path} is a checkpoint of another version: remove it to start afresh.")
    if content["config"] != config:
        changed = sorted(k for k in config if content["config"].get(k) != config[k])
        raise InputError(f"{path} belongs to another run (different {', '.join(changed)}): take another folder.")
    return content
