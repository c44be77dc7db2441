"""Published values of autoregressive networks beside both exact references, as a Markdown page.

Network values: Tang, Liu, Zhang and Zhang, Nat. Commun. 15, 1117 (2024); single figures, quoted for the comparison.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.polynomial import chebyshev

from .matrixfree.spectral import gap_below
from .matrixfree.symmetric import Symmetric
from .system import System
from .systems import build

NETWORK = {  # 2D South-East, c = 0.5, s = 0.1, Euler with dt = 0.05: {L: {t: ln Z}}
    4: {1.0: -0.6194969, 10.0: -5.896386, 100.0: -55.557702, 999.05: -544.664510},
    5: {1.0: -1.008697, 10.0: -9.467847, 100.0: -67.620202, 999.05: -580.206076},
}
CRITICAL = {4: 0.0977, 5: 0.0513, 6: 0.0316}  # long-time maximum of -chi on a grid of 0.01 decades
DT = 0.05
WINDOW = {4: (0.085, 0.115), 5: (0.047, 0.057)}  # where the maximum is looked for
NODES = 8


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
        "(fits `s_c ~ N^-alpha` and `~ t^-beta`, N = L^2, alpha = 1.39, beta = 0.99 as published). Exact: the same",
        "grid, and the maximum itself.",
        "",
        "| L | published s_c | exact, on the grid | exact maximum | -chi there | error of -chi |",
        "|---|---|---|---|---|---|",
    ]
    for length, published in CRITICAL.items():
        if length not in WINDOW:
            lines.append(f"| {length} | {published} | missing (2^35 states) | | | |")
            continue
        if len(_kept(folder, length)) < NODES:
            lines.append(f"| {length} | {published} | missing: `python -m exact.library critical` first | | | |")
            continue
        grid, peak, height, error = critical_field(length, folder)
        lines.append(f"| {length} | {published} | {grid:.4f} | {peak:.5f} | {height:.5g} | {error:.0e} |")
    return lines


def critical_field(length: int, folder: Path) -> tuple[float, float, float, float]:
    """``s_c`` on the grid of 0.01 decades, the maximum itself, ``-chi`` there, and the relative error of ``-chi``.

    Near the transition the two largest eigenvalues of ``W_s`` avoid each other, and each has branch points close to
    the real axis; their sum and product have none. Those two are interpolated (Chebyshev nodes in ``ln s``, kept in
    ``critical-L.csv`` so that a run that is cut off goes on), and ``theta`` and its derivatives follow from the
    quadratic equation. The error is the change when the last two terms of each series are left out.
    """
    low, high = np.log(WINDOW[length])
    system = build("east", (length, length))
    nodes = np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)
    fields = np.exp(low + (nodes + 1) / 2 * (high - low))
    first, second = np.array([_top_two(system, float(s), folder, length) for s in fields]).T
    series = [chebyshev.chebfit(nodes, values, NODES - 1) for values in (first + second, (first - second) ** 2 / 4)]

    def minus_chi(s: np.ndarray, dropped: int = 0) -> np.ndarray:
        x, scale = (np.log(s) - low) / (high - low) * 2 - 1, 2 / (high - low)
        total, d = (
            [chebyshev.chebval(x, chebyshev.chebder(c[: NODES - dropped], k)) * scale**k for k in (0, 1, 2)]
            for c in series
        )  # theta = total / 2 + sqrt(d), and their derivatives in ln s
        slope = total[1] / 2 + d[1] / (2 * np.sqrt(d[0]))
        bend = total[2] / 2 + d[2] / (2 * np.sqrt(d[0])) - d[1] ** 2 / (4 * d[0] ** 1.5)
        return (bend - slope) / s**2 / system.n_sites

    decades = 10 ** (np.arange(np.ceil(low / np.log(10) * 100), np.floor(high / np.log(10) * 100) + 1) / 100)
    fine = np.exp(np.linspace(low, high, 20001))
    best = int(np.argmax(minus_chi(fine)))
    height = float(minus_chi(fine)[best])
    error = abs(float(minus_chi(fine[best : best + 1], 2)[0]) / height - 1)
    return float(decades[np.argmax(minus_chi(decades))]), float(fine[best]), height, error


def critical(folder: Path) -> None:
    """Prepares the eigenvalues at the nodes of every size, one at a time; what is there already is kept."""
    for length in WINDOW:
        critical_field(length, folder)


def _kept(folder: Path, length: int) -> dict[str, tuple[float, float]]:
    path = folder / f"critical-{length}.csv"
    lines = path.read_text().splitlines()[1:] if path.exists() else []
    return {s: (float(first), float(second)) for s, first, second in (line.split(",") for line in lines)}


def _top_two(system: System, s: float, folder: Path, length: int) -> tuple[float, float]:
    kept, key = _kept(folder, length), f"{s:.15g}"
    if key in kept:
        return kept[key]
    engine = Symmetric(system, s)
    run = engine.run(np.zeros(0), theta=True)
    theta = run.tri.theta()[0]
    # the start shares every symmetry of the lattice: levels of other symmetry cross and do not matter
    second = theta - gap_below(engine, engine.leading(run.tri), theta, engine.start().copy(), 1e-4)[0]
    path = folder / f"critical-{length}.csv"
    if not path.exists():
        path.write_text("s,theta,second\n")
    with path.open("a") as out:
        out.write(f"{key},{theta:.17g},{second:.17g}\n")
    return theta, second
