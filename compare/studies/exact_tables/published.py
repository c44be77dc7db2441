"""Published values of autoregressive networks beside both exact references, as a Markdown page.

Network values: Tang, Liu, Zhang and Zhang, Nat. Commun. 15, 1117 (2024); single figures, quoted for the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vanbench.compare.run.exact_tables import PUBLISHED_LAST
from vanbench.compare.show import pages
from vanbench.compare.studies.exact_tables.critical import WINDOW, Critical, critical, known, minus_chi
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
    rows = [row for length, values in NETWORK.items() for row in _beside(length, values)]
    fields = [(length, quoted, *_critical(length, folder)) for length, quoted in CRITICAL.items()]
    return pages.page(__file__, "published.md.j2", rows=rows, fields=fields)


def _beside(length: int, values: dict[float, float]) -> Iterator[dict[str, Any]]:
    """A network's ln Z beside the exact ones, with the relative errors: total, of the scheme, of the network."""
    times = np.array(list(values))
    run = Symmetric(build("east", (length, length)), 0.1).run(times, theta=True)
    euler, _ = run.ln_z(times, DT)
    exact, bound = run.ln_z(times)
    for t, network, e, x, b in zip(times, values.values(), euler, exact, bound):
        errors = [abs(network / x - 1), abs(e / x - 1), abs(network / e - 1)]
        yield {"L": length, "t": t, "network": network, "euler": e, "exact": x, "bound": b, "errors": errors}


def _critical(length: int, folder: Path) -> tuple[str, float | None, Critical | None]:
    """Why it is missing, or the exact field on the grid of 0.01 decades, and the field itself."""
    name = f"south-east-{length}x{length}"
    if name not in WINDOW:
        return "missing (2^35 states)", None, None
    if not known(name, folder):
        return "missing: `vanbench study exact_tables critical` first", None, None
    low, high = 100 * np.log10(WINDOW[name])
    decades = 10 ** (np.arange(np.ceil(low), np.floor(high) + 1) / 100)
    return "", decades[np.argmax(minus_chi(name, decades, folder))], critical(name, folder)
