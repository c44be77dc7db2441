"""Published values of autoregressive networks beside both exact references, as a Markdown page.

Network values: Tang, Liu, Zhang and Zhang, Nat. Commun. 15, 1117 (2024); single figures, quoted for the comparison.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vanbench.compare.run.exact_tables import PUBLISHED_LAST
from vanbench.compare.studies.exact_tables.critical import WINDOW, critical, known, minus_chi
from vanbench.exact.matrixfree.symmetric import Symmetric
from vanbench.exact.systems import build

NETWORK = {  # 2D South-East, c = 0.5, s = 0.1, Euler with dt = 0.05: {L: {t: ln Z}}
    4: {1.0: -0.6194969, 10.0: -5.896386, 100.0: -55.557702, PUBLISHED_LAST: -544.664510},
    5: {1.0: -1.008697, 10.0: -9.467847, 100.0: -67.620202, PUBLISHED_LAST: -580.206076},
}
CRITICAL = {4: 0.0977, 5: 0.0513, 6: 0.0316}  # long-time maximum of -chi on a grid of 0.01 decades
DT = 0.05


def page(folder: Path) -> str:
    """The page. Critical fields that ``critical`` has not prepared are marked as missing."""
    lines = [
        "# Published network values against both exact references",
        "",
        "Written by `vanbench study exact_tables published`. 2D South-East model, c = 0.5, s = 0.1; the network",
        "steps with `1 + dt W_s`, dt = 0.05. *Total* is its error against continuous time, *scheme* the part of the",
        "time step (exact Euler against exact continuous), *network* the rest (network against exact Euler);",
        "relative, of ln Z.",
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
        "| L | published s_c | exact, on the grid | exact maximum | its error |",
        "|---|---|---|---|---|",
    ]
    for length, published in CRITICAL.items():
        name = f"south-east-{length}x{length}"
        if name not in WINDOW:
            lines.append(f"| {length} | {published} | missing (2^35 states) | | |")
            continue
        if not known(name, folder):
            lines.append(f"| {length} | {published} | missing: `vanbench study exact_tables critical` first | | |")
            continue
        found = critical(name, folder)
        low, high = 100 * np.log10(WINDOW[name])
        decades = 10 ** (np.arange(np.ceil(low), np.floor(high) + 1) / 100)
        grid = decades[np.argmax(minus_chi(name, decades, folder))]
        lines.append(f"| {length} | {published} | {grid:.4f} | {found.s_c:.5f} | {found.s_c_error:.0e} |")
    return lines
