"""What identifies a declaration whatever its spelling, and the seeds that derive from names."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from vanbench.compare.declare import parse
from vanbench.exact import InputError


def digest(content: Any) -> str:
    """16 hex digits of canonical JSON: sorted keys, every number as a float."""
    text = json.dumps(_canonical(content), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def derived_seed(name: str, shape: tuple[int, ...], seed: int, replica: int) -> int:
    text = f"{name}/{parse.shape_text(shape)}/{seed}/{replica}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _canonical(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise InputError("a number is not finite, or too large.")
        return number
    if isinstance(value, dict):
        return {str(key): _canonical(item) for key, item in value.items()}
    return [_canonical(item) for item in value]
