"""The critical field of long times: where ``-chi = theta''(s) / N`` of the largest eigenvalue is largest.

Near the transition the two largest eigenvalues of ``W_s`` avoid each other, and each has branch points close to the
real axis; their sum and the square of their difference have none. Those two are interpolated in ``ln s`` between
Chebyshev nodes, and ``theta = (sum + difference) / 2`` and its derivatives follow.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from vanbench.compare.run.exact_tables import CASES, FOLDER
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.files import append_text, read_text
from vanbench.exact.matrixfree.spectral import gap_below
from vanbench.exact.matrixfree.symmetric import Symmetric

WINDOW = {  # of each table, where the maximum is looked for
    "south-east-3x3": (0.15, 0.3),
    "south-east-4x4": (0.085, 0.115),
    "south-east-5x5": (0.047, 0.057),
    "fa-3x3": (0.065, 0.11),
    "fa-4x4": (0.038, 0.054),
    "fa-5x5": (0.022, 0.031),
    "south-east-front-2x2x2": (0.22, 0.4),
    "south-east-front-3x3x3": (0.072, 0.094),
    "fa-16": (0.018, 0.028),
    "fa-20": (0.0125, 0.019),
    "fa-24": (0.0105, 0.0135),
    "east-16": (0.014, 0.019),
    "east-20": (0.0105, 0.0132),
    "east-24": (0.0081, 0.0101),
}
NODES = np.cos(np.pi * (np.arange(8) + 0.5) / 8)  # of Chebyshev, between -1 and 1


class Critical(NamedTuple):
    """``s_c`` and ``-chi`` there; the errors, relative, are the changes when the last two terms of each series are left
    out, that of ``s_c`` at least the distance of the points at which the maximum was looked for."""

    s_c: float
    s_c_error: float
    height: float
    height_error: float


def critical(name: str, folder: Path = FOLDER) -> Critical:
    """Of the system of the table ``name``; eigenvalues that ``folder`` lacks are computed and kept there, so that a run
    that is cut off goes on. Raises ``InputError`` where the maximum is not inside the window."""
    fine = np.geomspace(*WINDOW[name], 20001)
    curve = minus_chi(name, fine, folder)
    best = int(np.argmax(curve))
    if not 0 < best < len(fine) - 1:
        raise InputError(f"{name}: -chi is largest at the end of {WINDOW[name]}, so this window misses its maximum.")
    shorter = minus_chi(name, fine, folder, 2)
    s_c, height = float(fine[best]), float(curve[best])
    moved = max(abs(float(fine[np.argmax(shorter)]) / s_c - 1), float(fine[1] / fine[0]) - 1)
    return Critical(s_c, moved, height, abs(float(shorter[best]) / height - 1))


def minus_chi(name: str, s: np.ndarray, folder: Path = FOLDER, dropped: int = 0) -> np.ndarray:
    """``theta''(s) / N`` at fields within the window; ``dropped`` terms of the series left out."""
    low, high = np.log(WINDOW[name])
    system = CASES[name].build()
    first, second = np.array([_top_two(system, float(field), _path(name, folder)) for field in _fields(name)]).T
    x, scale = (np.log(s) - low) / (high - low) * 2 - 1, 2 / (high - low)

    def in_ln_s(values: np.ndarray) -> list[np.ndarray]:
        """The interpolant and its derivatives."""
        series = chebyshev.chebfit(NODES, values, len(NODES) - 1)[: len(NODES) - dropped]
        return [chebyshev.chebval(x, chebyshev.chebder(series, k)) * scale**k for k in (0, 1, 2)]

    total, d = in_ln_s(first + second), in_ln_s((first - second) ** 2 / 4)
    slope = total[1] / 2 + d[1] / (2 * np.sqrt(d[0]))
    bend = total[2] / 2 + d[2] / (2 * np.sqrt(d[0])) - d[1] ** 2 / (4 * d[0] ** 1.5)
    return (bend - slope) / s**2 / system.n_sites


def known(name: str, folder: Path = FOLDER) -> bool:
    """Whether `critical` can answer from stored values alone."""
    return name in WINDOW and {_key(field) for field in _fields(name)} <= _kept(_path(name, folder)).keys()


def _fields(name: str) -> np.ndarray:
    """Where the eigenvalues are computed."""
    low, high = np.log(WINDOW[name])
    return np.exp(low + (NODES + 1) / 2 * (high - low))


def _path(name: str, folder: Path) -> Path:
    return folder / f"critical-{name}.csv"


def _key(s: float) -> str:
    return f"{s:.15g}"


def _kept(path: Path) -> dict[str, tuple[float, float]]:
    lines = read_text(path).splitlines()[1:] if path.exists() else []
    try:
        return {s: (float(first), float(second)) for s, first, second in (line.split(",") for line in lines)}
    except ValueError as error:
        raise InputError(f"{str(path)!r} is damaged ({error}): delete it, or put back what was there.") from error


def _top_two(system: System, s: float, path: Path) -> tuple[float, float]:
    kept, key = _kept(path), _key(s)
    if key in kept:
        return kept[key]
    engine = Symmetric(system, s)
    run = engine.run(np.zeros(0), theta=True)
    theta = run.tri.theta()[0]
    # the start shares every symmetry of the lattice: levels of other symmetry cross and do not matter
    second = theta - gap_below(engine, engine.leading(run.tri), theta, engine.start().copy(), 1e-4)[0]
    heading = "" if path.exists() else "s,theta,second\n"
    append_text(path, f"{heading}{key},{theta:.17g},{second:.17g}\n")
    return theta, second
