"""Published values of autoregressive networks beside both exact references, as a Markdown page.

Network values: Tang, Liu, Zhang and Zhang, Nat. Commun. 15, 1117 (2024); single figures, quoted for the comparison.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev

from .matrixfree.symmetric import Symmetric
from .system import System
from .systems import build

NETWORK = {  # 2D South-East, c = 0.5, s = 0.1, Euler with dt = 0.05: {L: {t: ln Z}}
    4: {1.0: -0.6194969, 10.0: -5.896386, 100.0: -55.557702, 999.05: -544.664510},
    5: {1.0: -1.008697, 10.0: -9.467847, 100.0: -67.620202, 999.05: -580.206076},
}
CRITICAL = {4: 0.0977, 5: 0.0513, 6: 0.0316}  # long-time maximum of -chi on a grid of 0.01 decades
DT = 0.05
WINDOW = {4: (0.06, 0.16), 5: (0.03, 0.085)}  # where the maximum is looked for
NODES = {4: 40, 5: 24}


def page(folder: Path) -> str:
    """The page. Critical fields that ``critical`` has not prepared are marked as missing."""
    lines = [
        "# Published network values against both exact references",
        "",
        "Written by `python -m exact.library published`. 2D South-East model, c = 0.5, s = 0.1; the network steps with",
        "`1 + dt W_s`, dt = 0.05. *Total* is its error against continuous time, *scheme* the part of the time step",
        "(exact Euler against exact continuous), *network* the rest (network against exact Euler); relative, of ln Z.",
        "",
        "| L | t | network | exact, Euler | exact, continuous | bound | total | scheme | network error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for length, values in NETWORK.items():
        times = np.array(list(values))
        run = Symmetric(build("east", (length, length)), 0.1).run(times, theta=True)
        euler, _ = run.ln_z(times, DT)
        exact, bound = run.ln_z(times)
        for i, t in enumerate(times):
            net = values[t]
            errors = [abs(net / exact[i] - 1), abs(euler[i] / exact[i] - 1), abs(net / euler[i] - 1)]
            lines.append(
                f"| {length} | {t:g} | {net:.8g} | {euler[i]:.10g} | {exact[i]:.10g} | {bound[i]:.0e} | "
                + " | ".join(f"{e:.2e}" for e in errors)
                + " |"
            )
    lines += ["", *_critical_lines(folder)]
    return "\n".join(lines) + "\n"


def _critical_lines(folder: Path) -> list[str]:
    lines = [
        "Critical field: the long-time maximum of `-chi = theta''(s) / N`; published on a grid of 0.01 decades",
        "(fit `s_c ~ L^-alpha`, alpha = 1.39, beta = 0.99 as published). Exact: the same grid, and the maximum itself.",
        "",
        "| L | published s_c | exact, on the grid | exact maximum | -chi there | error of theta'' |",
        "|---|---|---|---|---|---|",
    ]
    for length, published in CRITICAL.items():
        if length not in WINDOW:
            lines.append(f"| {length} | {published} | missing (2^35 states) | | | |")
            continue
        if len(_kept(folder, length)) < NODES[length]:
            lines.append(f"| {length} | {published} | missing: `python -m exact.library critical` first | | | |")
            continue
        grid, peak, height, error = critical_field(length, folder)
        lines.append(f"| {length} | {published} | {grid:.4f} | {peak:.5f} | {height:.5g} | {error:.0e} |")
    return lines


def critical_field(length: int, folder: Path) -> tuple[float, float, float, float]:
    """``s_c`` on the grid of 0.01 decades, the maximum itself, ``-chi`` there, and the relative error of ``theta''``.

    ``theta`` at Chebyshev nodes in ``ln s`` (kept in ``critical-L.csv``, so that a run that is cut off goes on), then
    the derivatives of the interpolating polynomial; the error is the change when its last four terms are left out.
    """
    low, high = np.log(WINDOW[length])
    system = build("east", (length, length))
    nodes = np.cos(np.pi * (np.arange(NODES[length]) + 0.5) / NODES[length])
    theta = np.array([_theta(system, float(np.exp(low + (x + 1) / 2 * (high - low))), folder, length) for x in nodes])
    coefficients = chebyshev.chebfit(nodes, theta, len(nodes) - 1)

    def minus_chi(s: np.ndarray, dropped: int = 0) -> np.ndarray:
        c = coefficients[: len(coefficients) - dropped]
        x, scale = (np.log(s) - low) / (high - low) * 2 - 1, 2 / (high - low)
        slope, bend = (chebyshev.chebval(x, chebyshev.chebder(c, k)) * scale**k for k in (1, 2))
        return (bend - slope) / s**2 / system.n_sites

    decades = 10 ** (np.arange(np.ceil(low / np.log(10) * 100), np.floor(high / np.log(10) * 100) + 1) / 100)
    fine = np.exp(np.linspace(low, high, 20001))
    best = int(np.argmax(minus_chi(fine)))
    height = float(minus_chi(fine)[best])
    error = abs(float(minus_chi(fine[best : best + 1], 4)[0]) / height - 1)
    return float(decades[np.argmax(minus_chi(decades))]), float(fine[best]), height, error


def critical(folder: Path) -> None:
    """Prepares ``theta`` at the nodes of every size, one at a time; what is there already is kept."""
    for length in WINDOW:
        critical_field(length, folder)


def _kept(folder: Path, length: int) -> dict[str, float]:
    path = folder / f"critical-{length}.csv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return {s: float(theta) for s, theta in (line.split(",") for line in lines)}


def _theta(system: System, s: float, folder: Path, length: int) -> float:
    kept, key = _kept(folder, length), f"{s:.15g}"
    if key in kept:
        return kept[key]
    value = Symmetric(system, s).run(np.zeros(0), theta=True).tri.theta()[0]
    path = folder / f"critical-{length}.csv"
    if not path.exists():
        path.write_text("s,theta\n")
    with path.open("a") as out:
        out.write(f"{key},{value:.17g}\n")
    return value
