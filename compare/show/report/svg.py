"""Matplotlib figures as SVG inside an HTML page: they follow its colours, light or dark, and scale with its width.

Figures are drawn in stand-in colours, one for each role; in the SVG each becomes the CSS variable of its role. Text
stays text: it can be searched and copied, and needs no fonts of this machine.
"""

from __future__ import annotations

import io
import math
import re
from dataclasses import dataclass
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vanbench.compare.judge.errors import PARTS

INK, MUTED = "#0a0b0c", "#0a0b0d"
SERIES = tuple(f"#0a0b{k:02x}" for k in range(16, 26))
PART_COLOURS = {name: f"#0a0b{k:02x}" for k, name in enumerate(("error", *PARTS), 32)}
ROLES = {
    INK: "var(--ink)",
    MUTED: "var(--rule)",
    **{colour: f"var(--series-{k})" for k, colour in enumerate(SERIES)},
    **{colour: f"var(--part-{name})" for name, colour in PART_COLOURS.items()},
}
MARKERS = "osD^vPX*<>"
GLYPHS = "○□◇△▽✚✖☆◁▷"  # the markers in the page's legends
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
FEW_DECADES = 60.0  # high over low, below which an axis has fewer than two decades to label
WIDTH, HEIGHT = 4.3, 3.0  # inches; about a phone's width at a readable size of text
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vanbench",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": MUTED,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color"), INK
    ),
}


@dataclass(frozen=True)
class Panel:
    """One figure of the page."""

    title: str
    svg: Markup
    caption: str


def style() -> Any:
    """The context in which the figures of a page are drawn."""
    return matplotlib.rc_context(rc=STYLE)  # type: ignore[arg-type]


def axes(height: float = HEIGHT) -> tuple[Figure, Any]:
    """A figure with one pair of axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def series(index: int) -> dict[str, Any]:
    """Colour and marker of the network at ``index``, repeating after ten; hollow, so that none hides another."""
    return {"color": SERIES[index % len(SERIES)], "marker": MARKERS[index % len(MARKERS)], "mfc": "none"}


def inline(figure: Figure, key: str) -> Markup:
    """``figure`` as an ``<svg>`` element whose ids start with ``key``, unique in the page."""
    svg = _drawn(figure)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", svg)
    for stand_in, role in ROLES.items():
        svg = svg.replace(stand_in, role)
    return Markup(svg)


def _drawn(figure: Figure) -> str:
    held = io.StringIO()
    figure.savefig(held, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return held.getvalue()


def decades(axis: Any) -> None:
    """Ticks of a logarithmic axis at its decades; at 1, 2 and 5 times them where there are too few, of which the axis
    is made to reach two."""
    low, high = axis.get_view_interval()
    few = high / low < FEW_DECADES or math.floor(math.log10(high)) <= math.ceil(math.log10(low))
    if few:
        low, high = _below(low), 1 / _below(1 / high)
        axis.axes.set(**{f"{axis.axis_name}lim": (low, high)})
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
    axis.set_major_formatter(FuncFormatter(_power))
    axis.set_minor_formatter(NullFormatter())


def _below(value: float) -> float:
    """The largest of 1, 2 and 5 times a power of ten that is not above ``value``; of ``1 / value``, it is the inverse
    of the smallest one that is not below."""
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return power * max(factor for factor in (1, 2, 5) if factor * power <= value * (1 + 1e-9))


def _power(value: float, position: int) -> str:
    """``2×10⁻³``, and plain numbers from 0.01 to 1000."""
    if 0.0099 < value < 1001:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    factor = f"{value / 10.0**exponent:g}"
    return (f"{factor}×" if factor != "1" else "") + "10" + str(exponent).translate(RAISED)
