"""Figures: made without a screen in one style, and written as PNG, PDF or SVG."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vanbench.compare.judge.errors import PARTS
from vanbench.exact.errors import unknown
from vanbench.exact.files import write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.fontsize": 7,
}
COLOURS = ["tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink", "tab:olive"]
PART_MARKERS = dict(zip(("error", *PARTS), "osD^v"))  # of the total error and its parts
FORMATS = ("png", "pdf", "svg")


def new(columns: int, rows: int = 1, width: float = 4.2, height: float = 3.2, dpi: float = 100, **share: Any) -> Any:
    """A figure and its axes ``(rows, columns)``, each of ``width`` x ``height`` inches; ``share`` as in `subplots`."""
    figure = blank(width * columns, height * rows, dpi)
    return figure, figure.subplots(rows, columns, squeeze=False, **share)


def blank(width: float, height: float, dpi: float = 100) -> Figure:
    """A figure without axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def shades(n: int) -> list[Any]:
    """Colours of ``n`` ordered curves."""
    import matplotlib

    return [matplotlib.colormaps["viridis"](x) for x in np.linspace(0.0, 0.85, max(n, 1))]


def plain_ticks(axis: Any, values: Any) -> None:
    """Ticks at ``values``, written as numbers."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_major_locator(FixedLocator(list(values)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def save(figure: Figure, path: Path, root: Path | None = None) -> Path:
    """Write the figure in the format that the name ends on; PNG with 256 colours, a third of the size."""
    form = path.suffix.removeprefix(".")
    if form not in FORMATS:
        raise unknown("format of a figure", form, list(FORMATS))
    return write_file(path, partial(_write, figure, form), root)


def _write(figure: Figure, form: str, path: Path) -> None:
    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, format=form)
    if form != "png":
        path.write_bytes(raw.getvalue())
        return
    with Image.open(raw) as image:
        image.convert("RGB").quantize(256).save(path, format="png", optimize=True)
