"""What Lanczos steps and Perron's bound do to vectors: by NumPy, or by compiled loops where the vectors are long.

Compiled loops read each vector once and need no scratch; loading the compiler takes as long as some hundred
operations of NumPy at the length where they take over.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LONG = 1 << 17


def subtract(target: np.ndarray, factor: float, v: np.ndarray) -> float:
    """``target -= factor * v``; returns the squared norm of the result."""
    if v.size >= LONG:
        return _compiled("subtract", v.size)(target, factor, v)
    target -= factor * v
    return float(target @ target)


def square(v: np.ndarray) -> float:
    """``<v|v>``."""
    return _compiled("square", v.size)(v) if v.size >= LONG else float(v @ v)


def lift(u: np.ndarray, floor: float) -> None:
    """Raises the entries of ``u`` to ``floor`` at least."""
    if u.size >= LONG:
        _compiled("lift", u.size)(u, floor)
    else:
        np.maximum(u, floor, out=u)


def relax(u: np.ndarray, flow: np.ndarray, diagonal: np.ndarray, theta: float) -> None:
    """``u = (flow - diagonal u) / (theta - diagonal)`` where ``u`` is positive."""
    if u.size >= LONG:
        _compiled("relax", u.size)(u, flow, diagonal, theta)
        return
    inside = u > 0
    own = diagonal[inside]
    u[inside] = (flow[inside] - own * u[inside]) / (theta - own)


def largest_ratio(flow: np.ndarray, u: np.ndarray) -> float:
    """``max flow / u`` where ``u`` is positive; infinite where it is not and ``flow`` is."""
    if u.size >= LONG:
        return float(_compiled("largest_ratio", u.size)(flow, u))
    inside = u > 0
    if (flow[~inside] > 0).any():
        return np.inf
    return float(np.max(flow[inside] / u[inside], initial=-np.inf))


def _compiled(name: str, size: int) -> Any:
    from vanbench.exact.matrixfree import vectors_compiled
    from vanbench.exact.threads import pick

    return pick(getattr(vectors_compiled, name), size)
